"""Preemption by hand: who is stopped, who is spared, what is kept."""

from __future__ import annotations

from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.tasks import Task
from lepton_rl.system import TaskRecord
from tests.golden.by_hand import MICRO, run, starts_s, task

CLUSTER = Cluster((Node("n0", {"cpu": 4}), Node("n1", {"cpu": 2})))


def running(name: str, deadline_s: float, **more: object) -> Task:
    """One of three that fill the cluster from 0 s: v1 and v2 on n0, v3 on n1."""
    return task(name, 2, 100, deadline_s=deadline_s, preemptible=True, **more)


HEAD = task("H", 4, 50, at=10, deadline_s=100)  # only n0 is large enough


def stopped_at_s(records: dict[str, TaskRecord]) -> dict[str, list[float]]:
    return {
        name: [each.end_us / MICRO for each in record.interruptions]
        for name, record in records.items()
        if record.interruptions
    }


def test_those_whose_nodes_help_are_stopped_and_the_latest_deadline_is_spared() -> None:
    tasks = [running("v1", 500), running("v2", 400), running("v3", 900), HEAD]
    found = run(CLUSTER, tasks, "edf+preempt")
    # v3 would give way first, but n1 is of no use to H. At the next instant v2 comes before v3, and
    # n1 is large enough for it. v1 and v3 go on, from the beginning, when H has ended.
    assert stopped_at_s(found) == {"v1": [10], "v2": [10], "v3": [10.000001]}
    assert starts_s(found)["H"] == 10
    again = {name: found[name].start_us for name in ("v1", "v2", "v3")}
    assert again == {"v1": 60_000_000, "v2": 10_000_001, "v3": 60_000_000}
    assert found["v1"].end_us == 160_000_000


def test_a_checkpoint_keeps_whole_intervals_of_work() -> None:
    # After 10 s v1 has saved 8 s, so 92 s are left; v2 saves every 10 s, just in time: 90 s. v3
    # may not be stopped.
    tasks = [
        running("v1", 500, checkpoint_interval_s=4.0),
        running("v2", 400, checkpoint_interval_s=10.0),
        task("v3", 2, 100, deadline_s=900),
        HEAD,
    ]
    found = run(CLUSTER, tasks, "edf+preempt")
    assert [found[name].end_us for name in ("v1", "v2")] == [152 * MICRO, 150 * MICRO]


def test_only_as_many_as_are_needed() -> None:
    # 2 cores for the head: v3 (900 s) has the latest deadline and is enough.
    head = task("H", 2, 50, at=10, deadline_s=100)
    tasks = [running("v1", 500), running("v2", 400), running("v3", 900), head]
    assert stopped_at_s(run(CLUSTER, tasks, "edf+preempt")) == {"v3": [10]}


def test_nobody_is_stopped_where_that_is_not_enough() -> None:
    late = run(
        CLUSTER, [running("v1", 500), running("v2", 90), running("v3", 900), HEAD], "edf+preempt"
    )
    assert stopped_at_s(late) == {}  # v2 comes before H
    assert starts_s(late)["H"] == 100

    stubborn = task("v2", 2, 100, deadline_s=400)
    found = run(CLUSTER, [running("v1", 500), stubborn, running("v3", 900), HEAD], "edf+preempt")
    assert stopped_at_s(found) == {}  # v2 may not be stopped


def test_nobody_is_stopped_without_preempt() -> None:
    tasks = [running("v1", 500), running("v2", 400), running("v3", 900), HEAD]
    assert stopped_at_s(run(CLUSTER, tasks, "edf")) == {}


def test_equal_scores_do_not_give_way() -> None:
    tasks = [running("v1", 100), running("v2", 100), running("v3", 100), HEAD]
    assert stopped_at_s(run(CLUSTER, tasks, "edf+preempt")) == {}


def test_las_lets_newcomers_in_once_a_task_has_had_an_hour() -> None:
    # 4 cores x 900 s is one processor-hour. `young` comes at 800 s and waits; nothing happens at
    # 900 s; at 1000 s `tick` comes, and `old` is in the second class.
    pool = Cluster.pool(4)
    tasks = [
        task("old", 4, 5000, preemptible=True, checkpoint_interval_s=100.0),
        task("young", 4, 300, at=800, preemptible=True),
        task("tick", 1, 10, at=1000),
    ]
    found = run(pool, tasks, "las")
    assert stopped_at_s(found) == {"old": [1000]}
    assert starts_s(found) == {"old": 0, "young": 1000, "tick": 1300}
    assert found["old"].start_us == 1310 * MICRO
    assert found["old"].end_us == 5310 * MICRO  # it kept its 1000 s
