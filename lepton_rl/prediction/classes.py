"""Quantiles of the tasks that looked alike: of any number that a task turns out to have.

A task belongs to several classes, from the narrowest to the widest. Each keeps its most recent
values, and the narrowest that has seen enough of them answers.
"""

from __future__ import annotations

import bisect
import math
from collections import deque
from collections.abc import Hashable

from lepton_rl.prediction.predictor import Prediction, TaskFeatures

__all__ = ["ClassQuantiles", "DemandQuantiles", "QuantilesByClass", "RecentValues", "classes_of"]


def classes_of(features: TaskFeatures) -> tuple[Hashable | None, ...]:
    """Classes of a task, narrowest first; None for those of a tenant that is unknown.

    (tenant, log2 size, requested time), (tenant, requested time), tenant, then the same without
    the tenant: (log2 size, requested time), requested time, everything. The log is rounded.
    """
    requested_s = features.requested_s
    log_size = round(math.log2(features.size)) if features.size > 0 else None
    anybody = ((log_size, requested_s), (requested_s,), ())
    if not features.tenant:
        return (None, None, None, *anybody)
    return tuple((features.tenant, *rest) for rest in anybody) + anybody


class RecentValues:
    """The last `window` (>= 1) values of something, and their exact quantiles."""

    def __init__(self, window: int) -> None:
        self._window = window
        self._in_order: deque[float] = deque()
        self._sorted: list[float] = []

    def __len__(self) -> int:
        return len(self._sorted)

    @property
    def last(self) -> float:
        """The most recent value; there must be one."""
        return self._in_order[-1]

    def add(self, value: float) -> None:
        """Take in a value, and forget the oldest if there are too many."""
        self._in_order.append(value)
        bisect.insort(self._sorted, value)
        if len(self._in_order) > self._window:
            del self._sorted[bisect.bisect_left(self._sorted, self._in_order.popleft())]

    def quantile(self, level: float) -> float:
        """Smallest value that at least a share `level` (0..1) of all values do not exceed.

        This is always one of the values (type 1 of Hyndman and Fan, "Sample quantiles in
        statistical packages", 1996), so a run time that occurs again and again is met exactly.
        """
        return self._sorted[max(0, math.ceil(level * len(self._sorted)) - 1)]


_MOST_CLASSES = 100_000
"""Classes that are kept: some 200 MB at most with windows of 100 values."""


class QuantilesByClass:
    """Recent values of a number, by class.

    Args:
        window: values that each class keeps (>= 1).
        most: classes that are kept (>= 1); beyond it, whoever was seen longest ago is forgotten.
    """

    def __init__(self, window: int, most: int = _MOST_CLASSES) -> None:
        self._window, self._most = window, most
        self._values: dict[Hashable, RecentValues] = {}

    def observe(self, features: TaskFeatures, value: float) -> None:
        """A task with these features turned out to have `value`."""
        for each in classes_of(features):
            if each is None:
                continue
            values = self._values.pop(each, None) or RecentValues(self._window)
            values.add(value)
            self._values[each] = values  # last in the order of the dictionary
            if len(self._values) > self._most:
                del self._values[next(iter(self._values))]

    def by_class(self, features: TaskFeatures) -> tuple[RecentValues | None, ...]:
        """What each class of a task has seen, narrowest first; None where it is nothing."""
        return tuple(self._values.get(each) for each in classes_of(features))

    def narrowest(self, features: TaskFeatures, least: int) -> RecentValues | None:
        """The narrowest class that has seen at least `least` (>= 1) values."""
        found = (each for each in self.by_class(features) if each and len(each) >= least)
        return next(found, None)


class ClassQuantiles:
    """Quantiles of the run times of a class, as shares of the requested time.

    Shares, because wide classes hold tasks of different requests. Before any class has seen enough
    it is the requested time.

    Args:
        quantile: level of `upper_s`, 0.5 <= quantile < 1.
        window: run times that each class keeps (>= 1).
        least: run times that a class needs before it answers (>= 1).

    Attributes:
        shares: run time over requested time, by class.
    """

    def __init__(self, quantile: float = 0.9, window: int = 100, least: int = 3) -> None:
        self._quantile, self._least = quantile, least
        self.shares = QuantilesByClass(window)

    def observe(self, features: TaskFeatures, run_time_s: float) -> None:
        """Adds the run time to every class of the task."""
        self.shares.observe(features, run_time_s / features.requested_s)

    def predict(self, features: TaskFeatures) -> Prediction:
        """Median and upper quantile of the narrowest class that has seen enough."""
        shares = self.shares.narrowest(features, self._least)
        if shares is None:
            return Prediction(features.requested_s, features.requested_s)
        median_s = shares.quantile(0.5) * features.requested_s
        return Prediction(median_s, shares.quantile(self._quantile) * features.requested_s)


class DemandQuantiles:
    """What tasks really use of something (memory, say), by class: one quantile of it.

    Args:
        quantile: share of the tasks that should not use more, 0 < quantile < 1.
        window: values that each class keeps (>= 1).
        least: values that a class needs before it answers (>= 1).
        margin: factor on the quantile (>= 1).
    """

    def __init__(
        self, quantile: float = 0.95, window: int = 100, least: int = 3, margin: float = 1.0
    ) -> None:
        self._quantile, self._least, self._margin = quantile, least, margin
        self._used = QuantilesByClass(window)

    def observe(self, features: TaskFeatures, used: float) -> None:
        """A task has ended that used so much at its peak, in any unit (always the same)."""
        self._used.observe(features, used)

    def predict(self, features: TaskFeatures, requested: float) -> float:
        """What a task will use, in the unit of what was observed.

        Args:
            features: of the task.
            requested: what the user asked for: the most that is predicted, and the prediction
                where nothing is known. Infinity if nobody asked.
        """
        used = self._used.narrowest(features, self._least)
        if used is None:
            return requested
        return min(requested, self._margin * used.quantile(self._quantile))
