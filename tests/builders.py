"""Small systems for tests: a cluster, its tasks, and the compiled rules driven by hand.

Tests of the rules reach the tables through these helpers only, so that a change of the tables'
layout is a change of this one file.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from lepton_rl.core.clock import to_us
from lepton_rl.core.intake import Intake
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.rules.allocation import give_back, retake, take
from lepton_rl.core.rules.backfill import (
    Backfill,
    choose_nodes,
    easy_candidate,
    fixed_shadow_candidate,
    undo_choice,
)
from lepton_rl.core.rules.conservative import plan_segments
from lepton_rl.core.rules.dispatch import WAIT, start_head
from lepton_rl.core.rules.fit import gang_capacity, replica_capacity
from lepton_rl.core.rules.orders import Order, PriorityWeights, first_in_order, score
from lepton_rl.core.rules.placement import Place, place_gang
from lepton_rl.core.rules.queueing import arrive, enter_queue, enter_run, leave_queue, leave_run
from lepton_rl.core.rules.scratch import empty_scratch
from lepton_rl.core.rules.shadow import shadow_pool
from lepton_rl.core.tables import (
    NO_NODE,
    NO_TASK,
    NodeTable,
    PoolTable,
    Records,
    empty_pool,
    empty_view,
)
from lepton_rl.core.tasks import Task

FIRST_FIT = int(Place.FIRST_FIT)
Holding = tuple[list[int], list[int]]
"""Node of each replica, and the bits of the card columns it holds there."""


def batch_job(task_id: str, processors: float, requested_s: float, submit_s: float = 0.0) -> Task:
    """A rigid job of a batch queue: processors of one pool for a requested time."""
    return Task(task_id, {"cpu": processors}, requested_s, submit_time_s=submit_s)


class Ledger:
    """One pool and the rules that take from it and give back; tasks go by their rows.

    Args:
        nodes: the machines, at first idle.
        tasks: task records.
        largest_gang: columns of the choice.
    """

    def __init__(self, nodes: NodeTable, tasks: Records, largest_gang: int) -> None:
        self.nodes, self.tasks = nodes, tasks
        self._view = empty_view(tasks, nodes, 1, len(tasks), largest_gang)
        self._scratch = empty_scratch(nodes, 1, largest_gang)
        self.pool = self._view.pool

    @property
    def num_nodes(self) -> int:
        return len(self.nodes.rows)

    @property
    def node_capacity(self) -> np.ndarray:
        """`(M, K)` units."""
        return self.nodes.rows["capacity"][:, : len(self.nodes.total)]

    @property
    def free(self) -> np.ndarray:
        """`(M, K)` units, a view of the pool."""
        return self.pool.rows["free"][0, :, : len(self.nodes.total)]

    @property
    def card_free(self) -> np.ndarray:
        """`(M, C)` milli-cards, a view of the pool."""
        return self.pool.card_free[0]

    @property
    def replicas_on(self) -> np.ndarray:
        """`(M,)`."""
        return self.pool.rows["replicas_on"][0]

    def hold(self, node: int, row: int, from_us: int = 0) -> None:
        """Reserve a node for a task from `from_us` on."""
        self.pool.rows["held_by"][0, node] = row
        self.pool.rows["held_from_us"][0, node] = from_us

    def release(self, node: int) -> None:
        self.pool.rows["held_by"][0, node] = NO_TASK
        self.pool.rows["held_from_us"][0, node] = 0

    def holder(self, node: int) -> tuple[int | None, int]:
        """Whom a node is reserved for, None if for nobody, and from when."""
        by = int(self.pool.rows["held_by"][0, node])
        return None if by == NO_TASK else by, int(self.pool.rows["held_from_us"][0, node])

    def capacity(self, row: int, node: int) -> int:
        return int(replica_capacity(self.tasks, self.nodes, self.pool, 0, row, node))

    def gang_capacity(self, row: int) -> int:
        return int(gang_capacity(self.tasks, self.nodes, self.pool, 0, row))

    def take(self, row: int, node: int) -> int:
        """Take one replica; the bits of its card columns."""
        return int(take(self.tasks, self.nodes, self.pool, 0, row, node))

    def give_back(self, row: int, holding: Holding) -> None:
        for node, bits in zip(*holding, strict=True):
            give_back(self.tasks, self.nodes, self.pool, 0, row, node, bits)

    def retake(self, row: int, holding: Holding) -> None:
        for node, bits in zip(*holding, strict=True):
            retake(self.tasks, self.nodes, self.pool, 0, row, node, bits)

    def place(self, row: int, place: Place = Place.FIRST_FIT, now_us: int = 0) -> Holding | None:
        """Place the gang; None if it does not fit. Columns beyond the gang must be cleared."""
        choice = self._scratch.choice
        choice["node"], choice["cards"] = 77, 77  # leftovers of an earlier decision
        placed = place_gang(self._view, 0, self.pool, 0, row, now_us, int(place), self._scratch)
        gang = int(self.tasks["replicas"][row]) if placed else 0
        nodes, cards = choice["node"][0].tolist(), choice["cards"][0].tolist()
        assert nodes[gang:] == [NO_NODE] * (len(nodes) - gang)
        return (nodes[:gang], cards[:gang]) if placed else None

    def snapshot(self) -> dict[str, np.ndarray]:
        """A copy of everything the pool says."""
        rows = self.pool.rows
        fields = {name: rows[name].copy() for name in rows.dtype.names or ()}
        return {**fields, "card_free": self.pool.card_free.copy()}

    def restore(self, snapshot: dict[str, np.ndarray]) -> None:
        for name in self.pool.rows.dtype.names or ():
            self.pool.rows[name] = snapshot[name]
        self.pool.card_free[:] = snapshot["card_free"]

    def is_empty(self) -> bool:
        return same(self.snapshot(), Ledger(self.nodes, self.tasks, 1).snapshot())


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[k], other[k]) for k in one)


class Desk:
    """One environment whose clock, queue and machine a test moves by hand; tasks go by their ids.

    Args:
        cluster: starts idle.
        tasks: all tasks of the test; local index = position here.
    """

    def __init__(self, cluster: Cluster, tasks: Sequence[Task]) -> None:
        intake = Intake(cluster)
        table = intake.table(tasks)
        gang = int(table["replicas"].max())
        self.local = {task.id: index for index, task in enumerate(tasks)}
        self.ids = [task.id for task in tasks]
        tenants = len(intake.tenants)
        self.view = empty_view(table, intake.nodes, 1, len(tasks), gang, tenants)
        self.scratch = empty_scratch(intake.nodes, 1, gang, plan_segments(len(tasks)))

    def at(self, seconds: float) -> None:
        self.view.status["now_us"][0] = to_us(seconds)

    def submit(self, *ids: str) -> None:
        for each in ids:
            arrive(self.view, 0, self.local[each])

    def enter_again(self, task_id: str) -> None:
        """A task that ran is pending again."""
        enter_queue(self.view, 0, self.local[task_id])

    def withdraw(self, task_id: str) -> bool:
        return bool(leave_queue(self.view, 0, self.local[task_id]))

    def run(self, *ids: str) -> None:
        """Submit and start tasks that must fit now."""
        for each in ids:
            self.submit(each)
            assert self.choose(each), each
            self.enter(each)

    def choose(self, task_id: str) -> bool:
        """Take nodes for a task, without starting it."""
        return bool(choose_nodes(self.view, self.scratch, 0, self.local[task_id], FIRST_FIT))

    def undo(self, task_id: str) -> None:
        undo_choice(self.view, self.scratch, 0, self.local[task_id])

    def enter(self, task_id: str) -> None:
        """Move the task whose nodes were just taken to the running set."""
        local = self.local[task_id]
        self.view.held[0, local] = self.scratch.choice[0]
        enter_run(self.view, 0, local)

    def finish(self, *ids: str) -> None:
        for each in ids:
            assert leave_run(self.view, 0, self.local[each]), each

    def next_start(self, head: str, backfill: Backfill) -> str | None:
        """Start `head`, or whom `backfill` lets overtake it; returns who started, None to wait."""
        how = FIRST_FIT, int(backfill)
        found = self._named(start_head(self.view, self.scratch, 0, self.local[head], *how))
        if found is not None:
            self.enter(found)
        return found

    def easy_candidate(self, head: str) -> str | None:
        """Whom EASY would start; its nodes are taken."""
        head_local = self.local[head]
        return self._named(easy_candidate(self.view, self.scratch, 0, head_local, FIRST_FIT))

    def fixed_shadow_candidate(self, blocked: str, shadow_s: float) -> str | None:
        """Whom the fixed shadow time would let start; its nodes are taken."""
        self.scratch.blocked["task"][0] = self.local[blocked]
        self.scratch.blocked["shadow_us"][0] = to_us(shadow_s)
        return self._named(fixed_shadow_candidate(self.view, self.scratch, 0, FIRST_FIT))

    def _named(self, local: int) -> str | None:
        return None if local == WAIT else self.ids[local]

    def shadow_s(self, head: str) -> float:
        """When the blocked task `head` can start, by the estimates."""
        return float(shadow_pool(self.view, self.scratch, 0, self.local[head])) / 1_000_000

    def spare_cores(self, head: str) -> float:
        """Processors that `head` leaves free at its shadow time (one node)."""
        self.shadow_s(head)
        wanted = self.view.tasks["demand"][self.local[head], 0]
        return float(self.scratch.pool.rows["free"][0, 0, 0] - wanted) / 1000

    def score(self, order: Order, task_id: str, weights: PriorityWeights) -> float:
        return float(score(int(order), self.view, 0, self.local[task_id], weights))

    def first(self, order: Order, weights: PriorityWeights) -> str | None:
        """The pending task that comes first."""
        return self._named(first_in_order(self.view, 0, int(order), weights))

    @property
    def free_cores(self) -> float:
        """Free cores of all nodes together (`cpu` is the first kind)."""
        return float(self.view.pool.rows["free"][0, :, 0].sum()) / 1000

    @property
    def replicas_on(self) -> list[int]:
        return self.view.pool.rows["replicas_on"][0].tolist()

    @property
    def pending(self) -> list[str]:
        count = int(self.view.status["num_pending"][0])
        return [self.ids[local] for local in self.view.pending[0, :count]]

    @property
    def running(self) -> list[str]:
        count = int(self.view.status["num_running"][0])
        return [self.ids[local] for local in self.view.running[0, :count]]

    def snapshot(self) -> list[Any]:
        """A copy of everything a policy can see."""
        view = self.view
        arrays = (*view.pool, view.status, view.pending, view.running, view.spans, view.held)
        return [array.tobytes() for array in arrays]


def idle_pool(cluster: Cluster) -> tuple[NodeTable, PoolTable]:
    """The nodes of a cluster and a pool in which everything is free."""
    nodes = Intake(cluster).nodes
    return nodes, empty_pool(nodes, 1)
