"""`lepton-rl sweep`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import optuna

from lepton_rl.agents.config import TrainConfig
from lepton_rl.agents.over_ray import trials_over_ray
from lepton_rl.agents.sweep import SEARCH, parse_parameter, sweep
from lepton_rl.commands.inputs import open_with_log, raw_config
from lepton_rl.commands.progress import log
from lepton_rl.core.errors import ConfigError
from lepton_rl.core.settings import apply_overrides, load_settings
from lepton_rl.evaluate.backends import check_backend

__all__ = ["run_sweep"]


def run_sweep(
    config: str,
    overrides: Sequence[str],
    searched: Sequence[str],
    trials: int,
    out: Path,
    *,
    backend: str,
    jobs: int,
    as_json: bool,
) -> str:
    """Search for settings; returns what goes to stdout.

    Args:
        config: name or file of a training run.
        overrides: single settings of all trials.
        searched: `name=low:high`, `name=low:high:log` or `name=one|other`; empty for `SEARCH`.
        trials: how many there shall be in `out`.
        out: folder of the sweep; trials that are there count.
        backend: processes (this one) or ray.
        jobs: trials at a time; more than one only over ray.
        as_json: JSON instead of text.

    Raises:
        LeptonError: a file, name or setting is wrong.
    """
    check_backend(backend, jobs)
    if backend != "ray" and jobs > 1:
        raise ConfigError(f"--jobs {jobs}: several trials at a time need --backend ray")
    data = apply_overrides(raw_config(config), overrides)
    parameters = [parse_parameter(each) for each in searched or SEARCH]
    settings = load_settings(TrainConfig, data, config)
    workload = open_with_log(settings.environment.workload)
    with trials_over_ray(jobs) if backend == "ray" else nullcontext() as run:
        study = sweep(
            data, config, out, trials, parameters,
            workload=workload, report=_tell, run=run, jobs=jobs,
        )  # fmt: skip
    best: dict[str, Any] = {
        "validation_metric": study.best_value,
        "trial": study.best_trial.number,
        "settings": study.best_params,
        "config": str(out / "best.yaml"),
    }
    if as_json:
        return json.dumps(best, indent=2, allow_nan=False) + "\n"
    lines = [f"{name} = {value}" for name, value in study.best_params.items()]
    return "\n".join(
        [f"best of {len(study.trials)} trials: {study.best_value:.6g}", *lines, best["config"], ""]
    )


def _tell(ended: optuna.trial.FrozenTrial) -> None:
    result = "failed" if ended.value is None else f"{ended.value:.6g}"
    log(f"trial {ended.number}: {result} {ended.params}")
