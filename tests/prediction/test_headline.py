"""The table of docs/prediction.md, re-computed on the trace that takes a second."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from lepton_rl.core.clock import to_seconds
from lepton_rl.prediction.accuracy import Accuracy, accuracy_of
from lepton_rl.prediction.config import PredictionConfig, make_predictor
from lepton_rl.prediction.demand import DemandConfig, demand_accuracy_of
from lepton_rl.prediction.online import predict_demand_online, predict_online
from lepton_rl.workloads.swf import read_swf
from lepton_rl.workloads.swf_memory import read_swf_memory
from lepton_rl.workloads.workload import Workload
from tests.prediction.small import require_scikit_learn

DOCS = Path(__file__).parents[2] / "docs" / "prediction.md"
TRACE = "HPC2N-2002-first3170"

ROUNDED = 0.0006
"""The docs have three decimals of a share."""
BOOSTED = 0.02
"""Versions of scikit-learn and of processors may train slightly different trees."""


@pytest.fixture(scope="module")
def workload(trace_dir: Path) -> Workload:
    return read_swf(trace_dir / "swf" / f"{TRACE}.swf.gz")


def documented(name: str) -> tuple[float, float]:
    """Accuracy and share of underestimates that the docs claim."""
    row = re.search(rf"^\| {TRACE} \| {name} \| ([\d.]+) \| ([\d.]+)% ", DOCS.read_text(), re.M)
    assert row, f"{DOCS} has no row for {name}"
    return float(row[1]), float(row[2]) / 100


def measured(workload: Workload, kind: str, figure: str = "median") -> Accuracy:
    """Over the last 40 %, capped."""
    first = round(0.6 * len(workload))
    config = PredictionConfig.model_validate({"kind": kind})
    predictions = predict_online(make_predictor(config), workload)
    requested_s = to_seconds(workload.tasks["requested_us"])
    predicted_s = np.array([getattr(each, f"{figure}_s") for each in predictions])
    capped_s = np.minimum(predicted_s, requested_s)[first:]
    run_s = to_seconds(workload.run_us)[first:]
    return accuracy_of(run_s, capped_s, capped_s, config.quantile)


@pytest.mark.parametrize(
    ("kind", "figure", "name", "tolerance"),
    [
        ("user-estimate", "median", "user estimate", ROUNDED),
        ("last-two", "median", "last-two", ROUNDED),
        ("class-quantiles", "median", "class-quantiles, median", ROUNDED),
        ("class-quantiles", "upper", "class-quantiles, upper", ROUNDED),
        ("boosted", "median", "boosted, median", BOOSTED),
        ("boosted", "upper", "boosted, upper", BOOSTED),
    ],
)
def test_accuracy_on_hpc2n(
    workload: Workload, kind: str, figure: str, name: str, tolerance: float
) -> None:
    if kind == "boosted":
        require_scikit_learn()

    found = measured(workload, kind, figure)

    assert (found.mean_accuracy, found.underestimated) == pytest.approx(
        documented(name), abs=tolerance
    )


@pytest.mark.parametrize(
    ("quantile", "margin"), [(0.9, 1.0), (0.95, 1.0), (0.95, 1.2), (0.99, 1.0), (0.99, 1.2)]
)
def test_memory_on_hpc2n(
    workload: Workload, trace_dir: Path, quantile: float, margin: float
) -> None:
    name = f"class quantile {quantile:g}, margin {margin:g}"
    row = re.search(rf"^\| {name} \| ([\d.]+) \| ([\d.]+)% \|", DOCS.read_text(), re.M)
    assert row, f"{DOCS} has no row for {name}"
    memory = read_swf_memory(trace_dir / "swf" / f"{TRACE}.swf.gz", workload.ids)
    predictor = DemandConfig(quantile=quantile, margin=margin).predictor()

    predicted = predict_demand_online(predictor, workload, memory.used_kib, memory.requested_kib)

    first = round(0.6 * len(workload))
    found = demand_accuracy_of(memory.used_kib[first:], predicted[first:])
    assert found.tasks == 1029
    assert (found.mean_accuracy, found.underestimated) == pytest.approx(
        (float(row[1]), float(row[2]) / 100), abs=ROUNDED
    )
