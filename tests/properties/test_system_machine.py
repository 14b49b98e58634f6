"""The whole system, whatever users and operators do to it, in any order.

Everything is checked against what was asked for, kept apart by an executor that watches; the rules
under test are not asked.
"""

from __future__ import annotations

import zlib
from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from lepton_rl.core.errors import InfeasibleTaskError
from lepton_rl.core.nodes import Cluster, Node, NodeState
from lepton_rl.core.policy import Decision, Preempt
from lepton_rl.core.tables import NO_TASK, View
from lepton_rl.core.tasks import Task, TaskState
from lepton_rl.policies.registry import heuristic
from lepton_rl.system import Failures, Scheduler, SimulatedExecutor
from lepton_rl.system.executor import Completion

MICRO = 1_000_000
KINDS = ("cpu", "gpu", "fpga")
FIRST = (
    Node("a", {"cpu": 4, "gpu": 2, "fpga": 1}, "A100", frozenset({"eu"}), {"training": 3.0}),
    Node("b", {"cpu": 4, "gpu": 1}, "T4", frozenset({"us"}), {"serving": 0.4}),
    Node("c", {"cpu": 6}, "", frozenset({"eu"}), {"": 2.0}),
)
MORE = (
    Node("d", {"cpu": 8, "gpu": 4, "fpga": 2}, "H100", frozenset({"asia"}), {"training": 7.0}),
    Node("e", {"cpu": 2}, "", frozenset({"eu", "us"})),
)
NODES = {node.name: node for node in (*FIRST, *MORE)}
QUOTAS = {"small": 0.5, "tiny": 0.25}
MOST_DECISIONS = 20_000
"""More than any life needs; who goes round in circles at one instant is found out."""

orders = st.sampled_from(
    ("fcfs", "sjf", "f4", "lepton", "edf", "least-slack", "multifactor", "drf", "max-min", "las",
     "edf+preempt", "sjf+preempt", "fcfs+preempt")
)  # fmt: skip
places = st.sampled_from(("first-fit", "best-fit", "least-loaded", "tetris", "gpu-packing",
                          "gpu-clustering", "fgd", "random", "dot-product"))  # fmt: skip
backfills = st.sampled_from(("none", "easy", "conservative"))
specs = st.builds("{}+{}+{}".format, orders, places, backfills)

names = st.sampled_from(sorted(NODES))
demands = st.fixed_dictionaries(
    {"cpu": st.sampled_from((0.5, 1, 2, 4))},
    optional={"gpu": st.sampled_from((0.3, 0.5, 1, 2)), "fpga": st.sampled_from((0.5, 1))},
)

sketches = st.fixed_dictionaries(
    {
        "demand": demands,
        "seconds": st.integers(1, 12),
        "factor": st.sampled_from((0.5, 1, 2)),
        "ahead": st.sampled_from((0, 0, 0, 1, 5)),
        "num_replicas": st.sampled_from((1, 1, 1, 2, 3)),
        "required_labels": st.sampled_from(((), (), (), ("eu",), ("us",), ("asia",))),
        "device_models": st.sampled_from(((), (), ("A100",), ("H100", "T4"))),
        "flags": st.integers(0, 9),
        "tenant": st.sampled_from(("", "", "ada", "ben", "small", "tiny")),
        "task_class": st.sampled_from(("", "training", "serving", "unheard of")),
        "slack": st.sampled_from((None, 0.5, 2, 5)),
        "max_retries": st.integers(0, 2),
        "checkpoint_interval_s": st.sampled_from((None, 1.0, 2.5)),
        "needs": st.sampled_from(((), (), (), (0,), (1, 3))),
    }
)


class Guesses:
    """Predicts run times that have little to do with the truth, mostly too short."""

    def submitted(self, task: Task) -> float:
        return task.requested_time_s * (0.01, 0.2, 1.0, 1.5)[zlib.crc32(task.id.encode()) % 4]

    def ended(self, task_id: str, run_time_s: float | None) -> None:
        assert run_time_s is None or run_time_s > 0


class Occasionally:
    """A heuristic that now and then preempts something first."""

    def __init__(self, spec: str, seed: int) -> None:
        self._inner, self._seed = heuristic(spec), seed
        self.name, self.may_preempt = f"occasionally {spec}", True
        self.reset()

    def reset(self) -> None:
        self._inner.reset()
        self._rng = np.random.default_rng(self._seed)
        self.decisions = 0

    def reindex(self, moved: np.ndarray) -> None:
        self._inner.reindex(moved)

    def decide(self, view: View) -> Decision:
        self.decisions += 1
        assert self.decisions < MOST_DECISIONS, "time stands still"
        victims = sorted(self.preemptible()) if self.may_preempt else []
        if victims and self._rng.random() < 0.3:
            return Preempt(int(self._rng.choice(victims)))
        return self._inner.decide(view)

    def preemptible(self) -> set[int]:
        raise NotImplementedError  # set by the machine, which knows the tasks


