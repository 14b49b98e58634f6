from __future__ import annotations

import io
import json

import numpy as np
import pytest

from lepton_rl.core.errors import ConfigError, StateError
from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.policy import Start, Wait
from lepton_rl.core.tables import View
from lepton_rl.core.tasks import Task, TaskState
from lepton_rl.policies.heuristic import HeuristicPolicy
from lepton_rl.policies.registry import heuristic
from lepton_rl.sim.objective import BOUND_S
from lepton_rl.system import EventLog, Monitor, Scheduler, TaskRecord
from lepton_rl.system.monitor.monitor import BOUND_US, OTHER

CLUSTER = Cluster((Node("a", {"cpu": 4, "gpu": 2}), Node("b", {"cpu": 4})))
S = 1_000_000


def units(cpu: float, gpu: float) -> np.ndarray:
    return np.array([cpu * 1000, gpu * 1000], np.int64)


def test_records_are_in_order_of_submission_and_fill_up() -> None:
    monitor = Monitor(CLUSTER)
    monitor.submitted("x", 3)
    monitor.submitted("y", 1)
    monitor.started("y", (1, 0), 5)
    assert monitor.records == (TaskRecord("x", 3), TaskRecord("y", 1, 5, None, (1, 0)))

    monitor.completed("y", 9)
    assert monitor.records[1] == TaskRecord("y", 1, 5, 9, (1, 0))


def test_the_schedule_has_the_records_as_arrays() -> None:
    monitor = Monitor(CLUSTER)
    for name, submit_us in (("x", 3), ("y", 1), ("z", 2)):
        monitor.submitted(name, submit_us)
    monitor.started("y", (1, 0), 5)
    monitor.completed("y", 9)
    monitor.started("z", (1,), 6)
    schedule = monitor.schedule()

    assert schedule.submit_us.tolist() == [3, 1, 2]
    assert schedule.start_us.tolist() == [-1, 5, 6]
    assert schedule.end_us.tolist() == [-1, 9, -1]
    assert schedule.nodes.tolist() == [[-1, -1], [1, 0], [1, -1]]


def test_an_empty_schedule() -> None:
    schedule = Monitor(CLUSTER).schedule()

    assert schedule.submit_us.shape == (0,)
    assert schedule.nodes.shape == (0, 1)
    assert {array.dtype for array in (schedule.start_us, schedule.nodes)} == {np.dtype(np.int64)}


def test_decisions_and_incidents_are_counted() -> None:
    monitor = Monitor(CLUSTER)
    monitor.submitted("x", 0)
    monitor.waited()
    monitor.refused("does-not-fit")
    monitor.refused("does-not-fit")
    monitor.refused("not-pending")
    monitor.started("x", (0,), 0)

    assert monitor.decisions == {"start": 1, "wait": 1, "refused": 3}
    assert monitor.incidents == {"does-not-fit": 2, "not-pending": 1}


def test_utilisation_weighs_by_time_from_the_first_event_to_the_last() -> None:
    monitor = Monitor(CLUSTER)
    monitor.passed(100 * S, units(0, 0))  # the first event: what was before does not count
    monitor.passed(110 * S, units(8, 0))  # 10 s with all cores
    monitor.passed(110 * S, units(5, 2))  # no time at all
    monitor.passed(140 * S, units(2, 1))  # 30 s with 2 of 8 cores and 1 of 2 cards

    assert monitor.utilisation() == pytest.approx({"cpu": 140 / 320, "gpu": 30 / 80})


def test_utilisation_before_any_time_has_passed() -> None:
    monitor = Monitor(CLUSTER)
    assert monitor.utilisation() == {"cpu": 0, "gpu": 0}

    monitor.passed(5, units(8, 2))
    assert monitor.utilisation() == {"cpu": 0, "gpu": 0}


