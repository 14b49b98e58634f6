"""Hard days for a whole cluster: whatever happens, every task ends, and nothing is lost.

Bursts of jobs (task graphs of gangs), failures and retries, preemption, nodes that fail, drain and
come back. Operations are scripts of (time in s, what, node); all draws have fixed seeds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np
import pytest

from lepton_rl.core.nodes import Cluster, Node, NodeState
from lepton_rl.core.tasks import Task, TaskState
from lepton_rl.policies.registry import heuristic
from lepton_rl.system import Failures, Scheduler, SimulatedExecutor, TaskRecord

MICRO = 1_000_000
LONG_S = 60.0
"""No live test waits that long unless it fails."""

CLUSTER = Cluster(
    (
        Node("gpu-0", {"cpu": 16, "memory": 64, "gpu": 4}, "A100", {"eu"}, {"training": 2.0}),
        Node("gpu-1", {"cpu": 16, "memory": 64, "gpu": 4}, "A100", {"eu", "trusted"}),
        Node("gpu-2", {"cpu": 16, "memory": 64, "gpu": 2}, "T4", {"us"}, {"training": 0.5}),
        Node("cpu-0", {"cpu": 32, "memory": 128}, "", {"eu"}),
        Node("cpu-1", {"cpu": 32, "memory": 128}, "", {"us", "trusted"}),
    )
)
DEMANDS = (
    {"cpu": 1}, {"cpu": 4, "memory": 16}, {"cpu": 2, "gpu": 0.3}, {"cpu": 2, "gpu": 1},
    {"cpu": 4, "gpu": 2},
)  # fmt: skip


def bursts(seed: int, count: int, each: int, *, scale_s: float = 10.0) -> list[Task]:
    """`count` bursts of `each` tasks, a burst a minute (of `scale_s` = 10); a third depends on
    tasks of its own burst."""
    rng, tasks = np.random.default_rng(seed), list[Task]()
    for burst in range(count):
        names: list[str] = []
        for index in range(each):
            name = f"b{burst}-{index}"
            tasks.append(_task(rng, name, 6.0 * burst * scale_s, scale_s, names))
            names.append(name)
    return tasks


def _task(
    rng: np.random.Generator, name: str, submit_s: float, scale_s: float, earlier: Sequence[str]
) -> Task:
    run_s = float(np.round(scale_s * rng.uniform(0.2, 6), 3))
    needs = rng.choice(earlier, min(len(earlier), 2), replace=False) if earlier else ()
    replicas = int(rng.choice((1, 1, 1, 2, 3)))
    trusted = bool(rng.random() < 0.1) and replicas == 1  # two nodes are, too few for large gangs
    return Task(
        name,
        DEMANDS[int(rng.integers(len(DEMANDS)))],
        requested_time_s=run_s * float(rng.choice((0.5, 1, 2))),
        submit_time_s=submit_s,
        run_time_s=run_s,
        num_replicas=replicas,
        critical=bool(rng.random() < 0.1),
        deadline_s=submit_s + 3 * run_s if rng.random() < 0.5 else None,
        tenant=str(rng.choice(("ada", "ben", "cleo"))),
        task_class=str(rng.choice(("", "training"))),
        required_labels=frozenset({"trusted"} if trusted else ()),
        depends_on=tuple(needs.tolist()) if len(needs) and rng.random() < 1 / 3 else (),
        max_retries=int(rng.integers(0, 4)),
        preemptible=bool(rng.random() < 0.6),
        checkpoint_interval_s=scale_s / 4 if rng.random() < 0.5 else None,
    )


def operate(system: Scheduler, script: Iterable[tuple[float, str, str]]) -> None:
    """Let time pass, and do at each time of the script what it says."""
    for time_s, what, node in script:
        system.run_until(time_s)
        getattr(system, what)(node)


def outage(names: Sequence[str], every_s: float, down_s: float) -> list[tuple[float, str, str]]:
    """The nodes fail one after another, and each comes back some time later."""
    script = []
    for index, name in enumerate(names):
        script += [
            (every_s * (index + 1), "fail_node", name),
            (every_s * (index + 1) + down_s, "resume", name),
        ]
    return sorted(script)


def require_sound_end(system: Scheduler, tasks: Sequence[Task]) -> Counter[TaskState]:
    """Every task has ended, everything is free, and the records tell one story."""
    by_id, records = {task.id: task for task in tasks}, system.records
    states = {task.id: system.state_of(task.id) for task in tasks}
    assert [record.task_id for record in records] == list(by_id)
    assert all(state.is_final for state in states.values())
    assert system.queue.num_unfinished == 0
    assert set(system.pool.loads().values()) == {0.0}
    assert system.reservations() == {}
    for name, free in system.pool.free().items():
        (node,) = (each for each in CLUSTER.nodes if each.name == name)
        assert {kind: amount for kind, amount in free.items() if amount} == dict(node.capacity)
    for record in records:
        assert record.outcome is states[record.task_id]
        _require_sound_record(record, by_id[record.task_id])
    _require_order_of_jobs(records, by_id, states)
    _require_capacity(records, by_id)
    return Counter(states.values())


def _require_sound_record(record: TaskRecord, task: Task) -> None:
    runs = [(run.start_us, run.end_us) for run in record.interruptions]
    if record.start_us is not None and record.end_us is not None:
        runs.append((record.start_us, record.end_us))
    assert all(start_us <= end_us for start_us, end_us in runs)
    assert all(one[1] <= other[0] for one, other in pairwise(runs))
    assert not runs or runs[0][0] >= record.submit_us
    reasons = Counter(run.reason for run in record.interruptions)
    assert task.preemptible or "preempted" not in reasons
    failures = sum(n for why, n in reasons.items() if "simulated failure" in why)
    assert failures <= task.max_retries
    if record.outcome is TaskState.COMPLETED:
        assert len(record.nodes) == task.num_replicas
        _require_whole_work(record, task)
    elif record.outcome is TaskState.FAILED:
        assert failures == task.max_retries


def _require_whole_work(record: TaskRecord, task: Task) -> None:
    """Its last run is as long as what was left; without checkpoints, as all of it."""
    assert task.run_time_s is not None
    assert record.start_us is not None
    assert record.end_us is not None
    speed = min(CLUSTER.nodes[m].speed_of(task.task_class) for m in record.nodes)
    whole_us = max(1, round(round(task.run_time_s * MICRO) / speed))
    lasted_us = record.end_us - record.start_us
    if task.checkpoint_interval_s is None or not record.interruptions:
        assert lasted_us == whole_us
    else:
        assert 0 < lasted_us <= whole_us


def _require_order_of_jobs(
    records: Sequence[TaskRecord], by_id: dict[str, Task], states: dict[str, TaskState]
) -> None:
    ends_us = {record.task_id: record.end_us for record in records}
    for record in records:
        for name in by_id[record.task_id].depends_on:
            if record.first_start_us is not None:
                end_us = ends_us[name]
                assert states[name] is TaskState.COMPLETED
                assert end_us is not None
                assert end_us <= record.first_start_us
            if states[name] is not TaskState.COMPLETED:
                assert states[record.task_id] is TaskState.CANCELLED


def _require_capacity(records: Sequence[TaskRecord], by_id: dict[str, Task]) -> None:
    """At every start, what runs on each node by the records fits there."""
    runs = [
        (start_us, end_us, nodes, by_id[record.task_id])
        for record in records
        for start_us, end_us, nodes in (
            *((run.start_us, run.end_us, run.nodes) for run in record.interruptions),
            (record.start_us, record.end_us, record.nodes),
        )
        if start_us is not None and end_us is not None and end_us > start_us
    ]
    for now_us in {run[0] for run in runs}:
        used: Counter[tuple[int, str]] = Counter()
        for start_us, end_us, nodes, task in runs:
            if start_us <= now_us < end_us:
                for m in nodes:
                    for kind, amount in task.demand.items():
                        used[m, kind] += round(amount * 1000)
        for (m, kind), units in used.items():
            assert units <= CLUSTER.nodes[m].capacity.get(kind, 0) * 1000


def make(spec: str, failures: Failures, **options: object) -> Scheduler:
    return Scheduler(CLUSTER, heuristic(spec), SimulatedExecutor(failures), **options)  # type: ignore[arg-type]


SPECS = ("edf+preempt+easy+best-fit", "las+gpu-packing", "sjf+preempt+conservative+fgd")


@pytest.mark.parametrize("spec", SPECS)
def test_bursts_while_every_node_fails_once(spec: str) -> None:
    tasks = bursts(seed=1, count=4, each=25)
    system = make(spec, Failures(probability=0.2, seed=1))
    system.submit_all(tasks)
    operate(system, outage([node.name for node in CLUSTER.nodes], every_s=45, down_s=60))
    system.run()

    ended = require_sound_end(system, tasks)
    assert ended[TaskState.COMPLETED] > len(tasks) / 2
    assert ended[TaskState.FAILED] > 0
    assert ended[TaskState.CANCELLED] > 0  # they depended on what failed
    reasons = Counter(run.reason for record in system.records for run in record.interruptions)
    assert any("went down" in reason for reason in reasons)
    assert any("simulated failure" in reason for reason in reasons)


@pytest.mark.parametrize("spec", SPECS)
def test_a_rolling_drain_stops_nobody(spec: str) -> None:
    """One node after another is drained until it is empty, and comes back."""
    tasks = [task for task in bursts(seed=2, count=3, each=25) if not task.depends_on]
    system = make(spec, Failures())
    system.submit_all(tasks)
    for node in CLUSTER.nodes:
        system.run_until(system.now_s + 20)
        system.drain(node.name)
        while system.pool.loads()[node.name] > 0:
            assert system.step()
        assert system.node_states()[node.name] is NodeState.DRAINING
        system.resume(node.name)
    system.run()

    ended = require_sound_end(system, tasks)
    assert ended == {TaskState.COMPLETED: len(tasks)}
    reasons = {run.reason for record in system.records for run in record.interruptions}
    assert reasons <= {"preempted"}


def test_preemption_under_pressure_and_quotas() -> None:
    """Long tasks fill the cluster; urgent bursts stop them again and again; a tenant is capped."""
    filling = [
        Task(
            f"long-{index}",
            {"cpu": 8, "gpu": 1} if index % 2 else {"cpu": 8},
            requested_time_s=400,
            run_time_s=400,
            preemptible=True,
            checkpoint_interval_s=10.0 if index % 3 else None,
            deadline_s=5000,
            tenant="ada",
        )
        for index in range(16)
    ]
    tasks = [*filling, *bursts(seed=3, count=5, each=15)]
    system = make("edf+preempt+easy", Failures(probability=0.05, seed=3), quotas={"ben": 0.4})
    system.submit_all(tasks)
    while system.step():
        assert system.shares()["ben"] <= 0.4

    ended = require_sound_end(system, tasks)
    assert ended[TaskState.COMPLETED] > len(tasks) / 2
    preempted = [r for r in system.records if any(i.reason == "preempted" for i in r.interruptions)]
    assert len(preempted) >= 5
    assert {record.task_id for record in preempted} & {task.id for task in filling}


def test_the_same_day_twice_is_the_same() -> None:
    def day() -> tuple[TaskRecord, ...]:
        system = make("edf+preempt+easy+random", Failures(probability=0.2, seed=4))
        system.submit_all(bursts(seed=4, count=2, each=20))
        operate(system, outage(["gpu-0", "cpu-0"], every_s=30, down_s=40))
        system.run()
        return system.records

    assert day() == day()


def test_users_cancel_in_the_middle_of_it() -> None:
    tasks = bursts(seed=5, count=3, each=20)
    system = make("las+easy", Failures(probability=0.3, seed=5))
    system.submit_all(tasks)
    for index, task in enumerate(tasks[::4]):
        system.run_until(10.0 * index)
        was_final = system.state_of(task.id).is_final
        assert system.cancel(task.id) is not was_final
        assert system.state_of(task.id).is_final
    system.run()

    ended = require_sound_end(system, tasks)
    assert ended[TaskState.CANCELLED] >= 5


def test_a_live_one() -> None:
    """A day in seconds: submitted, failed and drained from outside while time passes by itself."""
    tasks = bursts(seed=6, count=2, each=15, scale_s=0.02)
    system = make("edf+preempt+easy", Failures(probability=0.2, seed=6))
    system.start()
    for task in tasks[:20]:
        system.submit(task)
    system.fail_node("gpu-1")
    system.drain("cpu-0")
    for task in tasks[20:]:
        system.submit(task)
    system.resume("gpu-1")
    system.resume("cpu-0")
    assert system.join(LONG_S)
    assert system.stop(timeout_s=LONG_S)

    assert not system.monitor.incidents
    states = {task.id: system.state_of(task.id) for task in tasks}
    assert all(state.is_final for state in states.values())
    assert set(system.pool.loads().values()) == {0.0}
    assert system.reservations() == {}
    assert [record.task_id for record in system.records] == [task.id for task in tasks]
    by_id = {task.id: task for task in tasks}
    _require_order_of_jobs(system.records, by_id, states)
    assert Counter(states.values())[TaskState.COMPLETED] > len(tasks) / 2
