from __future__ import annotations

from lepton_rl.prediction.baselines import LastTwo, UserEstimate
from lepton_rl.prediction.predictor import Prediction
from tests.prediction.small import task


def test_the_users_estimate_is_what_the_user_said() -> None:
    predictor = UserEstimate()
    predictor.observe(task(requested_s=100), 5)

    assert predictor.predict(task(requested_s=70)) == Prediction(70, 70)


def test_last_two_is_the_mean_of_the_tenants_last_two() -> None:
    predictor = LastTwo()
    for run_s in (1000, 10, 30):
        predictor.observe(task("ada"), run_s)

    assert predictor.predict(task("ada", requested_s=500)) == Prediction(20, 20)


def test_last_two_needs_two_tasks_of_that_tenant() -> None:
    predictor = LastTwo()
    predictor.observe(task("ada"), 10)
    predictor.observe(task("bob"), 10)

    assert predictor.predict(task("ada", requested_s=500)) == Prediction(500, 500)


def test_last_two_does_not_take_all_unknown_tenants_for_one() -> None:
    predictor = LastTwo()
    for _ in range(3):
        predictor.observe(task(""), 10)

    assert predictor.predict(task("", requested_s=500)) == Prediction(500, 500)
