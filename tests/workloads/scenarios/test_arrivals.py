"""Arrivals: spans, cycles, bursts and clocks; seeds are fixed."""

from __future__ import annotations

import numpy as np
import pytest

from lepton_rl.workloads.scenarios.arrivals import (
    DAY_S,
    Rate,
    by_rate,
    daily_cycle,
    periodic,
    random_bursts,
    random_fractions,
)


def test_fractions_ascend_from_0_to_1_as_a_poisson_process() -> None:
    fractions = random_fractions(20_000, np.random.default_rng(1))
    gaps = np.diff(fractions)
    assert (fractions[0], fractions[-1]) == (0.0, 1.0)
    assert gaps.min() >= 0
    assert gaps.std() / gaps.mean() == pytest.approx(1.0, abs=0.03)  # exponential


def test_as_many_arrive_as_the_rate_says() -> None:
    rate = Rate(np.array([0.0, 10.0, 20.0]), np.array([1.0, 3.0]))
    times_s = by_rate(np.linspace(0, 1, 4001), rate)
    assert (times_s[0], times_s[-1]) == (0.0, 20.0)
    assert (times_s < 10).mean() == pytest.approx(0.25, abs=1e-3)
    np.testing.assert_array_equal(rate.at(np.array([0.0, 9.9, 10.0, 25.0])), [1, 1, 3, 3])


def test_the_daily_cycle_is_busiest_after_a_quarter_of_a_day() -> None:
    rate = daily_cycle(4 * DAY_S, 0.6)
    np.testing.assert_allclose(rate.at(np.array([0.25, 1.25, 3.25]) * DAY_S), 1.6, atol=1e-3)
    np.testing.assert_allclose(rate.at(np.array([0.75, 2.75]) * DAY_S), 0.4, atol=1e-3)
    assert len(daily_cycle(1.0, 0.6).weights) == 1


def test_bursts_take_their_share_of_the_time() -> None:
    rate = random_bursts(200_000.0, 10.0, 0.1, 4.0, np.random.default_rng(2))
    lengths_s = np.diff(rate.edges_s)
    busy = rate.weights == 4.0
    assert rate.edges_s[-1] == 200_000.0
    assert lengths_s.min() >= 0
    assert lengths_s[busy].sum() / 200_000 == pytest.approx(0.1, abs=0.01)
    assert lengths_s[busy].mean() == pytest.approx(10.0, rel=0.1)


def test_sources_release_by_their_own_clock() -> None:
    times_s, source = periodic([0.5, 2.0], 500, 0.0, np.random.default_rng(3))
    assert len(times_s) == 500
    assert (np.diff(times_s) >= 0).all()
    for number, period_s in enumerate((0.5, 2.0)):
        own = times_s[source == number]
        assert own[0] < period_s
        np.testing.assert_allclose(np.diff(own), period_s)


def test_a_release_is_late_by_no_more_than_its_jitter() -> None:
    times_s, _ = periodic([1.0], 300, 0.1, np.random.default_rng(4))
    late = np.mod(times_s - times_s.min() + 0.1, 1.0)
    assert np.diff(times_s).std() > 0.01
    assert late.max() <= 0.2 + 1e-9
