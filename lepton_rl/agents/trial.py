"""One trial of a sweep: a training run that is told by its validation windows alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from lepton_rl.agents.config import TrainConfig
from lepton_rl.agents.training import train
from lepton_rl.workloads.workload import Workload

__all__ = ["RunTrial", "run_trial"]

RunTrial = Callable[[TrainConfig, Path], float]
"""Trains in a folder; the mean objective on the validation windows, lower is better."""


def run_trial(config: TrainConfig, folder: Path, workload: Workload | None = None) -> float:
    """Train in this process; see `RunTrial`.

    Raises:
        LeptonError: the settings do not go together.
        KeyboardInterrupt: training was stopped by it.
    """
    trained = train(config, folder, workload=workload)
    assert trained is not None, "a trial is one process"
    if trained.interrupted:
        raise KeyboardInterrupt
    return trained.best_metric
