"""The whole system, whatever users and operators do to it, in any order.

Everything is checked against what was asked for, kept apart by an executor that watches; the rules
under test are not asked.
"""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
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
    Node("a", {"cpu": 4, "gpu": 2, "fpga": 1}, "A100", frozenset({"eu"})),
    Node("b", {"cpu": 4, "gpu": 1}, "T4", frozenset({"us"})),
    Node("c", {"cpu": 6}, "", frozenset({"eu"}), {"": 2.0}),
)
MORE = (
    Node("d", {"cpu": 8, "gpu": 4, "fpga": 2}, "H100", frozenset({"asia"})),
    Node("e", {"cpu": 2}, "", frozenset({"eu", "us"})),
)
NODES = {node.name: node for node in (*FIRST, *MORE)}
QUOTAS = {"small": 0.5}

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
        "flags": st.integers(0, 7),
        "max_retries": st.integers(0, 2),
        "checkpoint_interval_s": st.sampled_from((None, 1.0, 2.5)),
        "needs": st.sampled_from(((), (), (), (0,), (1, 3))),
    }
)


class Occasionally:
    """A heuristic that now and then preempts something first."""

    def __init__(self, spec: str, seed: int) -> None:
        self._inner, self._seed = heuristic(spec), seed
        self.name, self.may_preempt = f"occasionally {spec}", True
        self.reset()

    def reset(self) -> None:
        self._inner.reset()
        self._rng = np.random.default_rng(self._seed)

    def reindex(self, moved: np.ndarray) -> None:
        self._inner.reindex(moved)

    def decide(self, view: View) -> Decision:
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
        view, queue = self.system.assess(), self.system.queue
        held = view.pool.rows[0, m]
        local = queue.local_of(task.id)
        if held["held_by"] not in (NO_TASK, local):
            ends_us = now_us + int(view.tasks["requested_us"][local])
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
        spec=st.sampled_from(("fcfs", "fcfs+easy", "sjf+best-fit+easy", "f4+least-loaded+easy")),
        seed=st.integers(0, 2**16),
        failing=st.sampled_from((0.0, 0.3)),
        batching=st.sampled_from(("instant", "single")),
    )
    def begin(self, spec: str, seed: int, failing: float, batching: str) -> None:
        self.policy = Occasionally(spec, seed)
        self.executor = Watching(Failures(probability=failing, seed=seed))
        self.system = Scheduler(
            Cluster(FIRST), self.policy, self.executor, event_batching=batching, quotas=QUOTAS
        )
        self.executor.system = self.system
        self.policy.preemptible = self.running_preemptible  # type: ignore[method-assign]
        self.submitted: list[str] = []
        self.final: dict[str, TaskState] = {}

    def running_preemptible(self) -> set[int]:
        entries = self.system.queue.on_nodes()
        return {entry.local for entry in entries if entry.task.preemptible}

    @rule(burst=st.lists(sketches, min_size=1, max_size=8))
    def submit(self, burst: list[dict[str, Any]]) -> None:
        for sketch in burst:
            task = self.task(**sketch)
            try:
                self.system.submit(task)
            except InfeasibleTaskError:
                continue
            self.submitted.append(task.id)

    def task(
        self, seconds: int, factor: float, ahead: int, flags: int, needs: list[int], **more: Any
    ) -> Task:
        known = self.submitted
        if "gpu" not in more["demand"]:
            more["device_models"] = ()
        return Task(
            f"t{len(known)}",
            requested_time_s=seconds * factor,
            run_time_s=seconds,
            submit_time_s=self.system.now_s + ahead,
            critical=flags in (1, 5),
            preemptible=flags in (2, 3, 5),
            exclusive_node=flags == 4,
            tenant="small" if flags in (3, 6) else "",
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
def test_ten_thousand_lives_of_the_system() -> None:
    run_state_machine_as_test(
        SystemMachine,
        settings=settings(max_examples=10_000, stateful_step_count=50, deadline=None),
    )
