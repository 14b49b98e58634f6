"""`lepton-rl train`."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lepton_rl.agents.config import TrainConfig
from lepton_rl.agents.distributed import is_first
from lepton_rl.agents.over_ray import trained_along
from lepton_rl.agents.run_folder import set_aside
from lepton_rl.agents.training import Trained, choose_device, train
from lepton_rl.commands.evaluate import evaluate_policies, render, searching, write_evaluation
from lepton_rl.commands.inputs import located, open_with_log, raw_config
from lepton_rl.commands.progress import log, progress_bar
from lepton_rl.commands.rivals import headline_of, rivals_of
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.settings import apply_overrides, load_settings, require_mapping
from lepton_rl.evaluate import Evaluation, heldout, to_json
from lepton_rl.policies.learned import load_policy
from lepton_rl.workloads.workload import Workload

__all__ = ["run_training", "train_config"]


_HINDSIGHT = 100
"""Replays a test window to search for the best schedule, for the distance to the limit."""


def train_config(
    config: str,
    overrides: Sequence[str],
    workload: str | None,
    seed: int | None,
    device: str | None,
) -> TrainConfig:
    """Settings of a run: the configuration on `workload`, then `--set`, then the other options.

    The path of a trace is made absolute, so that the run can be gone on with from anywhere.

    Raises:
        ConfigError: an unknown or bad setting, with the nearest right name.
    """
    data = raw_config(config)
    if workload is not None:
        data = _on_trace(data, workload, config)
    named = {"seed": seed, "device": device}
    given = {name: value for name, value in named.items() if value is not None}
    return located(
        load_settings(TrainConfig, {**apply_overrides(data, overrides), **given}, config)
    )


def _on_trace(data: Mapping[str, Any], trace: str, config: str) -> dict[str, Any]:
    """`data` with another source of tasks; of the old one splits and prediction stay."""
    environment = _inner(data, "environment", config)
    kept = {
        name: value
        for name, value in _inner(environment, "workload", f"{config}: environment").items()
        if name in ("train", "validation", "prediction")
    }
    return {**data, "environment": {**environment, "workload": {"source": trace, **kept}}}


def _inner(data: Mapping[str, Any], name: str, where: str) -> Mapping[str, Any]:
    value = data.get(name)
    return require_mapping({} if value is None else value, f"{where}: {name}", None)


def run_training(
    config: str | None,
    overrides: Sequence[str],
    out: Path,
    workload: str | None,
    seed: int | None,
    device: str | None,
    *,
    resume: bool,
    ray_workers: int,
    as_json: bool,
) -> tuple[str, bool]:
    """Train, export, load back, evaluate on test windows.

    What an earlier run left in `out` is moved to a folder in it, unless it is to be resumed.

    Args:
        config: name or file; default hpc, or with `resume` that of the run.
        overrides: single settings.
        out: folder of the run.
        workload: trace to train on.
        seed: of everything random.
        device: auto, cpu or cuda.
        resume: go on with the run in `out`.
        ray_workers: processes on Ray that train along.
        as_json: JSON instead of text.

    Returns:
        What goes to stdout, and whether training was stopped by Ctrl-C.

    Raises:
        LeptonError: a file, name or setting is wrong.
    """
    if config is None:
        own = out / "config.yaml"
        config = str(own) if resume and own.is_file() else "hpc"
    settings = train_config(config, overrides, workload, seed, device)
    choose_device(settings.device)
    began = time.monotonic()
    log("loading the workload")
    whole = open_with_log(settings.environment.workload)
    if not resume and is_first() and (moved := set_aside(out)):
        log(f"moved the earlier run in {out} to {moved}")
    log(f"training on {whole.name}, {len(whole)} tasks; logs and checkpoints in {out}")
    with (
        trained_along(settings, out, ray_workers, resume=resume),
        progress_bar("training", settings.total_steps) as bar,
    ):
        trained = train(
            settings,
            out,
            resume=resume,
            report=lambda steps, what: bar(steps, None, what),
            workload=whole,
        )
    if trained is None:  # the first process tells
        return "", False
    log(
        f"{'stopped' if trained.interrupted else 'trained'} after {trained.steps} decisions;"
        f" exported the weights of decision {trained.best_steps} to {trained.policy_path}"
        f" (parity with torch {trained.manifest.parity:.2g})"
    )
    evaluation = _test(settings, whole, trained.policy_path)
    write_evaluation(out, evaluation)
    text = render(evaluation, as_json=False)
    if as_json:
        document = {
            **_summary(trained, time.monotonic() - began),
            "evaluation": to_json(evaluation),
        }
        return json.dumps(document, indent=2, allow_nan=False) + "\n", trained.interrupted
    return text + f"\npolicy: {trained.policy_path}\n", trained.interrupted


def _test(settings: TrainConfig, workload: Workload, path: Path) -> Evaluation:
    """The exported policy, loaded back, beside every heuristic on windows of the test split."""
    environment = settings.environment
    protocol = heldout(
        workload,
        split="test",
        length=environment.episode_tasks,
        count=settings.test_windows,
        backfill=Backfill[environment.backfill.upper()],
        train=environment.workload.train,
        validation=environment.workload.validation,
    )
    return evaluate_policies(
        protocol,
        workload,
        [load_policy(path)],
        rivals_of(environment),
        headline=headline_of(environment),
        seed=settings.seed,
        hindsight=searching(_HINDSIGHT),
    )


def _summary(trained: Trained, seconds: float) -> dict[str, Any]:
    return {
        "policy": str(trained.policy_path),
        "steps": trained.steps,
        "best_steps": trained.best_steps,
        "validation_metric": trained.best_metric,
        "parity": trained.manifest.parity,
        "interrupted": trained.interrupted,
        "wall_time_s": round(seconds, 1),
    }
