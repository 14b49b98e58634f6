"""What a figure is, and its value at one moment."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from lepton_rl.system.monitor import Histogram
from lepton_rl.system.scheduler import Scheduler

__all__ = ["Distribution", "Labels", "Metric", "MetricKind", "Reading", "Value"]


class MetricKind(StrEnum):
    """What a figure does over time."""

    COUNTER = "counter"
    """it only grows"""
    GAUGE = "gauge"
    """it goes up and down"""
    HISTOGRAM = "histogram"
    """a `Distribution`"""
    INFO = "info"
    """always 1; the labels are the information"""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram at one moment.

    Attributes:
        buckets: upper bound and number of values up to it, the last bound infinity.
        sum: of all values.
    """

    buckets: tuple[tuple[float, int], ...]
    sum: float

    @classmethod
    def of(cls, histogram: Histogram) -> Distribution:
        """A copy of what a histogram has now."""
        return cls(tuple(histogram.cumulative()), histogram.sum)


Labels = tuple[str, ...]
Value = Mapping[Labels, float] | float | Distribution


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure.

    Attributes:
        name: as exported.
        kind: what it does over time.
        help: one sentence.
        read: its value now, or one for each value of its labels. The scheduler is locked.
        labels: their names.
    """

    name: str
    kind: MetricKind
    help: str
    read: Callable[[Scheduler], Value]
    labels: Labels = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """One figure and its value."""

    metric: Metric
    value: Value
