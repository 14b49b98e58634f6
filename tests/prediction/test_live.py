from __future__ import annotations

import pytest

from lepton_rl.core.errors import StateError
from lepton_rl.core.tasks import Task, TaskState
from lepton_rl.prediction.config import PredictionConfig
from lepton_rl.prediction.live import LiveEstimates
from tests.prediction.small import Record

SECOND = 1_000_000


def described(task_id: str, requested_s: float = 100) -> Task:
    return Task(task_id, {"cpu": 1}, requested_s, tenant="ada")


def ended(task_id: str, start_s: int, end_s: int, **fields: object) -> Record:
    return Record(task_id, start_s * SECOND, end_s * SECOND, **fields)  # type: ignore[arg-type]


@pytest.fixture
def estimates() -> LiveEstimates:
    """Two tasks of ada are running."""
    live = LiveEstimates(PredictionConfig(kind="last-two"))
    for name in ("first", "second"):
        assert live.submitted(described(name)) == 100
    return live


def test_it_predicts_from_the_monitors_records(estimates: LiveEstimates) -> None:
    assert estimates.learn([ended("second", 10, 40), ended("first", 5, 15)]) == 2

    assert estimates.submitted(described("third")) == 20
    assert estimates.submitted(described("fourth", 7)) == 7, "capped"


def test_a_record_counts_once(estimates: LiveEstimates) -> None:
    records = [ended("first", 5, 15), Record("second", start_us=10)]

    assert [estimates.learn(records), estimates.learn(records)] == [1, 0]


@pytest.mark.parametrize(
    "record",
    [
        ended("first", 5, 15, outcome=TaskState.CANCELLED),
        ended("first", 5, 15, interruptions=("an earlier run",)),
        Record("first", start_us=None, end_us=9),
        ended("stranger", 5, 15),
    ],
    ids=["cancelled", "ran twice", "never ran", "not submitted here"],
)
def test_only_one_whole_run_teaches(estimates: LiveEstimates, record: Record) -> None:
    assert estimates.learn([record]) == 0


def test_a_running_task_that_outlives_its_prediction_is_corrected(
    estimates: LiveEstimates,
) -> None:
    estimates.learn([ended("first", 0, 10), ended("second", 0, 30)])
    estimates.submitted(described("third", requested_s=200))  # predicted: 20 s

    assert [estimates.expected_s("third", each) for each in (0, 20, 80, 250)] == [20, 80, 200, 250]


def test_nothing_is_expected_of_a_task_that_is_not_known(estimates: LiveEstimates) -> None:
    estimates.learn([ended("first", 0, 10)])

    with pytest.raises(StateError, match="task 'first' was not submitted here, or has already end"):
        estimates.expected_s("first", 1)