class Watching(SimulatedExecutor):
    """Knows what runs where, and checks each start."""

    def __init__(self, failures: Failures) -> None:
        super().__init__(failures)
        self.where: dict[str, tuple[Task, tuple[str, ...]]] = {}
        self.completed: set[str] = set()
        self.system: Scheduler

    def start(self, task: Task, nodes: tuple[int, ...], now_us: int) -> None:
        assert task.id not in self.where, "runs twice at once"
        assert len(nodes) == task.num_replicas, "a gang in parts"
        assert set(task.depends_on) <= self.completed, "before what it depends on"
        assert now_us >= round(task.submit_time_s * MICRO)
        cluster = self.system.pool.cluster.nodes
        states = self.system.node_states()
        for m in nodes:
            node = cluster[m]
            assert states[node.name] is NodeState.UP, "on a node that takes no tasks"
            assert task.required_labels <= node.labels, "outside its zone"
            assert not task.device_models or node.device_model in task.device_models
            self.check_reservation(task, m, now_us)
        super().start(task, nodes, now_us)
        self.where[task.id] = task, tuple(cluster[m].name for m in nodes)
        self.check_quota(task.tenant)

    def check_reservation(self, task: Task, m: int, now_us: int) -> None:
        """A node that is held for another is free again, by the estimate, when that one comes."""
        view, local = self.system.assess(), self.system.queue.local_of(task.id)
        held = view.pool.rows[0, m]
        if held["held_by"] not in (NO_TASK, local):
            kept_us = int(view.spans["kept_us"][0, local])
            left_us = max(1, int(view.tasks["requested_us"][local]) - kept_us)
            speed = self.system.pool.cluster.nodes[m].speed_of(task.task_class)
            ends_us = now_us + max(1, round(left_us / speed))
            assert ends_us <= held["held_from_us"], "on a node that is held for another"

    def check_quota(self, tenant: str) -> None:
        if tenant not in QUOTAS:
            return
        there = [NODES[name] for name in self.system.node_states()]
        for kind in KINDS:
            total = sum(Fraction(str(node.capacity.get(kind, 0))) for node in there)
            mine = sum(
                Fraction(str(task.demand.get(kind, 0))) * task.num_replicas
                for task, _ in self.where.values()
                if task.tenant == tenant
            )
            assert mine <= total * Fraction(str(QUOTAS[tenant])), "over its quota"

    def completions(self, now_us: int) -> list[Completion]:
        told = super().completions(now_us)
        for end in told:
            del self.where[end.task_id]
            if end.outcome == "completed":
                self.completed.add(end.task_id)
        return told


