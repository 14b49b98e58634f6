from __future__ import annotations

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lepton_rl.core.errors import ConfigError
from lepton_rl.system.monitor.histogram import (
    LATENCY_BUCKETS_S,
    SLOWDOWN_BUCKETS,
    TIME_BUCKETS_S,
    Histogram,
)

S = 1_000_000


def test_a_value_on_a_bound_belongs_below_it() -> None:
    histogram = Histogram((1.0, 10.0))
    for value in (0, S, S + 1, 10 * S, 10 * S + 1, 99 * S):
        histogram.observe(value)

    assert histogram.cumulative() == [(1.0, 2), (10.0, 4), (math.inf, 6)]
    assert (histogram.count, histogram.sum) == (6, 121.000002)
    assert histogram.mean == pytest.approx(121.000002 / 6)


def test_an_empty_one() -> None:
    histogram = Histogram((1.0,))

    assert (histogram.count, histogram.sum, histogram.mean) == (0, 0, 0)


def test_the_sum_is_exact_where_floats_would_round() -> None:
    """Beside 10^17 us a float64 does not see one microsecond more."""
    histogram = Histogram((1.0,))
    histogram.observe(10**17)
    for _ in range(1000):
        histogram.observe(1)

    assert Fraction(histogram.sum) == Fraction((10**17 + 1000) / S)
    assert float(10**17) + 1 == 10**17, "else the test proves nothing"


@given(st.lists(st.integers(0, 10**12)))
def test_buckets_count_what_they_say(values: list[int]) -> None:
    histogram = Histogram(TIME_BUCKETS_S)
    for value in values:
        histogram.observe(value)

    assert [count for _, count in histogram.cumulative()] == [
        sum(value <= bound * S for value in values) for bound in (*TIME_BUCKETS_S, math.inf)
    ]


@pytest.mark.parametrize("bounds", [(), (1.0, 1.0), (2.0, 1.0)])
def test_bounds_must_ascend(bounds: tuple[float, ...]) -> None:
    with pytest.raises(ConfigError, match="expected ascending upper bounds"):
        Histogram(bounds)


@pytest.mark.parametrize("bounds", [LATENCY_BUCKETS_S, SLOWDOWN_BUCKETS, TIME_BUCKETS_S])
def test_the_bounds_in_use_are_whole_units(bounds: tuple[float, ...]) -> None:
    """So that a value on a bound is told from one above it."""
    assert all(bound * S == round(bound * S) for bound in bounds)
