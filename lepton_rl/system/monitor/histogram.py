"""Distributions that take the same room however much is observed."""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate, pairwise

from lepton_rl.core.errors import ConfigError

__all__ = ["LATENCY_BUCKETS_S", "SLOWDOWN_BUCKETS", "TIME_BUCKETS_S", "Histogram"]

_MINUTE, _HOUR, _DAY = 60.0, 3600.0, 86_400.0

TIME_BUCKETS_S = (
    *(1.0, 10.0),
    *(minutes * _MINUTE for minutes in (1, 5, 15, 30)),
    *(hours * _HOUR for hours in (1, 2, 4, 8, 12)),
    *(days * _DAY for days in (1, 2, 7)),
)
"""Upper bounds for waits, run times and turnarounds, in s."""

SLOWDOWN_BUCKETS = (1.0, 1.1, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0, 1e3, 1e4)
"""Upper bounds for slowdowns, a ratio."""

LATENCY_BUCKETS_S = (1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 5e-3, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0)
"""Upper bounds for the time of one decision, in s."""


class Histogram:
    """How many values fell into each bucket, their count, and their exact sum.

    Values are whole units, e.g. microseconds, so no sum of them is ever rounded.

    Args:
        bounds: upper bound of each bucket, ascending, a value that equals it included; what is
            above the last has a bucket of its own. In the unit that figures are read in, e.g. s.
        units_per: units in one of those (>= 1), e.g. 1,000,000.

    Raises:
        ConfigError: bounds that are not ascending.
    """

    def __init__(self, bounds: tuple[float, ...], units_per: int = 1_000_000) -> None:
        if not bounds or any(low >= high for low, high in pairwise(bounds)):
            raise ConfigError(f"histogram: expected ascending upper bounds, got {bounds}")
        self.bounds, self._units_per = bounds, units_per
        self._bound_units = [round(bound * units_per) for bound in bounds]
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0

    @property
    def count(self) -> int:
        """How many values were observed."""
        return sum(self._counts)

    @property
    def sum(self) -> float:
        """Their sum, in the unit of `bounds`."""
        return self._sum / self._units_per

    @property
    def mean(self) -> float:
        """Their mean, in the unit of `bounds`; 0 before there is any."""
        return self.sum / self.count if self.count else 0.0

    def observe(self, units: int) -> None:
        """Take in a value, in units."""
        self._counts[bisect_left(self._bound_units, units)] += 1
        self._sum += units

    def cumulative(self) -> list[tuple[float, int]]:
        """Upper bound and number of values up to it, of each bucket; the last bound is infinity."""
        return list(zip((*self.bounds, float("inf")), accumulate(self._counts), strict=True))
