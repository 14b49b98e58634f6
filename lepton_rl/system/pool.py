"""ResourcePool: what is in use on each node, and what is held for whom."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from enum import StrEnum

import numpy as np

from lepton_rl.core.by_reference import Handle
from lepton_rl.core.errors import InfeasibleDecisionError
from lepton_rl.core.nodes import Cluster, NodeState
from lepton_rl.core.rules.allocation import retake
from lepton_rl.core.rules.backfill import choose_nodes, take_chosen, undo_choice
from lepton_rl.core.rules.fit import replica_capacity
from lepton_rl.core.rules.lepton import node_load
from lepton_rl.core.rules.placement import Place, may_use
from lepton_rl.core.rules.reservation import reserve
from lepton_rl.core.rules.scratch import Scratch, empty_scratch
from lepton_rl.core.tables import NO_NODE, NO_TASK, Ints
from lepton_rl.system.executor import Cards
from lepton_rl.system.slots import Slots
from lepton_rl.system.state import Tables

__all__ = ["Refusal", "ResourcePool"]

_LEAST_LOADED = int(Place.LEAST_LOADED)


class Refusal(StrEnum):
    """Why a decision was not carried out."""

    NOT_A_DECISION = "not-a-decision"
    NOT_PENDING = "not-pending"
    WRONG_NUMBER_OF_NODES = "wrong-number-of-nodes"
    UNKNOWN_NODE = "unknown-node"
    NODE_HELD = "node-held"
    DOES_NOT_FIT = "does-not-fit"
    NOT_RUNNING = "not-running"
    NOT_PREEMPTIBLE = "not-preemptible"
    JUST_PREEMPTED = "just-preempted"
    NODE_NOT_UP = "node-not-up"


class ResourcePool:
    """The cluster's nodes and what is free on them.

    Args:
        cluster: whose nodes `tables` describes.
        tables: pending and running tasks, and the pool.
    """

    def __init__(self, cluster: Cluster, tables: Tables) -> None:
        self.slots, self._tables = Slots(cluster), tables
        self._make_scratch()

    @property
    def cluster(self) -> Cluster:
        """All nodes by index, those that were removed included."""
        return self.slots.cluster

    def exchange_nodes(self) -> None:
        """The slots have changed: let the tables follow."""
        self._tables.exchange_nodes(self.slots.table())
        accepting = [state is NodeState.UP for state in self.slots.states]
        self._tables.view.pool.rows["accepting"][0] = accepting
        self._make_scratch()

    def set_state(self, m: int, state: NodeState) -> None:
        """A node is up, draining or down from now on."""
        self.slots.set_state(m, state)
        self._tables.view.pool.rows["accepting"][0, m] = state is NodeState.UP

    def replicas_on(self, m: int) -> int:
        """How many replicas run on a node."""
        return int(self._tables.view.pool.rows["replicas_on"][0, m])

    def allocate(self, local: int, nodes: Sequence[int]) -> None:
        """Take exactly these nodes for the replicas of a pending task, or nothing.

        Args:
            local: the task's local index.
            nodes: index of the node of each replica; a node may be named several times.

        Raises:
            InfeasibleDecisionError: not one node for each replica, no such node, a node that is
                held for another task, or one without room. `cause` is a `Refusal`.
        """
        view, row = self._tables.view, self._row(local)
        self._check_nodes(nodes, int(view.tasks["replicas"][row]))
        choice = self._fitting_scratch().choice
        choice["node"], choice["cards"] = NO_NODE, 0
        choice["node"][0, : len(nodes)] = nodes
        failed = take_chosen(self._tables.handle, self._work, 0, local)
        if failed >= 0:
            raise self._refusal(local, row, int(nodes[failed]))
        view.held[0, local] = choice[0]

    def retake(self, local: int, nodes: Sequence[int], cards: Sequence[Cards]) -> None:
        """Take nodes and exactly these cards for a task that runs already.

        Args:
            local: its local index.
            nodes: index of the node of each replica.
            cards: the cards of each replica.
        """
        view, row = self._tables.view, self._row(local)
        for replica, (m, which) in enumerate(zip(nodes, cards, strict=True)):
            bits = self._bits_of(which)
            view.held[0, local, replica] = (m, bits)
            retake(view.tasks, view.nodes, view.pool, 0, row, m, bits)

    def cards_held(self, local: int) -> tuple[Cards, ...]:
        """Device kind -> indices of the cards on its node, for each replica of a task."""
        view = self._tables.view
        replicas = int(view.tasks["replicas"][self._row(local)])
        return tuple(self._cards_of(bits) for bits in view.held["cards"][0, local, :replicas])

    def _cards_of(self, bits: int) -> dict[str, tuple[int, ...]]:
        found = {
            name: tuple(c - first for c in range(first, last) if int(bits) >> c & 1)
            for name, first, last in self._columns()
        }
        return {name: which for name, which in found.items() if which}

    def _bits_of(self, cards: Cards) -> int:
        return sum(
            1 << first + c for name, first, _ in self._columns() for c in cards.get(name, ())
        )

    def _columns(self) -> Iterator[tuple[str, int, int]]:
        """Device kind, its first card column and the one after its last."""
        schema, start = self.cluster.schema, self._tables.view.nodes.card_start.tolist()
        return zip(schema.names[schema.num_divisible :], start[:-1], start[1:], strict=True)

    def undo(self, local: int) -> None:
        """Give back what was just allocated to a task that did not start after all."""
        self._fitting_scratch().choice[0] = self._tables.view.held[0, local]
        undo_choice(self._tables.handle, self._work, 0, self._row(local))

    def least_loaded(self, local: int) -> tuple[int, ...]:
        """Nodes for a pending task by the Lepton load rule, R_min = argmin C_i / T_i.

        Raises:
            InfeasibleDecisionError: the task does not fit now.
        """
        self._fitting_scratch()
        if not choose_nodes(self._tables.handle, self._work, 0, local, _LEAST_LOADED):
            raise InfeasibleDecisionError(
                "expected a task that fits now, but there is no room for it beside what is running"
                " and what is held for critical tasks",
                Refusal.DOES_NOT_FIT,
            )
        return self._chosen(self._row(local))

    def reserve(self) -> tuple[int, tuple[int, ...]] | None:
        """Renew expected ends and the Lepton reservation; see `core.rules.reservation.reserve`.

        Returns:
            The task that nodes were held for and that fits now, and its nodes, not yet allocated;
            None if there is none.
        """
        self._fitting_scratch()
        local = int(reserve(self._tables.handle, self._work, 0))
        return None if local == NO_TASK else (local, self._chosen(self._row(local)))

    def _chosen(self, row: int) -> tuple[int, ...]:
        """The nodes that were just taken for a task, which are given back."""
        undo_choice(self._tables.handle, self._work, 0, row)
        gang = int(self._tables.view.tasks["replicas"][row])
        return tuple(self._scratch.choice["node"][0, :gang].tolist())

    def holders(self) -> dict[str, int]:
        """Node name -> local index of the pending task it is held for; free nodes are left out."""
        held_by = self._tables.view.pool.rows["held_by"][0].tolist()
        return {name: held_by[m] for m, name in self._present() if held_by[m] != NO_TASK}

    def loads(self) -> dict[str, float]:
        """Node name -> load C/T, 0 to 1: its dominant share in use."""
        view = self._tables.view
        return {name: float(node_load(view.nodes, view.pool, 0, m)) for m, name in self._present()}

    def free(self) -> dict[str, dict[str, float]]:
        """Node name -> kind -> free amount, in the kind's own unit (cores, GiB, cards)."""
        kinds = self.cluster.schema.kinds
        units = self._tables.view.pool.rows["free"][0].tolist()
        return {
            name: {
                kind.name: amount / kind.units_per
                for kind, amount in zip(kinds, units[m][: len(kinds)], strict=True)
            }
            for m, name in self._present()
        }

    def allocated_units(self) -> Ints:
        """What is in use on all nodes together, `(K,)` integer units of each kind."""
        view = self._tables.view
        kinds = len(view.nodes.total)
        # einsum, because `sum` takes four times as long along the long axis
        free: Ints = np.einsum("mk->k", view.pool.rows["free"][0, :, :kinds])
        return np.asarray(view.nodes.total - free)

    def available_units(self) -> Ints:
        """Capacity of the nodes that are not down, and what is in use on those that are, `(K,)`."""
        view = self._tables.view
        down = [m for m, state in enumerate(self.slots.states) if state is NodeState.DOWN]
        free = view.pool.rows["free"][0, down, : len(view.nodes.total)]
        available: Ints = view.nodes.total - free.sum(axis=0)
        return available

    def watts(self) -> float:
        """Power that the nodes draw now: idle + (peak - idle) x load each; those down draw none."""
        if not self.slots.has_power:
            return 0.0
        nodes, loads = self.slots.cluster.nodes, self.loads()
        return sum(
            nodes[m].idle_watts + (nodes[m].peak_watts - nodes[m].idle_watts) * loads[name]
            for m, name in self._present()
            if self.slots.states[m] is not NodeState.DOWN
        )

    def speed_of(self, local: int, nodes: Sequence[int]) -> float:
        """How fast a task runs on these nodes: a gang is as fast as its slowest replica."""
        view = self._tables.view
        return float(view.nodes.speed[nodes, view.tasks["task_class"][self._row(local)]].min())

    def _present(self) -> Iterator[tuple[int, str]]:
        """Index and name of each node that has not been removed."""
        absent = self.slots.absent
        nodes = enumerate(self.slots.cluster.nodes)
        return ((m, node.name) for m, node in nodes if m not in absent)

    def _row(self, local: int) -> int:
        return int(self._tables.view.status["first_row"][0]) + local

    def _make_scratch(self) -> None:
        self._scratch = empty_scratch(self._tables.view.nodes, 1, self._tables.largest_gang)
        self._work = Handle.standing_for(self._scratch)  # the same for compiled functions

    def _fitting_scratch(self) -> Scratch:
        if self._scratch.choice.shape[1] != self._tables.largest_gang:
            self._make_scratch()
        return self._scratch

    def _check_nodes(self, nodes: Sequence[int], replicas: int) -> None:
        if len(nodes) != replicas:
            raise InfeasibleDecisionError(
                f"expected {replicas} nodes, one for each replica, got {len(nodes)}",
                Refusal.WRONG_NUMBER_OF_NODES,
            )
        last = len(self.cluster.nodes) - 1
        for m in nodes:
            if not isinstance(m, int) or not 0 <= m <= last or m in self.slots.absent:
                raise InfeasibleDecisionError(
                    f"expected indices of nodes in 0..{last}, got {m!r}", Refusal.UNKNOWN_NODE
                )

    def _refusal(self, local: int, row: int, m: int) -> InfeasibleDecisionError:
        """Why the nodes up to `m` could not be taken."""
        view = self._tables.view
        name = self.cluster.nodes[m].name
        now_us = int(view.status["now_us"][0])
        has_room = replica_capacity(view.tasks, view.nodes, view.pool, 0, row, m) > 0
        if has_room and not may_use(view, 0, view.pool, 0, local, row, now_us, m):
            return InfeasibleDecisionError(
                f"node {name!r} is held for a critical task; expected one that is free, or a task"
                " that ends before the reservation begins",
                Refusal.NODE_HELD,
            )
        if self.slots.states[m] is not NodeState.UP:
            return InfeasibleDecisionError(
                f"node {name!r} is {self.slots.states[m]}; expected one that is up",
                Refusal.NODE_NOT_UP,
            )
        return InfeasibleDecisionError(
            f"node {name!r} has no room for it, or is not allowed for it; free there:"
            f" {self.free()[name]}",
            Refusal.DOES_NOT_FIT,
        )
