"""How figures are printed."""

from __future__ import annotations

import math

from lepton_rl.evaluate.metrics import metric_info
from lepton_rl.evaluate.statistics import PairedDifference

__all__ = ["change_text", "figure_text", "interval_text", "known", "seconds_text", "with_unit"]


def figure_text(metric: str, value: float) -> str:
    """A figure without its unit, for a table column that names it; shares in percent.

    Ratios have the two decimals of the published tables, 0.005 s is the least time shown; "-" where
    the metric does not apply.
    """
    if math.isnan(value):
        return "-"
    unit = metric_info(metric).unit
    if unit == "s":
        return seconds_text(value)
    return f"{100 * value:.1f}" if unit == "share" else f"{value:.2f}"


def known(value: float) -> float | None:
    """The figure for JSON, which has no NaN."""
    return None if math.isnan(value) else value


def seconds_text(value: float) -> str:
    """Seconds, with decimals where they matter: 0.25, 12.5, 86400."""
    decimals = 0 if value >= 100 else 1 if value >= 10 else 2
    return f"{value:.{decimals}f}"


def with_unit(metric: str, value: float) -> str:
    """A figure in running text."""
    unit = {"s": " s", "share": " %", "kWh": " kWh"}.get(metric_info(metric).unit, "")
    return f"{figure_text(metric, value)}{unit}"


def change_text(metric: str, difference: PairedDifference) -> str:
    """The relative change in percent, or the difference of the metric where there is none."""
    if difference.relative is None:
        return _difference_text(metric, difference.difference)
    return f"{100 * difference.relative:+.1f} %"


def interval_text(metric: str, difference: PairedDifference) -> str:
    """The interval of what `change_text` prints, "" if there is none."""
    relative, absolute = difference.relative_interval, difference.difference_interval
    if relative is not None:
        return f"{100 * relative.low:+.1f} to {100 * relative.high:+.1f} %"
    if absolute is not None:
        low = _difference_text(metric, absolute.low).removesuffix(_unit(metric))
        return f"{low} to {_difference_text(metric, absolute.high)}"
    return ""


def _difference_text(metric: str, value: float) -> str:
    """A difference of the metric; that of a share in percentage points."""
    percent = metric_info(metric).unit == "share"
    return f"{100 * value:+.2f}{_unit(metric)}" if percent else f"{value:+.4g}{_unit(metric)}"


def _unit(metric: str) -> str:
    return {"s": " s", "share": " points"}.get(metric_info(metric).unit, "")
