"""How good predictions were.

With p a predicted and r a true run time, and u the predicted upper quantile of level q:

accuracy          min(p, r) / max(p, r), 0..1 (Tsafrir, Etsion and Feitelson, TPDS 2007)
underestimated    p < r
absolute error    |p - r|
factor            p / r; above 1 is an over-estimate
covered           r <= u; q of the tasks would be right
pinball loss      max(q (r - u), (q - 1) (r - u)), the proper score of a quantile (Koenker and
                  Bassett, "Regression quantiles", Econometrica 46(1), 1978)
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lepton_rl.core.errors import ConfigError

__all__ = ["Accuracy", "accuracy_of", "accuracy_table", "pinball_loss_s"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Figures over some tasks.

    Attributes:
        tasks: how many.
        mean_accuracy: 0..1, higher is better.
        underestimated: share of the tasks, 0..1.
        mean_absolute_error_s: in s, >= 0.
        mean_factor: > 0; a few short tasks with long estimates can dominate it.
        median_factor: > 0, 1 is best.
        covered: share of the tasks within their upper quantile, 0..1.
        pinball_loss_s: of the upper quantile, in s, >= 0; lower is better.
    """

    tasks: int
    mean_accuracy: float
    underestimated: float
    mean_absolute_error_s: float
    mean_factor: float
    median_factor: float
    covered: float
    pinball_loss_s: float


def accuracy_of(
    run_s: ArrayLike, predicted_s: ArrayLike, upper_s: ArrayLike, quantile: float
) -> Accuracy:
    """Compare predictions with the truth.

    Args:
        run_s: `(N,)` true run times in s, > 0.
        predicted_s: `(N,)` predictions in s, > 0.
        upper_s: `(N,)` predicted upper quantiles in s, > 0.
        quantile: their level, 0..1.

    Raises:
        ConfigError: nothing to compare, different lengths, or a time that is not finite and > 0.
    """
    run, predicted, upper = (np.asarray(x, np.float64) for x in (run_s, predicted_s, upper_s))
    if not (run.ndim == 1 and len(run) > 0 and run.shape == predicted.shape == upper.shape):
        raise ConfigError(
            "accuracy: expected three lists of the same length >= 1, got shapes"
            f" {run.shape}, {predicted.shape} and {upper.shape}"
        )
    if not all(((x > 0) & np.isfinite(x)).all() for x in (run, predicted, upper)):
        raise ConfigError("accuracy: run times and predictions must be finite and > 0 s")
    factor = predicted / run
    return Accuracy(
        tasks=len(run),
        mean_accuracy=float(np.mean(np.minimum(run, predicted) / np.maximum(run, predicted))),
        underestimated=float(np.mean(predicted < run)),
        mean_absolute_error_s=float(np.mean(np.abs(predicted - run))),
        mean_factor=float(np.mean(factor)),
        median_factor=float(np.median(factor)),
        covered=float(np.mean(run <= upper)),
        pinball_loss_s=pinball_loss_s(run, upper, quantile),
    )


def pinball_loss_s(run_s: Floats, upper_s: Floats, quantile: float) -> float:
    """Mean pinball loss in s of predicted quantiles, `(N,)` each; see the module."""
    short_s = run_s - upper_s
    return float(np.mean(np.maximum(quantile * short_s, (quantile - 1) * short_s)))


def accuracy_table(rows: Mapping[tuple[str, str], Accuracy]) -> str:
    """A Markdown table; `rows` maps (workload, predictor) to figures, in the order wanted."""
    lines = [
        "| trace | predictor | accuracy | underestimated | mean abs. error, s | p / r, median"
        " | p / r, mean | within upper | pinball, s |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for (workload, predictor), each in rows.items():
        lines.append(
            f"| {workload} | {predictor} | {each.mean_accuracy:.3f} | {each.underestimated:.1%}"
            f" | {each.mean_absolute_error_s:,.0f} | {each.median_factor:.2f}"
            f" | {each.mean_factor:,.1f} | {each.covered:.1%} | {each.pinball_loss_s:,.0f} |"
        )
    return "\n".join(lines) + "\n"
