"""Whatever is submitted, under whatever policy: capacity is never exceeded and no task is lost.

The checks use what was asked for and what the records say, not the rules under test.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from random import Random
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_rl.core.errors import InfeasibleTaskError, StateError
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.policy import Decision, Policy, Start, Wait
from lepton_rl.core.tables import View
from lepton_rl.core.tasks import Task, TaskState
from lepton_rl.policies.registry import BASELINES, heuristic
from lepton_rl.system import Scheduler, SimulatedExecutor, TaskRecord, scheduler
from lepton_rl.system.state import Tables
from tests.scenarios import FIXED_NODES, LABELS, MODELS

CLUSTER = Cluster(FIXED_NODES)
MICRO = 1_000_000

demands = st.fixed_dictionaries(
    {"cpu": st.sampled_from((0.25, 1, 2, 4))},
    optional={
        "memory": st.sampled_from((1, 4, 8)),
        "gpu": st.sampled_from((0.2, 0.334, 0.5, 0.7, 1, 2)),
        "fpga": st.sampled_from((0.5, 1)),
    },
)
seconds = st.integers(1, 12)
tasks_drawn = st.builds(
    partial(Task, "unnamed"),
    demand=demands,
    requested_time_s=seconds,
    submit_time_s=st.integers(0, 12),
    run_time_s=seconds,
    num_replicas=st.sampled_from((1, 1, 2, 3)),
    urgency=st.integers(-5, 5),
    critical=st.booleans(),
    required_labels=st.sampled_from((set(), set(), set(), *({label} for label in LABELS))),
    device_models=st.sampled_from((set(), set(), set(), *({model} for model in MODELS))),
    exclusive_node=st.sampled_from((False, False, False, True)),
)
task_lists = st.lists(tasks_drawn, min_size=10, max_size=40).map(
    lambda tasks: [replace(task, id=f"t{index}") for index, task in enumerate(tasks)]
)
specs = st.builds(
    "{}+{}+{}".format,
    st.sampled_from(BASELINES),
    st.sampled_from(("first-fit", "best-fit", "least-loaded")),
    st.sampled_from(("none", "easy", "blocking", "fixed-shadow+blocking")),
)
batchings = st.sampled_from(("instant", "single"))


class Anything:
    """Decides at random, mostly nonsense; when nothing runs, as FCFS does, so that time goes on."""

    name = "anything"

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._fcfs = heuristic("fcfs")
        self.reset()

    def reset(self) -> None:
        self._rng = np.random.default_rng(self._seed)
        self._fcfs.reset()

    def decide(self, view: View) -> Decision:
        if view.status["num_running"][0] == 0:
            return self._fcfs.decide(view)
        if self._rng.random() < 0.2:
            return Wait()
        local = int(view.pending[0, self._rng.integers(view.status["num_pending"][0])])
        count = int(view.tasks["replicas"][local])
        if self._rng.random() < 0.2:
            local, count = int(self._rng.integers(-1, 40)), int(self._rng.integers(0, 4))
        outside = int(self._rng.random() < 0.1)
        nodes = self._rng.integers(-outside, len(view.nodes.rows) + outside, count)
        return Start(local, tuple(nodes.tolist()))


class Counting(SimulatedExecutor):
    """Counts the starts of each task, and its nodes."""

    def __init__(self) -> None:
        super().__init__()
        self.starts: Counter[str] = Counter()

    def start(self, task: Task, nodes: tuple[int, ...], now_us: int) -> None:
        super().start(task, nodes, now_us)
        self.starts[task.id] += 1


def run(
    policy: Policy, tasks: list[Task], batching: str, *, strict: bool = True
) -> tuple[Scheduler, list[Task], Counting]:
    """Run what the cluster can hold; cards are checked after each step."""
    executor = Counting()
    system = Scheduler(CLUSTER, policy, executor, strict=strict, event_batching=batching)
    accepted = []
    for task in tasks:
        try:
            system.submit(task)
        except InfeasibleTaskError:
            continue
        accepted.append(task)
    while system.step():
        check_cards(system)
    return system, accepted, executor


def check_cards(system: Scheduler) -> None:
    """No card carries more than itself, whole cards carry one replica."""
    view, names = system.assess(), [kind.name for kind in CLUSTER.schema.kinds]
    on_card: Counter[tuple[int, int]] = Counter()
    for task in system.queue.running:
        held = view.held[0, system.queue.local_of(task.id)][: task.num_replicas]
        for m, bits in held.tolist():
            if task.exclusive_node:
                continue
            columns = [c for c in range(view.nodes.cards.shape[1]) if bits >> c & 1]
            for device, name in enumerate(names[2:]):
                first, last = view.nodes.card_start[device : device + 2]
                mine = [c for c in columns if first <= c < last]
                wanted = task.demand.get(name, 0)
                assert len(mine) == np.ceil(wanted)
                for column in mine:
                    on_card[m, column] += round(1000 * min(1, wanted))
    for (m, column), units in on_card.items():
        assert units <= view.nodes.cards[m, column]


def check_records(tasks: list[Task], records: tuple[TaskRecord, ...]) -> None:
    """At every instant, what runs on a node fits there and is allowed there."""
    by_id = {task.id: task for task in tasks}
    moments = sorted({record.start_us for record in records})
    for now_us in moments:
        for m, node in enumerate(CLUSTER.nodes):
            there = [
                by_id[record.task_id]
                for record in records
                if record.start_us <= now_us < record.end_us
                for chosen in record.nodes
                if chosen == m
            ]
            for kind in CLUSTER.schema.kinds:
                used = sum(round(task.demand.get(kind.name, 0) * kind.units_per) for task in there)
                assert used <= node.capacity.get(kind.name, 0) * kind.units_per
            for task in there:
                assert not task.exclusive_node or len(there) == 1
                assert task.required_labels <= node.labels
                assert not task.device_models or node.device_model in task.device_models


def check_conservation(system: Scheduler, tasks: list[Task], executor: Counting) -> None:
    """Each task ran once, all replicas together, for its run time, after it was submitted."""
    assert executor.starts == {task.id: 1 for task in tasks}
    assert [record.task_id for record in system.records] == [task.id for task in tasks]
    for task, record in zip(tasks, system.records, strict=True):
        assert system.state_of(task.id) is TaskState.COMPLETED
        assert len(record.nodes) == task.num_replicas
        assert record.start_us is not None
        assert record.start_us >= task.submit_time_s * MICRO
        assert record.end_us == record.start_us + (task.run_time_s or 0) * MICRO
    assert set(system.pool.loads().values()) == {0.0}
    assert system.reservations() == {}


@settings(max_examples=60, deadline=None)
@given(task_lists, specs, batchings)
def test_heuristics_never_exceed_capacity_and_lose_no_task(
    tasks: list[Task], spec: str, batching: str
) -> None:
    system, accepted, executor = run(heuristic(spec), tasks, batching)

    check_conservation(system, accepted, executor)
    check_records(accepted, system.records)
    assert not system.monitor.incidents


@settings(max_examples=60, deadline=None)
@given(task_lists, st.integers(0, 2**32 - 1), batchings)
def test_nor_does_a_policy_that_decides_nonsense(
    tasks: list[Task], seed: int, batching: str
) -> None:
    system, accepted, executor = run(Anything(seed), tasks, batching, strict=False)

    check_conservation(system, accepted, executor)
    check_records(accepted, system.records)
    counts = system.monitor.decisions
    assert counts["start"] == len(accepted)
    assert counts["refused"] == sum(system.monitor.incidents.values())


@settings(max_examples=50, deadline=None)
@given(task_lists, specs, batchings, st.integers(1, 4))
def test_the_same_work_makes_the_same_schedule_wherever_rows_are(
    tasks: list[Task], spec: str, batching: str, capacity: int
) -> None:
    first, _, _ = run(heuristic(spec), tasks, batching)
    again, _, _ = run(heuristic(spec), tasks, batching)
    with patch.object(scheduler, "Tables", partial(Tables, capacity=capacity)):
        moving, _, _ = run(heuristic(spec), tasks, batching)

    assert first.records == again.records == moving.records
    assert first.monitor.utilisation() == moving.monitor.utilisation()


@settings(max_examples=50, deadline=None)
@given(task_lists, st.integers(0, 2**32 - 1))
def test_the_same_seed_makes_the_same_schedule(tasks: list[Task], seed: int) -> None:
    first, _, _ = run(Anything(seed), tasks, "instant", strict=False)
    again, _, _ = run(Anything(seed), tasks, "instant", strict=False)

    assert first.records == again.records
    assert first.monitor.incidents == again.monitor.incidents


@settings(max_examples=50, deadline=None)
@given(task_lists, specs, batchings, st.randoms(use_true_random=False))
def test_the_order_of_submission_decides_ties_only(
    tasks: list[Task], spec: str, batching: str, random: Random
) -> None:
    apart = [
        replace(task, submit_time_s=task.submit_time_s + index / 1000)
        for index, task in enumerate(tasks)
    ]
    shuffled = random.sample(apart, len(apart))

    one, _, _ = run(heuristic(spec), apart, batching)
    other, _, _ = run(heuristic(spec), shuffled, batching)

    assert set(one.records) == set(other.records)


def test_a_policy_that_only_waits_is_found_out() -> None:
    class Never(Anything):
        def decide(self, view: View) -> Decision:
            return Wait()

    with pytest.raises(StateError, match="'x' is pending"):
        run(Never(0), [Task("x", {"cpu": 1}, 1, run_time_s=1)], "instant")
