"""What the past says about a task that is being submitted, as one row of numbers for a model."""

from __future__ import annotations

import math

from lepton_rl.prediction.baselines import LastTwo
from lepton_rl.prediction.classes import QuantilesByClass, RecentValues
from lepton_rl.prediction.predictor import TaskFeatures

__all__ = ["FEATURE_NAMES", "UNKNOWN", "History", "Row"]

Row = tuple[float, ...]

_CLASSES = (
    "tenant, size, request",
    "tenant, request",
    "tenant",
    "size, request",
    "request",
    "everybody",
)
_FIGURES = ("log median share", "log last share", "log tasks ended")

FEATURE_NAMES = (
    "log requested time",
    "log2 size",
    "sine of the hour",
    "cosine of the hour",
    "day of the week",
    "log share of the tenant's last two",
    *(f"{figure} ({name})" for name in _CLASSES for figure in _FIGURES),
)
"""Columns of a row. Shares are of the requested time; logs are natural; counts are + 1."""

UNKNOWN = -100.0
"""Stands for what is not known yet. Below all known values; scikit-learn cannot bin a column of
nothing but NaN, which is what traces without users would have."""

_DAY_S = 86_400.0
_WEEK = 7


class History:
    """Remembers run times, by tenant and by class.

    Args:
        window: run times that each class keeps (>= 1).
    """

    def __init__(self, window: int = 100) -> None:
        self._last_two = LastTwo()
        self._shares = QuantilesByClass(window)

    def observe(self, features: TaskFeatures, run_time_s: float) -> None:
        """A task has ended."""
        self._last_two.observe(features, run_time_s)
        self._shares.observe(features, run_time_s / features.requested_s)

    def row(self, features: TaskFeatures) -> Row:
        """Values of `FEATURE_NAMES` for a task that is being submitted."""
        angle = 2 * math.pi * features.submit_s / _DAY_S
        mean_s = self._last_two.mean_s(features.tenant)
        values = [
            math.log(features.requested_s),
            math.log2(features.size) if features.size > 0 else UNKNOWN,
            math.sin(angle),
            math.cos(angle),
            features.submit_s // _DAY_S % _WEEK,
            UNKNOWN if mean_s is None else math.log(mean_s / features.requested_s),
        ]
        for shares in self._shares.by_class(features):
            values += _figures(shares)
        return tuple(values)


def _figures(shares: RecentValues | None) -> tuple[float, float, float]:
    """Values of `_FIGURES`."""
    if shares is None:
        return UNKNOWN, UNKNOWN, 0.0
    return math.log(shares.quantile(0.5)), math.log(shares.last), math.log1p(len(shares))
