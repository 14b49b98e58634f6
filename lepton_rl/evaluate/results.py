"""What contenders achieved, and how two of them differ."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from lepton_rl.evaluate.metrics import Metrics, metric_info
from lepton_rl.evaluate.statistics import PairedDifference

__all__ = ["Pair", "Result"]


@dataclass(frozen=True, slots=True)
class Result:
    """What one contender achieved.

    Attributes:
        name: the contender's.
        is_heuristic: False for learned policies.
        per_window: in the order of the windows, at least one.
        decision_us: real time for each task in us, see `CellResult`: the least of the windows,
            which a busy machine disturbs least; NaN where nothing was decided.
    """

    name: str
    is_heuristic: bool
    per_window: tuple[Metrics, ...]
    decision_us: float = field(default=math.nan, compare=False)

    def values(self, metric: str) -> NDArray[np.float64]:
        """One figure a window, `(W,)`, in the metric's unit."""
        metric_info(metric)
        return np.array([getattr(each, metric) for each in self.per_window], np.float64)

    def figure(self, metric: str) -> float:
        """One figure for all windows: their mean, or for `max_wait_s` the largest."""
        over_windows = np.max if metric_info(metric).over_windows == "max" else np.mean
        return float(over_windows(self.values(metric)))


@dataclass(frozen=True, slots=True)
class Pair:
    """A learned policy against a heuristic, by the headline metric."""

    ours: str
    theirs: str
    difference: PairedDifference
