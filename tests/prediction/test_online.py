"""Predictions over a workload, above all: none of them knows what happens later."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_rl.core.nodes import Cluster
from lepton_rl.core.tasks import Task
from lepton_rl.prediction.baselines import LastTwo
from lepton_rl.prediction.boosted import BoostedQuantiles
from lepton_rl.prediction.classes import ClassQuantiles, DemandQuantiles
from lepton_rl.prediction.config import PredictionConfig
from lepton_rl.prediction.online import (
    known_from_us,
    predict_demand_online,
    predict_online,
    predicted_workload,
    with_estimates,
)
from lepton_rl.prediction.predictor import RunTimePredictor
from lepton_rl.workloads.workload import Workload
from tests.prediction.small import Job, require_scikit_learn, workload_of

SECOND = 1_000_000


def medians(predictor: RunTimePredictor, jobs: list[Job], *, waits: bool = True) -> list[float]:
    predictions = predict_online(predictor, workload_of(jobs, waits=waits))
    return [each.median_s for each in predictions]


def test_last_two_by_hand() -> None:
    jobs = [
        Job(submit=0, run=10),  # ends at 10
        Job(submit=1, run=30, wait=9),  # ends at 40
        Job(submit=20, run=50),  # one task has ended
        Job(submit=40, run=50),  # the second ends at this instant: not known yet
        Job(submit=41, run=50),  # two have: (10 + 30) / 2
        Job(submit=90, run=50),  # the third has ended at 70, the fourth ends now: (30 + 50) / 2
        Job(submit=90, run=50, tenant="bob"),
    ]

    assert medians(LastTwo(), jobs) == [100, 100, 100, 100, 20, 40, 100]


def test_tasks_are_observed_in_order_of_their_ends() -> None:
    jobs = [Job(0, 90), Job(1, 10), Job(2, 20), Job(100, 1)]  # end at 90, 11, 22

    assert medians(LastTwo(), jobs)[3] == (20 + 90) / 2


def test_a_recorded_wait_delays_what_is_known() -> None:
    jobs = [Job(0, 10), Job(0, 30, wait=50), Job(60, 100), Job(81, 1)]

    assert medians(LastTwo(), jobs)[2:] == [100, 20]


def test_unrecorded_waits_are_simulated() -> None:
    # Two tasks on one processor: the second waits until the first ends at 10, and ends at 40.
    workload = workload_of([Job(0, 10), Job(0, 30)], processors=1, waits=False)
    one_known = workload_of([Job(0, 10, wait=7), Job(0, 30, wait=-1)], processors=1)

    assert (known_from_us(workload) / SECOND).tolist() == [10, 40]
    assert (known_from_us(one_known) / SECOND).tolist() == [17, 40]


JOBS = st.lists(
    st.builds(
        Job,
        submit=st.integers(0, 300),
        run=st.integers(1, 150),
        requested=st.sampled_from([50, 100, 200]),
        wait=st.integers(0, 60),
        tenant=st.sampled_from(["", "ada", "bob"]),
        size=st.sampled_from([1, 2, 8]),
    ),
    min_size=1,
    max_size=25,
).map(sorted)


def assert_no_look_ahead(
    make: Callable[[], RunTimePredictor],
    jobs: list[Job],
    now_s: float,
    longer_s: list[int],
    *,
    waits: bool,
) -> None:
    """Make every task that ends after `now_s` longer; what was said by then must not change."""
    before = workload_of(jobs, waits=waits)
    is_later = known_from_us(before) > now_s * SECOND
    changed = [
        job._replace(run=job.run + more) if later else job
        for job, more, later in zip(jobs, longer_s, is_later, strict=True)
    ]
    count = sum(job.submit <= now_s for job in jobs)

    assert (
        predict_online(make(), before)[:count]
        == predict_online(make(), workload_of(changed, waits=waits))[:count]
    )


@pytest.mark.parametrize("make", [LastTwo, lambda: ClassQuantiles(least=1)])
@pytest.mark.parametrize("waits", [True, False], ids=["recorded waits", "simulated waits"])
@given(jobs=JOBS, now_s=st.integers(0, 300), data=st.data())
@settings(max_examples=60, deadline=None)
def test_what_ends_later_changes_no_prediction(
    make: Callable[[], RunTimePredictor],
    waits: bool,
    jobs: list[Job],
    now_s: int,
    data: st.DataObject,
) -> None:
    longer_s = data.draw(st.lists(st.integers(1, 500), min_size=len(jobs), max_size=len(jobs)))

    assert_no_look_ahead(make, jobs, now_s, longer_s, waits=waits)


def random_jobs(count: int, seed: int) -> list[Job]:
    rng = np.random.default_rng(seed)
    return sorted(
        Job(
            submit=int(rng.integers(0, 60 * count)),
            run=int(rng.integers(1, 400)),
            requested=int(rng.choice([200, 400])),
            wait=int(rng.integers(0, 60)),
            tenant=str(rng.choice(["", "ada", "bob"])),
            size=int(rng.choice([1, 2, 8])),
        )
        for _ in range(count)
    )


def small_boosted() -> BoostedQuantiles:
    return BoostedQuantiles(window=80, retrain_every=40, first_training=60)


@pytest.mark.parametrize("now_s", [4000, 8000, 11_000])
def test_what_ends_later_changes_no_boosted_prediction(now_s: float) -> None:
    require_scikit_learn()
    jobs = random_jobs(200, seed=1)

    assert_no_look_ahead(small_boosted, jobs, now_s, [300] * 200, waits=True)


def test_what_ended_earlier_does_change_boosted_predictions() -> None:
    """Else the test above would prove nothing."""
    require_scikit_learn()
    jobs = random_jobs(200, seed=1)
    longer = [job._replace(run=job.run + 300) for job in jobs]

    ours, theirs = medians(small_boosted(), jobs), medians(small_boosted(), longer)

    assert all(a != b for a, b in zip(ours[150:], theirs[150:], strict=True))


def test_deferred_answers_are_those_of_the_moment() -> None:
    """Asked one by one, with no answer put off, the predictor says the same."""
    require_scikit_learn()

    class OneByOne:
        def __init__(self) -> None:
            self._inner = small_boosted()
            self.observe, self.predict = self._inner.observe, self._inner.predict

    jobs = random_jobs(200, seed=2)

    assert medians(OneByOne(), jobs) == medians(small_boosted(), jobs)


def test_predictions_take_the_place_of_the_estimates() -> None:
    jobs = [Job(0, 10), Job(0, 30), Job(50, 5), Job(50, 5, requested=15)]
    workload = workload_of(jobs)

    seen = predicted_workload(workload, PredictionConfig(kind="last-two"))

    assert (seen.tasks["requested_us"] / SECOND).tolist() == [100, 100, 20, 15]
    assert (workload.tasks["requested_us"] / SECOND).tolist() == [100, 100, 100, 15], "unchanged"
    assert np.array_equal(seen.run_us, workload.run_us)
    assert seen.name == "log+last-two"


def test_the_cap_can_be_lifted() -> None:
    workload = workload_of([Job(0, 10), Job(0, 30), Job(50, 5, requested=15)])

    seen = predicted_workload(workload, PredictionConfig(kind="last-two", cap=False))

    assert seen.tasks["requested_us"][2] == 20 * SECOND


@pytest.mark.parametrize("estimate", ["median", "upper"])
@pytest.mark.parametrize("kind", ["last-two", "class-quantiles"])
@given(jobs=JOBS)
@settings(max_examples=25, deadline=None)
def test_no_prediction_exceeds_the_estimate(kind: str, estimate: str, jobs: list[Job]) -> None:
    workload = workload_of(jobs)
    config = PredictionConfig.model_validate({"kind": kind, "estimate": estimate})

    seen = predicted_workload(workload, config)

    assert (seen.tasks["requested_us"] > 0).all()
    assert (seen.tasks["requested_us"] <= workload.tasks["requested_us"]).all()


def test_users_estimates_leave_the_workload_as_it_is() -> None:
    workload = workload_of([Job(0, 10)])

    assert predicted_workload(workload, PredictionConfig()) is workload


def test_a_workload_without_tenants() -> None:
    jobs = [Job(0, 40, tenant=""), Job(1, 40, tenant=""), Job(2, 40, tenant=""), Job(50, 1)]

    assert medians(ClassQuantiles(least=3), jobs)[3] == 40


def test_demand_is_predicted_from_what_was_measured() -> None:
    jobs = [Job(0, 10), Job(0, 10), Job(0, 10), Job(50, 1), Job(50, 1)]
    used = np.array([3.0, np.nan, 4.0, 1.0, 1.0])
    requested = np.array([8.0, 8.0, 8.0, 8.0, 3.5])

    predicted = predict_demand_online(
        DemandQuantiles(quantile=0.9, least=2), workload_of(jobs), used, requested
    )

    assert predicted.tolist() == [8, 8, 8, 4, 3.5]


def test_tenants_of_described_tasks_are_known() -> None:
    tasks = [Task(str(at), {"cpu": 1}, 100, at, run_time_s=10, tenant="ada") for at in (0, 1, 50)]
    workload = Workload.from_tasks("described", Cluster.pool(4), tasks)

    assert [each.median_s for each in predict_online(LastTwo(), workload)] == [100, 100, 10]


def test_what_users_asked_for_stays_in_the_records() -> None:
    tasks = np.array([(5, 5), (9, 9)], [("requested_us", np.int64), ("limit_us", np.int64)])

    seen = with_estimates(tasks, np.array([2, 12]))

    assert seen.tolist() == [(2, 5), (12, 9)]
    assert tasks.tolist() == [(5, 5), (9, 9)], "a copy"
