from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_rl.core.tasks import Task
from lepton_rl.prediction.predictor import (
    CORRECTIONS_S,
    Prediction,
    TaskFeatures,
    capped,
    corrected_s,
)

MINUTE, HOUR = 60.0, 3600.0
TIMES = st.floats(0.001, 1e7)


def test_features_of_a_task_without_cards_count_its_cores() -> None:
    described = Task("t", {"cpu": 4, "memory": 9}, 60, submit_time_s=7, num_replicas=3, tenant="u")

    assert TaskFeatures.of(described) == TaskFeatures("u", 12, 60, 7)


def test_features_of_a_task_with_cards_count_its_cards() -> None:
    described = Task("t", {"cpu": 4, "gpu": 2}, 60, num_replicas=3)

    assert TaskFeatures.of(described) == TaskFeatures("", 6, 60, 0)


def test_a_cap_bounds_both_figures() -> None:
    assert capped(Prediction(50, 200), 100) == Prediction(50, 100)
    assert capped(Prediction(150, 200), 100) == Prediction(100, 100)
    assert capped(Prediction(50, 60), 100) == Prediction(50, 60)


@pytest.mark.parametrize(
    ("elapsed_s", "expected_s"),
    [
        (0, 600),
        (599, 600),  # still holds
        (600, 660),  # outlived: 1 min more
        (659, 660),
        (660, 900),  # 5 min more than the first prediction
        (900, 1500),  # 15 min
        (1500, 2400),  # 30 min
        (2400, 4200),  # 1 h
        (4200, 7800),  # 2 h
        (7800, 9000),  # 5 h would be more than the request
        (9000, 9000),
        (9500, 9500),  # outlives its request too: ends now, as far as anybody can tell
    ],
)
def test_a_prediction_of_ten_minutes_is_corrected_upwards(
    elapsed_s: float, expected_s: float
) -> None:
    assert corrected_s(600, elapsed_s, requested_s=9000) == expected_s


def test_the_largest_correction_is_the_request() -> None:
    assert CORRECTIONS_S[0] == 1 * MINUTE
    assert CORRECTIONS_S[-1] == 100 * HOUR
    assert corrected_s(60, 60 + 99 * HOUR, 1e9) == 60 + 100 * HOUR
    assert corrected_s(60, 60 + 100 * HOUR, 1e9) == 1e9


@given(predicted=TIMES, elapsed=st.floats(0, 1e7), later=st.floats(0, 1e7), requested=TIMES)
def test_a_correction_is_never_in_the_past_and_never_goes_down(
    predicted: float, elapsed: float, later: float, requested: float
) -> None:
    predicted = min(predicted, requested)
    now = corrected_s(predicted, elapsed, requested)

    assert max(predicted, elapsed) <= now <= max(requested, elapsed)
    assert corrected_s(predicted, elapsed + later, requested) >= now
