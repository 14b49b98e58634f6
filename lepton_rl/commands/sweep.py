"""`lepton-rl sweep`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna

from lepton_rl.agents.config import TrainConfig
from lepton_rl.agents.sweep import SEARCH, parse_parameter, sweep
from lepton_rl.commands.inputs import open_with_log, raw_config
from lepton_rl.commands.progress import log
from lepton_rl.core.settings import apply_overrides, load_settings

__all__ = ["run_sweep"]


def run_sweep(
    config: str,
    overrides: Sequence[str],
    searched: Sequence[str],
    trials: int,
    out: Path,
    *,
    as_json: bool,
) -> str:
    """Search for settings; returns what goes to stdout.

    Args:
        config: name or file of a training run.
        overrides: single settings of all trials.
        searched: `name=low:high`, `name=low:high:log` or `name=one|other`; empty for `SEARCH`.
        trials: how many there shall be in `out`.
        out: folder of the sweep; trials that are there count.
        as_json: JSON instead of text.

    Raises:
        LeptonError: a file, name or setting is wrong.
    """
    data = apply_overrides(raw_config(config), overrides)
    parameters = [parse_parameter(each) for each in searched or SEARCH]
    settings = load_settings(TrainConfig, data, config)
    workload = open_with_log(settings.environment.workload)
    study = sweep(data, config, out, trials, parameters, workload=workload, report=_tell)
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


def _tell(study: optuna.Study) -> None:
    last = study.trials[-1]
    result = "failed" if last.value is None else f"{last.value:.6g}"
    log(f"trial {last.number}: {result} {last.params}")
