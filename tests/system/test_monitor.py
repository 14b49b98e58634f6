import numpy as np
import pytest

from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.system import Monitor, TaskRecord

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
