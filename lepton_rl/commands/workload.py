"""`lepton-rl workload`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import numpy as np
from numpy.typing import NDArray

from lepton_rl.commands.inputs import environment_for
from lepton_rl.commands.workload_files import side_file_figures
from lepton_rl.core.clock import to_seconds
from lepton_rl.envs.config import WorkloadConfig
from lepton_rl.envs.episodes import load_workload
from lepton_rl.prediction.accuracy import accuracy_of
from lepton_rl.prediction.config import PredictionConfig
from lepton_rl.prediction.demand import demand_accuracy_of
from lepton_rl.prediction.online import predict_demand_online, predicted_workload
from lepton_rl.workloads.sources import describe
from lepton_rl.workloads.swf import SWF_SUFFIXES
from lepton_rl.workloads.swf_memory import read_swf_memory
from lepton_rl.workloads.workload import Workload

__all__ = ["describe_workload"]

_USERS = PredictionConfig()


def describe_workload(workload: str, overrides: Sequence[str] = (), *, as_json: bool) -> str:
    """Figures of a workload and of the estimates of its run times; of a node list, or quotas.

    Args:
        workload: a trace, a shipped configuration or a YAML file.
        overrides: settings on top of it, `a.b=v`.
        as_json: JSON instead of text.

    Returns:
        What goes to stdout.

    Raises:
        LeptonError: the workload cannot be used.
    """
    figures = side_file_figures(workload)
    if figures is None:
        figures = _workload_figures(environment_for(workload, overrides).workload)
    if as_json:
        return json.dumps(figures, indent=2, allow_nan=False) + "\n"
    return "".join(f"{name:16}{_text(value)}\n" for name, value in figures.items())


def _workload_figures(config: WorkloadConfig) -> dict[str, object]:
    seen = load_workload(config)
    asked = predicted_workload(seen, _USERS)
    figures = {**describe(asked), "estimates": _estimates(config, asked, seen)}
    memory = _memory(config, asked)
    return figures if memory is None else {**figures, "memory": memory}


def _estimates(config: WorkloadConfig, asked: Workload, seen: Workload) -> dict[str, object]:
    """Accuracy of what users asked for, and of the predictions that are configured."""
    users: NDArray[np.int64] = asked.tasks["requested_us"]
    figures: dict[str, object] = {_USERS.kind: _accuracy(asked, users)}
    if seen.user_requested_us is not None:
        figures[config.prediction.kind] = _accuracy(asked, seen.tasks["requested_us"])
    return figures


def _accuracy(workload: Workload, estimates_us: NDArray[np.int64]) -> dict[str, float]:
    """Over all tasks, those included from which a predictor has yet to learn."""
    estimates_s = to_seconds(estimates_us)
    found = accuracy_of(to_seconds(workload.run_us), estimates_s, estimates_s, _USERS.quantile)
    return {
        "accuracy": found.mean_accuracy,
        "underestimated": found.underestimated,
        "mean_absolute_error_s": found.mean_absolute_error_s,
    }


def _memory(config: WorkloadConfig, asked: Workload) -> dict[str, object] | None:
    """Accuracy of requested and of predicted memory; None where the source measured none."""
    if not config.source.lower().endswith(SWF_SUFFIXES):
        return None
    memory = read_swf_memory(config.source, asked.ids)
    if not memory.is_measured:
        return None
    predicted = predict_demand_online(
        config.prediction.demand.predictor(), asked, memory.used_kib, memory.requested_kib
    )
    figures = {"user-request": memory.requested_kib, "class-quantiles": predicted}
    return {
        name: asdict(demand_accuracy_of(memory.used_kib, each))
        for name, each in figures.items()
        if np.isfinite(each[np.isfinite(memory.used_kib)]).any()
    }


def _text(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(_entry(name, each) for name, each in value.items()) or "(none)"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _entry(name: str, value: object) -> str:
    return f"{name} ({_text(value)})" if isinstance(value, dict) else f"{name} {_text(value)}"
