"""When tasks arrive: by chance, by the hour of the day, in bursts, or by the clock."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DAY_S",
    "Rate",
    "by_rate",
    "daily_cycle",
    "periodic",
    "random_bursts",
    "random_fractions",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DAY_S = 86_400.0

_STEPS_PER_DAY = 96


class Rate(NamedTuple):
    """How busy it is over time, piecewise constant."""

    edges_s: Floats  # (P + 1,) ascending, from 0
    weights: Floats  # (P,) > 0; only their ratios matter for arrivals

    def at(self, times_s: Floats) -> Floats:
        """The weight at each of `(n,)` times in s; beyond the last edge that of the last part."""
        part = np.searchsorted(self.edges_s, times_s, side="right") - 1
        found: Floats = self.weights[np.clip(part, 0, len(self.weights) - 1)]
        return found


def random_fractions(count: int, rng: np.random.Generator) -> Floats:
    """Arrivals of a Poisson process, `(count,)`, ascending; the first at 0, the last at 1.

    Args:
        count: arrivals (>= 2).
        rng: drawn from.
    """
    times = np.cumsum(rng.exponential(size=count))
    fractions: Floats = (times - times[0]) / (times[-1] - times[0])
    return fractions


def by_rate(fractions: Floats, rate: Rate) -> Floats:
    """Times in s at which these fractions of all work have arrived, under a rate over the span."""
    arrived = np.concatenate([[0.0], np.cumsum(np.diff(rate.edges_s) * rate.weights)])
    times_s: Floats = np.interp(fractions * arrived[-1], arrived, rate.edges_s)
    return times_s


def daily_cycle(span_s: float, depth: float) -> Rate:
    """1 + depth sin(2 pi t / 1 day), in quarters of an hour; time 0 is mid-morning.

    Args:
        span_s: how long, in s (> 0).
        depth: 0 (no cycle) to below 1.
    """
    steps = max(1, int(np.ceil(span_s / DAY_S * _STEPS_PER_DAY)))
    edges_s = np.linspace(0.0, span_s, steps + 1)
    middles_s = (edges_s[1:] + edges_s[:-1]) / 2
    return Rate(edges_s, 1 + depth * np.sin(2 * np.pi * middles_s / DAY_S))


def random_bursts(
    span_s: float, length_s: float, share: float, factor: float, rng: np.random.Generator
) -> Rate:
    """Calm and busy times in turn, each exponentially long: a two-state modulated process.

    Args:
        span_s: how long, in s (> 0).
        length_s: mean length of a busy time in s (> 0).
        share: of the time that is busy, in the mean; above 0, below 1.
        factor: how many times as many arrive while it is busy (>= 1).
        rng: drawn from.
    """
    calm_s = length_s * (1 - share) / share
    pairs = 2 + int(2 * span_s / (length_s + calm_s))
    lengths_s = rng.exponential([calm_s, length_s], (pairs, 2)).ravel()
    ends_s = np.cumsum(lengths_s)
    inner = ends_s[ends_s < span_s]
    weights = np.where(np.arange(len(inner) + 1) % 2 == 0, 1.0, factor)
    return Rate(np.concatenate([[0.0], inner, [span_s]]), weights)


def periodic(
    periods_s: Sequence[float], count: int, jitter: float, rng: np.random.Generator
) -> tuple[Floats, Ints]:
    """The first `count` releases of sources that each release by their own clock.

    Args:
        periods_s: of each source, in s (> 0).
        count: releases of all sources together (>= 1).
        jitter: releases are late by uniform(0, jitter x period); 0 to below 1.
        rng: the phase of each source is uniform(0, period).

    Returns:
        Times in s, ascending, and which source each is of, both `(count,)`.
    """
    periods = np.array(periods_s)
    horizon_s = count / (1 / periods).sum() + 2 * periods.max()
    numbers = np.ceil(horizon_s / periods).astype(np.int64)
    source = np.repeat(np.arange(len(periods)), numbers)
    index = np.concatenate([np.arange(number) for number in numbers])
    phase = rng.uniform(0, 1, len(periods))[source]
    late = rng.uniform(0, jitter, len(source)) if jitter > 0 else 0.0
    times_s = (index + phase + late) * periods[source]
    first = np.argsort(times_s, kind="stable")[:count]
    return times_s[first], source[first]