def test_sums_do_not_overflow() -> None:
    """A million cores for a million years."""
    cluster = Cluster((Node("huge", {"cpu": 1e6}),))
    monitor = Monitor(cluster)
    monitor.passed(0, np.array([0]))
    for year in range(1, 11):
        monitor.passed(year * 3_155_760_000_000_000_000 // 10, np.array([10**9]))

    assert monitor.utilisation() == {"cpu": 1.0}


def run_of(monitor: Monitor, name: str, submit_s: int, start_s: int, end_s: int) -> None:
    monitor.submitted(name, submit_s * S)
    monitor.started(name, (0,), start_s * S)
    monitor.completed(name, end_s * S)


def test_distributions_by_hand() -> None:
    monitor = Monitor(CLUSTER)
    run_of(monitor, "x", 0, 10, 30)  # slowdown 30 / 20
    run_of(monitor, "y", 5, 5, 9)  # slowdown 1, also where bounded: max(1, 4 / 10)
    run_of(monitor, "z", 0, 58, 60)  # slowdown 60 / 2, bounded 60 / 10

    assert (monitor.waits.count, monitor.waits.sum) == (3, 68)
    assert (monitor.run_times.count, monitor.run_times.sum) == (3, 26)
    assert (monitor.turnarounds.count, monitor.turnarounds.sum) == (3, 94)
    assert (monitor.slowdowns.count, monitor.slowdowns.sum) == (3, 32.5)
    assert (monitor.bounded_slowdowns.count, monitor.bounded_slowdowns.sum) == (3, 8.5)


def test_interruptions_count_as_time_on_nodes_and_only_the_first_start_ends_the_wait() -> None:
    monitor = Monitor(CLUSTER)
    monitor.submitted("x", 0)
    monitor.started("x", (0,), 10 * S)
    monitor.interrupted("x", 15 * S, "preempt", "preempted")
    monitor.started("x", (1,), 20 * S)
    monitor.completed("x", 40 * S)

    assert (monitor.waits.count, monitor.waits.sum) == (1, 10)
    assert monitor.run_times.sum == 5 + 20
    assert monitor.slowdowns.sum == 40 / 25


def test_what_did_not_complete_has_a_wait_only() -> None:
    monitor = Monitor(CLUSTER)
    monitor.submitted("x", 0)
    monitor.submitted("y", 0)
    monitor.started("x", (0,), 10 * S)
    monitor.ended("x", 20 * S, TaskState.FAILED, "exit code 1")
    monitor.ended("y", 20 * S, TaskState.CANCELLED)

    assert (monitor.waits.count, monitor.run_times.count, monitor.turnarounds.count) == (1, 0, 0)


def test_a_task_that_ran_before_the_monitor_began_has_waited_before() -> None:
    monitor = Monitor(CLUSTER)
    monitor.restored("x", 0, 5 * S)
    monitor.adopted("x", (0,), 5 * S)
    monitor.completed("x", 9 * S)

    assert monitor.waits.count == 0
    assert monitor.run_times.sum == 4
    assert monitor.decisions["start"] == 0


def test_bounded_slowdown_is_that_of_the_evaluation() -> None:
    assert BOUND_US == BOUND_S * S


def test_records_are_bounded_and_figures_stay_exact() -> None:
    whole, bounded = Monitor(CLUSTER), Monitor(CLUSTER, keep_ended=3)
    for monitor in (whole, bounded):
        monitor.submitted("pending", 0)
        monitor.submitted("running", 0)
        monitor.started("running", (0,), 0)
        for number in range(100):
            run_of(monitor, f"task-{number}", number, 2 * number, 2 * number + 7)

    kept = [record.task_id for record in bounded.records]
    assert kept == ["pending", "running", "task-97", "task-98", "task-99"]
    assert bounded.num_forgotten == 97
    for name in ("waits", "run_times", "turnarounds", "slowdowns", "bounded_slowdowns"):
        one, other = getattr(bounded, name), getattr(whole, name)
        assert (one.count, one.sum) == (other.count, other.sum)
        assert one.cumulative() == other.cumulative()
    assert bounded.outcomes == whole.outcomes == {"completed": 100}


def test_it_forgets_in_order_of_ends() -> None:
    monitor = Monitor(CLUSTER, keep_ended=1)
    for name in ("x", "y"):
        monitor.submitted(name, 0)
        monitor.started(name, (0,), 0)
    monitor.completed("y", 1)
    monitor.completed("x", 2)

    assert [record.task_id for record in monitor.records] == ["x"]


def test_a_schedule_with_holes_is_refused() -> None:
    monitor = Monitor(CLUSTER, keep_ended=0)
    run_of(monitor, "x", 0, 1, 2)

    with pytest.raises(StateError, match=r"has forgotten 1 tasks.*keep_ended=None"):
        monitor.schedule()


@pytest.mark.parametrize("keep", [-1, 1.5, True, "3"])
def test_keep_ended_is_a_count(keep: object) -> None:
    with pytest.raises(ConfigError, match="keep_ended must be a whole number from 0"):
        Monitor(CLUSTER, keep_ended=keep)  # type: ignore[arg-type]


def test_causes_are_bounded() -> None:
    """A policy may raise with any cause, for instance one that names the task."""
    monitor = Monitor(CLUSTER)
    for number in range(1000):
        monitor.refused(f"task-{number}")

    assert len(monitor.incidents) == 65
    assert monitor.incidents[OTHER] == 1000 - 64
    assert monitor.decisions["refused"] == 1000


def test_resource_seconds_are_in_the_kinds_units() -> None:
    monitor = Monitor(CLUSTER)
    monitor.passed(0, units(0, 0))
    monitor.passed(10 * S, units(1.5, 1))

    assert monitor.usage.allocated_seconds() == {"cpu": 15, "gpu": 10}
    assert monitor.usage.available_seconds() == {"cpu": 80, "gpu": 20}


def test_each_decision_is_timed() -> None:
    """Also those of a policy that raises; nothing is said about how long they take."""

    class Fails(HeuristicPolicy):
        def decide(self, view: View) -> Start | Wait:
            raise RuntimeError("no")

    for policy in (heuristic("fcfs"), Fails("fcfs")):
        scheduler = Scheduler(CLUSTER, policy, strict=False)
        scheduler.submit(Task("x", {"cpu": 1}, 10, run_time_s=10))
        scheduler.run()

        assert scheduler.monitor.decision_times.count == 1
        assert scheduler.monitor.decision_times.sum > 0


def test_an_event_log_has_one_line_of_json_an_event() -> None:
    stream = io.StringIO()
    monitor = Monitor(CLUSTER, on_event=EventLog(stream))
    scheduler = Scheduler(CLUSTER, heuristic("fcfs"), monitor=monitor)
    scheduler.submit(Task("x", {"cpu": 1}, 10, submit_time_s=3, run_time_s=10))
    scheduler.run()
    monitor.incident("policy-error")

    assert [json.loads(line) for line in stream.getvalue().splitlines()] == [
        {"time_s": 0, "event": "submitted", "task": "x"},
        {"time_s": 3, "event": "started", "task": "x", "nodes": [0]},
        {"time_s": 13, "event": "ended", "task": "x", "outcome": "completed", "reason": ""},
        {"time_s": 13, "event": "incident", "cause": "policy-error"},
    ]


def test_a_log_that_cannot_be_written_stops_nothing(caplog: pytest.LogCaptureFixture) -> None:
    stream = io.StringIO()
    stream.close()
    log = EventLog(stream)
    monitor = Monitor(CLUSTER, on_event=log)
    run_of(monitor, "x", 0, 1, 2)

    assert log.lost == 3
    assert caplog.text.count("the event log cannot be written") == 1