class SystemMachine(RuleBasedStateMachine):
    """submit, cancel, preempt, fail, drain, resume, add and remove nodes, and time passes."""

    @initialize(
        spec=specs,
        seed=st.integers(0, 2**16),
        failing=st.sampled_from((0.0, 0.3)),
        batching=st.sampled_from(("instant", "single")),
        guesses=st.booleans(),
        occasionally=st.booleans(),
    )
    def begin(
        self,
        spec: str,
        seed: int,
        failing: float,
        batching: str,
        guesses: bool,
        occasionally: bool,
    ) -> None:
        self.policy = Occasionally(spec, seed)
        self.policy.may_preempt = occasionally
        self.executor = Watching(Failures(probability=failing, seed=seed))
        self.system = Scheduler(
            Cluster(FIRST),
            self.policy,
            self.executor,
            event_batching=batching,
            quotas=QUOTAS,
            prediction=Guesses() if guesses else None,
        )
        self.executor.system = self.system
        self.policy.preemptible = self.running_preemptible  # type: ignore[method-assign]
        self.submitted: list[str] = []
        self.tasks: dict[str, Task] = {}
        self.final: dict[str, TaskState] = {}

    def running_preemptible(self) -> set[int]:
        """Local indices; one that was stopped holds its nodes until its end has had its turn."""
        entries = self.system.queue.on_nodes()
        return {e.local for e in entries if e.task.preemptible and e.stopping is None}

    @rule(burst=st.lists(sketches, min_size=1, max_size=8))
    def submit(self, burst: list[dict[str, Any]]) -> None:
        for sketch in burst:
            task = self.task(**sketch)
            try:
                self.system.submit(task)
            except InfeasibleTaskError:
                continue
            self.submitted.append(task.id)
            self.tasks[task.id] = task

    def task(
        self,
        seconds: int,
        factor: float,
        ahead: int,
        flags: int,
        slack: float | None,
        needs: list[int],
        **more: Any,
    ) -> Task:
        known, submit_s = self.submitted, self.system.now_s + ahead
        if "gpu" not in more["demand"]:
            more["device_models"] = ()
        return Task(
            f"t{len(known)}",
            requested_time_s=seconds * factor,
            run_time_s=seconds,
            submit_time_s=submit_s,
            deadline_s=None if slack is None else submit_s + seconds * slack,
            critical=flags in (1, 5, 6),
            preemptible=flags in (2, 3, 5, 7, 8),
            exclusive_node=flags == 4,
            depends_on=[known[-1 - n % len(known)] for n in needs] if known else (),
            **more,
        )

    @precondition(lambda self: self.submitted)
    @rule(which=st.integers(0, 200))
    def cancel(self, which: int) -> None:
        task_id = self.submitted[which % len(self.submitted)]
        was_final = self.system.state_of(task_id).is_final
        assert self.system.cancel(task_id) is not was_final
        assert self.system.state_of(task_id).is_final

    @rule(name=names)
    def fail_node(self, name: str) -> None:
        if name in self.system.node_states():
            self.system.fail_node(name)
            assert not any(name in on for _, on in self.executor.where.values())

    @rule(name=names)
    def drain(self, name: str) -> None:
        if self.system.node_states().get(name, NodeState.DOWN) is not NodeState.DOWN:
            self.system.drain(name)

    @rule(name=names)
    def resume(self, name: str) -> None:
        if name in self.system.node_states():
            self.system.resume(name)

    @rule(name=names)
    def add_node(self, name: str) -> None:
        if name not in self.system.node_states():
            self.system.add_nodes([NODES[name]])

    @rule(name=names)
    def remove_node(self, name: str) -> None:
        states = self.system.node_states()
        is_used = any(name in on for _, on in self.executor.where.values())
        if name in states and len(states) > 1 and not is_used:
            self.system.remove_node(name)

    @rule(seconds=st.integers(1, 8))
    def time_passes(self, seconds: int) -> None:
        self.system.run_until(self.system.now_s + seconds)
        self.promises_are_kept()

    @invariant()
    def capacity_is_never_exceeded_and_exact(self) -> None:
        used: dict[str, Counter[str]] = {name: Counter() for name in NODES}
        for task, on in self.executor.where.values():
            for name in on:
                whole = task.exclusive_node
                amounts = NODES[name].capacity if whole else task.demand
                used[name]["replicas"] += 1
                used[name]["exclusive"] += whole
                for kind in KINDS:
                    used[name][kind] += round(amounts.get(kind, 0) * 1000)
        free = self.system.pool.free()
        assert free.keys() == self.system.node_states().keys()
        for name, amounts in free.items():
            assert used[name]["exclusive"] == 0 or used[name]["replicas"] == 1
            for kind in KINDS:
                capacity = round(NODES[name].capacity.get(kind, 0) * 1000)
                assert used[name][kind] <= capacity
                assert round(amounts[kind] * 1000) == capacity - used[name][kind]

    def promises_are_kept(self) -> None:
        """Who has nodes held for it starts as soon as it fits, whatever the policy would do."""
        for name in set(self.system.reservations().values()):
            task = self.tasks[name]
            assert task.critical
            assert self.system.state_of(name) is TaskState.PENDING
            assert self.room_for(task) < task.num_replicas, "it fits, and has not started"

    def room_for(self, task: Task) -> int:
        """Replicas for which there is room now; nodes held for another do not count."""
        room, holders, states = 0, self.system.reservations(), self.system.node_states()
        for name, free in self.system.pool.free().items():
            node = NODES[name]
            allowed = task.required_labels <= node.labels and (
                not task.device_models or node.device_model in task.device_models
            )
            is_open = states[name] is NodeState.UP and holders.get(name, task.id) == task.id
            if allowed and is_open:
                room += self.replicas_on(task, name, free)
        return room

    def replicas_on(self, task: Task, name: str, free: dict[str, float]) -> int:
        if task.exclusive_node and any(name in on for _, on in self.executor.where.values()):
            return 0
        fits = [round(free["cpu"] * 1000) // round(task.demand["cpu"] * 1000)]
        for kind in KINDS[1:]:
            wanted = round(task.demand.get(kind, 0) * 1000)
            if wanted == 0:
                continue
            cards = self.cards_free(name, kind)
            if wanted < 1000:
                fits.append(sum(units // wanted for units in cards))
            else:
                fits.append(cards.count(1000) // (wanted // 1000))
        return min(1, *fits) if task.exclusive_node else min(fits)

    def cards_free(self, name: str, kind: str) -> list[int]:
        """Milli-cards that are free on each card, by what runs there."""
        cards = [1000] * int(NODES[name].capacity.get(kind, 0))
        nodes = self.system.pool.cluster.nodes
        for entry in self.system.queue.on_nodes():
            held = self.system.pool.cards_held(entry.local)
            for m, on_node in zip(entry.nodes, held, strict=True):
                if nodes[m].name != name:
                    continue
                if entry.task.exclusive_node:
                    return [0] * len(cards)
                for card in on_node.get(kind, ()):
                    cards[card] -= round(1000 * min(1, entry.task.demand[kind]))
        return cards

    @invariant()
    def tenants_hold_what_their_tasks_ask_for(self) -> None:
        used: dict[str, Counter[str]] = {name: Counter() for name in self.system.queue.tenants}
        for task, _ in self.executor.where.values():
            for kind in KINDS:
                units = round(task.demand.get(kind, 0) * 1000)
                used[task.tenant][kind] += units * task.num_replicas
        names = [kind.name for kind in self.system.pool.cluster.schema.kinds]
        records = self.system.assess().tenants[0]
        for name, number in self.system.queue.tenants.items():
            if number < len(records):  # it has a record once a task of it has arrived
                held = dict(zip(names, records["used"][number].tolist(), strict=False))
                assert held == {kind: used[name][kind] for kind in names}
                assert np.isfinite(records["usage_s"][number])
                assert records["usage_s"][number] >= 0

    @invariant()
    def signals_are_shares_and_rates(self) -> None:
        signals = self.system.assess().signals[0]
        assert all(
            np.isfinite(signals[name]) and signals[name] >= 0 for name in signals.dtype.names
        )
        assert signals["failures"] <= signals["ends"]

    @invariant()
    def only_who_may_be_preempted_is(self) -> None:
        for record in self.system.records:
            reasons = {run.reason for run in record.interruptions}
            assert "preempted" not in reasons or self.tasks[record.task_id].preemptible

    @invariant()
    def cards_carry_no_more_than_themselves(self) -> None:
        cards: Counter[tuple[str, str, int]] = Counter()
        for entry in self.system.queue.on_nodes():
            if entry.task.exclusive_node:
                continue
            for m, held in zip(entry.nodes, self.system.pool.cards_held(entry.local), strict=True):
                name = self.system.pool.cluster.nodes[m].name
                wanted = {kind: entry.task.demand.get(kind, 0) for kind in KINDS[1:]}
                assert {kind: len(which) for kind, which in held.items()} == {
                    kind: max(1, int(amount)) for kind, amount in wanted.items() if amount
                }
                for kind, which in held.items():
                    for card in which:
                        assert card < NODES[name].capacity[kind]
                        cards[name, kind, card] += round(1000 * min(1, wanted[kind]))
        assert all(units <= 1000 for units in cards.values())

    @invariant()
    def tasks_are_conserved(self) -> None:
        system = self.system
        assert [record.task_id for record in system.records] == self.submitted
        on_nodes = {entry.task.id for entry in system.queue.on_nodes()}
        assert on_nodes == self.executor.where.keys()
        for task_id in self.submitted:
            state = system.state_of(task_id)
            assert state.is_on_nodes == (task_id in on_nodes)
            assert self.final.get(task_id, state) is state, "a final state has changed"
            if state.is_final:
                self.final[task_id] = state
            assert (state is TaskState.COMPLETED) == (task_id in self.executor.completed)
        assert system.queue.num_unfinished == len(self.submitted) - len(self.final)

    def teardown(self) -> None:
        if not hasattr(self, "system"):
            return
        self.policy.may_preempt = False
        missing = NODES.keys() - self.system.node_states().keys()
        self.system.add_nodes([NODES[name] for name in sorted(missing)])
        self.cards_carry_no_more_than_themselves()
        for name in NODES:
            self.system.resume(name)
        self.system.run()
        for task_id in self.submitted:
            assert self.system.state_of(task_id).is_final
        self.tasks_are_conserved()
        self.capacity_is_never_exceeded_and_exact()
        assert set(self.system.pool.loads().values()) == {0.0}
        assert self.system.reservations() == {}


TestSystemMachine = SystemMachine.TestCase
TestSystemMachine.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(4))
def test_ten_thousand_lives_of_the_system(part: int) -> None:
    """In parts, so that several processes can share them; each draws its own lives."""
    run_state_machine_as_test(
        seed(part)(SystemMachine),
        settings=settings(max_examples=2_500, stateful_step_count=50, deadline=None),
    )
