"""Drawings that need no script: an SVG that stretches, with labels beside it that do not.

The drawing has a box of 1000 by 1000 that is stretched to whatever room there is (lines keep their
width), and labels are text of the page, placed in percent. So a chart is as easy to read on a phone
as on a wide screen. Colours are variables of the page, so that it can be light or dark.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import NDArray

__all__ = ["Axis", "Chart", "Label", "box_mark", "line_mark", "rule_mark"]

Floats = NDArray[np.float64]

_SIZE = 1000.0
_MOST_LABEL_PX = 180


@dataclass(frozen=True, slots=True)
class Label:
    """Text beside a chart, at a place in percent."""

    place: float
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A chart as the page draws it.

    Attributes:
        title: above it.
        y_labels: place in percent from the top.
        x_labels: place in percent from the left.
        marks: SVG elements, with all text in them escaped.
        legend: (class of colour, text).
        x_title: below it.
        y_title: beside the title.
        height_px: of the drawing.
        wide_labels: whether labels of y are names, which need more room.
        ends: labels on the right, place in percent from the top.
        summary: what it shows, for those who cannot see it.
    """

    title: str
    y_labels: tuple[Label, ...]
    x_labels: tuple[Label, ...]
    marks: str
    legend: tuple[tuple[str, str], ...] = ()
    x_title: str = ""
    y_title: str = ""
    height_px: int = 200
    wide_labels: bool = False
    ends: tuple[Label, ...] = ()
    summary: str = ""

    @property
    def label_px(self) -> int:
        """Room for the labels of y where they are names."""
        longest = max((len(label.text) for label in self.y_labels), default=0)
        return min(_MOST_LABEL_PX, max(48, 7 * longest + 8))


@dataclass(frozen=True, slots=True)
class Axis:
    """From values to places.

    Attributes:
        low: value at place 0.
        high: value at place 1, above `low`.
        is_log: by powers of ten; then `low` is above 0.
    """

    low: float
    high: float
    is_log: bool = False

    @classmethod
    def over(cls, values: Floats, *, is_log: bool = False, from_zero: bool = True) -> Axis:
        """An axis that holds all finite `values`."""
        finite = np.asarray(values, np.float64)
        finite = finite[np.isfinite(finite)]
        if is_log:
            finite = finite[finite > 0]
        low = float(finite.min()) if len(finite) else 1.0
        high = float(finite.max()) if len(finite) else 1.0
        if is_log:
            low, high = 10.0 ** math.floor(math.log10(low)), 10.0 ** math.ceil(math.log10(high))
            return cls(low, high if high > low else 10 * low, True)
        low = min(0.0, low) if from_zero else low
        return cls(low, high if high > low else low + 1.0)

    def place(self, value: float) -> float:
        """0 at `low`, 1 at `high`; cut to 0..1."""
        if self.is_log:
            value = math.log10(max(value, self.low) / self.low) / math.log10(self.high / self.low)
            return min(1.0, value)
        return min(1.0, max(0.0, (value - self.low) / (self.high - self.low)))

    def ticks(self, most: int = 5) -> list[float]:
        """Round values on the axis."""
        if self.is_log:
            low, high = round(math.log10(self.low)), round(math.log10(self.high))
            powers = range(low, high + 1, max(1, math.ceil((high - low) / (most - 1))))
            return [10.0**power for power in powers]
        step = _round_step((self.high - self.low) / (most - 1))
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def _round_step(step: float) -> float:
    """1, 2 or 5 times a power of ten, at least `step`."""
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * f for f in (1.0, 2.0, 5.0, 10.0) if power * f >= step * (1 - 1e-9))


def line_mark(xs: Sequence[float], ys: Sequence[float], colour: str, *, steps: bool) -> str:
    """A line through places 0..1; `steps` goes on level until the next value."""
    points = []
    for number, (x, y) in enumerate(zip(xs, ys, strict=True)):
        if steps and number:
            points.append(f"{_SIZE * x:.1f},{_SIZE * (1 - ys[number - 1]):.1f}")
        points.append(f"{_SIZE * x:.1f},{_SIZE * (1 - y):.1f}")
    return f'<polyline class="line {colour}" points="{" ".join(points)}"/>'


def box_mark(x: float, y: float, width: float, height: float, colour: str, title: str = "") -> str:
    """A box at places from the top left, 0..1, with a tooltip."""
    tip = f"<title>{escape(title)}</title>" if title else ""
    return (
        f'<rect class="box {colour}" x="{_SIZE * x:.1f}" y="{_SIZE * y:.1f}"'
        f' width="{max(2.0, _SIZE * width):.1f}" height="{_SIZE * height:.1f}">{tip}</rect>'
    )


def rule_mark(place: float, *, upright: bool, kind: str = "grid") -> str:
    """A line across the chart."""
    at = f"{_SIZE * place:.1f}"
    if upright:
        return f'<line class="{kind}" x1="{at}" x2="{at}" y1="0" y2="1000"/>'
    return f'<line class="{kind}" x1="0" x2="1000" y1="{at}" y2="{at}"/>'
