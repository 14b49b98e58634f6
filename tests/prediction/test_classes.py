from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from lepton_rl.prediction.classes import (
    ClassQuantiles,
    DemandQuantiles,
    QuantilesByClass,
    RecentValues,
    classes_of,
)
from lepton_rl.prediction.predictor import Prediction
from tests.prediction.small import task


def test_classes_from_narrow_to_wide() -> None:
    assert classes_of(task("ada", size=5, requested_s=60)) == (
        ("ada", 2, 60),  # log2 of 5 is 2.3
        ("ada", 60),
        ("ada",),
        (2, 60),
        (60,),
        (),
    )


def test_an_unknown_tenant_has_no_classes_of_its_own() -> None:
    assert classes_of(task("", size=8, requested_s=60)) == (None, None, None, (3, 60), (60,), ())


def test_quantiles_by_hand() -> None:
    values = RecentValues(window=4)
    for value in (99.0, 7.0, 1.0, 5.0, 3.0):  # the first is forgotten
        values.add(value)

    assert [values.quantile(level) for level in (0.25, 0.5, 0.51, 0.75, 0.9)] == [1, 3, 5, 5, 7]
    assert len(values) == 4
    assert values.last == 3


@given(st.lists(st.floats(0, 1e6), min_size=1), st.integers(1, 9), st.floats(0.01, 0.99))
def test_a_quantile_is_the_smallest_value_that_enough_do_not_exceed(
    seen: list[float], window: int, level: float
) -> None:
    values = RecentValues(window)
    for value in seen:
        values.add(value)
    kept = seen[-window:]

    found = values.quantile(level)

    enough = math.ceil(level * len(kept))
    assert sum(value <= found for value in kept) >= enough
    assert sum(value < found for value in kept) < enough


def test_the_narrowest_class_that_has_seen_enough_answers() -> None:
    predictor = ClassQuantiles(quantile=0.9, least=2)
    for run_s in (10, 20, 30):
        predictor.observe(task("bob", size=4, requested_s=100), run_s)
    predictor.observe(task("ada", size=4, requested_s=100), 90)

    # ada has one task, so she is answered by all tasks of size 4 and 100 s: 10, 20, 30, 90.
    assert predictor.predict(task("ada", size=4, requested_s=100)) == Prediction(20, 90)
    assert predictor.predict(task("bob", size=4, requested_s=100)) == Prediction(20, 30)


def test_other_requests_are_answered_by_shares_of_the_request() -> None:
    predictor = ClassQuantiles(quantile=0.5, least=1)
    predictor.observe(task("bob", requested_s=100), 25)

    assert predictor.predict(task("bob", requested_s=400)).median_s == 100


def test_without_history_it_is_the_users_estimate() -> None:
    assert ClassQuantiles().predict(task(requested_s=70)) == Prediction(70, 70)


def test_demand_is_a_quantile_of_what_was_used() -> None:
    predictor = DemandQuantiles(quantile=0.75, least=4)
    for used in (1.0, 2.0, 3.0, 4.0):
        predictor.observe(task("ada"), used)

    assert predictor.predict(task("ada"), requested=8) == 3
    assert predictor.predict(task("ada"), requested=2.5) == 2.5, "never above the request"
    assert predictor.predict(task("ada"), requested=math.inf) == 3
    assert predictor.predict(task("bob"), requested=8) == 3, "backs off to everybody"


def test_demand_without_history_is_the_request() -> None:
    assert DemandQuantiles().predict(task(), requested=8) == 8


def test_classes_nobody_has_seen_for_long_are_forgotten() -> None:
    """A service sees ever new tenants and requested times."""
    values = QuantilesByClass(window=3, most=20)
    for number in range(200):
        values.observe(task(f"user{number}", requested_s=100 + number), 1.0)
        values.observe(task("ada", requested_s=60), 2.0)

    assert len(values._values) == 20
    assert [len(each or ()) for each in values.by_class(task("ada", requested_s=60))] == [3] * 6
    assert values.by_class(task("user0", requested_s=100))[:3] == (None, None, None)
