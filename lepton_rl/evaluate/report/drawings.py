"""The charts of the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from lepton_rl.evaluate.report.chart import Axis, Chart, Label, box_mark, line_mark, rule_mark
from lepton_rl.evaluate.report.evidence import Curve, Shown
from lepton_rl.evaluate.report.gantt import Gantt
from lepton_rl.evaluate.stress import Scaled

__all__ = [
    "SLOWDOWN_CLASSES",
    "bars",
    "curve_chart",
    "gantt_chart",
    "number_text",
    "queue_chart",
    "scale_chart",
    "utilisation_chart",
    "wait_chart",
    "whiskers",
]

Series = Sequence[tuple[str, Sequence[float], Sequence[float]]]

SLOWDOWN_CLASSES = ((2.0, "below 2"), (10.0, "2 to 10"), (100.0, "10 to 100"), (np.inf, "over 100"))
"""Upper ends of the bounded slowdowns that share a colour."""


_ROUND_TIMES = (
    (1.0, "1 s"),
    (60.0, "1 min"),
    (3_600.0, "1 h"),
    (86_400.0, "1 d"),
    (2_592_000.0, "30 d"),
)


def number_text(value: float) -> str:
    """Short: 0.25, 12, 3,400, 2M."""
    if abs(value) >= 1e6:
        return f"{value / 1e6:.3g}M"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _time_axis(high_s: float) -> tuple[Axis, tuple[Label, ...]]:
    """An axis in the largest unit of which there is more than one, with round ticks in it."""
    length, unit = next(
        ((each, name) for each, name in ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))
         if high_s >= 2 * each),
        (1.0, "s"),
    )  # fmt: skip
    ticks = Axis(0.0, max(high_s, 1.0) / length).ticks()
    axis = Axis(0.0, max(high_s, 1.0))
    texts = [f"{tick:g} {unit}" if tick else "0" for tick in ticks]
    places = [100 * axis.place(tick * length) for tick in ticks]
    return axis, tuple(map(Label, places, texts))


def _y_labels(axis: Axis, write: Callable[[float], str] | None = None) -> tuple[Label, ...]:
    text = number_text if write is None else write
    return tuple(Label(100 * (1 - axis.place(tick)), text(tick)) for tick in axis.ticks())


def _share_text(value: float) -> str:
    return f"{100 * value:.0f} %"


def _grid(y_labels: Sequence[Label]) -> str:
    return "".join(rule_mark(label.place / 100, upright=False) for label in y_labels)


def _lines(series: Series, x: Axis, y: Axis, *, steps: bool = False) -> str:
    return "".join(
        line_mark([x.place(v) for v in xs], [y.place(v) for v in ys], f"s{number}", steps=steps)
        for number, (_, xs, ys) in enumerate(series)
    )


def _legend(names: Sequence[str]) -> tuple[tuple[str, str], ...]:
    return tuple((f"s{number}", name) for number, name in enumerate(names))


def utilisation_chart(shown: Sequence[Shown]) -> Chart:
    """Share of the busiest kind in use over time."""
    x, x_labels = _time_axis(max(each.times_s[-1] for each in shown))
    y = Axis(0.0, 1.0)
    labels = _y_labels(y, _share_text)
    series = [(each.name, each.times_s.tolist(), each.utilisation.tolist()) for each in shown]
    lines = _lines(series, x, y, steps=True)
    return Chart(
        "Utilisation over time", labels, x_labels, _grid(labels) + lines,
        _legend([each.name for each in shown]), summary="share of the busiest kind in use",
    )  # fmt: skip


def queue_chart(shown: Sequence[Shown]) -> Chart:
    """Waiting tasks over time."""
    x, x_labels = _time_axis(max(each.times_s[-1] for each in shown))
    y = Axis.over(np.concatenate([each.queue for each in shown]))
    labels = _y_labels(y)
    series = [(each.name, each.times_s.tolist(), each.queue.tolist()) for each in shown]
    lines = _lines(series, x, y, steps=True)
    return Chart(
        "Queue over time", labels, x_labels, _grid(labels) + lines,
        _legend([each.name for each in shown]), y_title="waiting tasks",
        summary="tasks that were submitted and had not started",
    )  # fmt: skip


def wait_chart(shown: Sequence[Shown]) -> Chart:
    """Share of tasks that waited no longer than x, on a logarithmic axis from 1 s."""
    waits = np.concatenate([np.maximum(each.waits_s, 1.0) for each in shown])
    x = Axis.over(waits, is_log=True)
    x = Axis(1.0, max(10.0, x.high), True)
    y = Axis(0.0, 1.0)
    labels = _y_labels(y, _share_text)
    x_labels = tuple(Label(100 * x.place(t), text) for t, text in _ROUND_TIMES if t <= x.high)
    series = []
    for each in shown:
        shares = np.arange(1, len(each.waits_s) + 1) / len(each.waits_s)
        values = np.maximum(each.waits_s, 1.0)
        kept = np.unique(np.concatenate([np.searchsorted(values, np.unique(values), "right") - 1]))
        xs = [1.0, *values[kept].tolist(), x.high]
        series.append((each.name, xs, [0.0, *shares[kept].tolist(), 1.0]))
    return Chart(
        "Waits", labels, x_labels, _grid(labels) + _lines(series, x, y, steps=True),
        _legend([each.name for each in shown]), x_title="waited at most",
        y_title="share of tasks", summary="distribution of waits",
    )  # fmt: skip


def curve_chart(curve: Curve) -> Chart:
    """A figure over training."""
    x = Axis.over(np.array(curve.steps))
    y = Axis.over(np.array(curve.values), from_zero=False)
    labels = _y_labels(y)
    x_labels = tuple(Label(100 * x.place(t), number_text(t)) for t in x.ticks(4))
    lines = _lines([(curve.title, curve.steps, curve.values)], x, y)
    return Chart(curve.title, labels, x_labels, _grid(labels) + lines, x_title="decisions")


def scale_chart(scaling: Sequence[Scaled]) -> Chart:
    """Time for each task by size, both logarithmic."""
    names = list(dict.fromkeys(each.name for each in scaling))
    scales = sorted({each.scale for each in scaling})
    x = Axis(0.0, float(max(1, len(scales) - 1)))
    y = Axis.over(np.array([each.decision_us for each in scaling]), is_log=True)
    labels = tuple(Label(100 * (1 - y.place(t)), f"{t:g}") for t in y.ticks())
    series = [
        (
            name,
            [float(scales.index(each.scale)) for each in scaling if each.name == name],
            [each.decision_us for each in scaling if each.name == name],
        )
        for name in names
    ]
    x_labels = tuple(Label(100 * x.place(i), f"x {scale}") for i, scale in enumerate(scales))
    return Chart(
        "Time for each task", labels, x_labels, _grid(labels) + _lines(series, x, y),
        _legend(names), x_title="times the cluster and its tasks", y_title="us", height_px=160,
    )  # fmt: skip


def bars(
    title: str, values: Mapping[str, float], *, is_log: bool = False, x_title: str = ""
) -> Chart:
    """Horizontal bars by name."""
    axis = Axis.over(np.array(list(values.values())), is_log=is_log)
    count = max(1, len(values))
    marks = [rule_mark(axis.place(tick), upright=True) for tick in axis.ticks(4)]
    for row, (name, value) in enumerate(values.items()):
        text = f"{name}: {value:.3g}"
        top, height = (row + 0.18) / count, 0.64 / count
        marks.append(box_mark(0.0, top, axis.place(value), height, "s0", text))
    return Chart(
        title,
        _names(list(values)),
        tuple(Label(100 * axis.place(tick), number_text(tick)) for tick in axis.ticks(4)),
        "".join(marks),
        x_title=x_title,
        height_px=26 * count,
        wide_labels=True,
        ends=tuple(map(Label, _middles(count), map(number_text, values.values()))),
    )


def _names(names: Sequence[str]) -> tuple[Label, ...]:
    """One label a row, in its middle."""
    return tuple(map(Label, _middles(len(names)), names))


def _middles(count: int) -> list[float]:
    """Middles of `count` rows, in percent."""
    return [100 * (row + 0.5) / count for row in range(count)]


def whiskers(title: str, rows: Sequence[tuple[str, float, float, float, str]]) -> Chart:
    """Changes with their intervals, in percent.

    Args:
        title: above it.
        rows: (name, change, low, high, class of colour), in percent.
    """
    ends = [min(max(abs(low), abs(high)), 150.0) for _, _, low, high, _ in rows]
    axis = Axis(-max([10.0, *ends]), max([10.0, *ends]))
    count = max(1, len(rows))
    marks = [rule_mark(0.5, upright=True, kind="zero")]
    for row, (name, change, low, high, colour) in enumerate(rows):
        middle, left, right = (row + 0.5) / count, axis.place(low), axis.place(high)
        text = f"{name}: {change:+.1f} %, {low:+.1f} to {high:+.1f} %"
        thin, thick = 0.06 / count, 0.22 / count
        marks.append(box_mark(left, middle - thin, right - left, 2 * thin, f"{colour} thin", text))
        dot = axis.place(change) - 0.006
        marks.append(box_mark(dot, middle - thick, 0.012, 2 * thick, colour, text))
    return Chart(
        title,
        _names([each[0] for each in rows]),
        tuple(Label(100 * axis.place(t), f"{t:+.0f} %" if t else "0") for t in axis.ticks(5)),
        "".join(marks),
        height_px=26 * count,
        wide_labels=True,
    )


def gantt_chart(name: str, gantt: Gantt) -> Chart:
    """Boxes by node and device, coloured by bounded slowdown."""
    count = max(1, len(gantt.nodes))
    x, x_labels = _time_axis(max((box.end_s for box in gantt.boxes), default=1.0))
    ends = [end for end, _ in SLOWDOWN_CLASSES]
    marks = []
    for box in gantt.boxes:
        colour = f"d{next(i for i, end in enumerate(ends) if box.slowdown <= end)}"
        left, right = x.place(box.start_s), x.place(box.end_s)
        top, height = (box.node + 1 - box.high) / count, (box.high - box.low) / count
        marks.append(box_mark(left, top, right - left, height, colour, box.title))
    marks += [rule_mark(row / count, upright=False, kind="edge") for row in range(1, count)]
    for row, units in enumerate(gantt.units):
        places = [(row + unit / units) / count for unit in range(1, units)]
        marks += [rule_mark(place, upright=False) for place in places]
    legend = tuple((f"d{i}", f"slowdown {text}") for i, (_, text) in enumerate(SLOWDOWN_CLASSES))
    is_single = len(gantt.nodes) == 1
    title = f"{name} on {gantt.nodes[0]}" if is_single else name
    if gantt.hidden_nodes:
        title += f" ({count} nodes that worked most, {gantt.hidden_nodes} not shown)"
    return Chart(
        title,
        () if is_single else _names(gantt.nodes),
        x_labels,
        "".join(marks),
        legend,
        height_px=min(900, max(220, 44 * count)),
        wide_labels=count > 1,
        summary="which tasks ran when on which node",
    )
