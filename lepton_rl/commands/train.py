"""`lepton-rl train`."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lepton_rl.agents.config import TrainConfig
from lepton_rl.agents.training import Trained, train
from lepton_rl.commands.evaluate import evaluate_policies, render
from lepton_rl.commands.inputs import raw_config
from lepton_rl.commands.progress import log, progress_bar
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.settings import apply_overrides, load_settings
from lepton_rl.envs.episodes import load_workload
from lepton_rl.evaluate import Evaluation, heldout, to_json
from lepton_rl.policies.learned import load_policy
from lepton_rl.workloads.workload import Workload

__all__ = ["run_training", "train_config"]


def train_config(
    config: str,
    overrides: Sequence[str],
    workload: str | None,
    seed: int | None,
    device: str | None,
) -> TrainConfig:
    """Settings of a run: the configuration, then `--set`, then the options of their own.

    Raises:
        ConfigError: an unknown or bad setting, with the nearest right name.
    """
    data = apply_overrides(raw_config(config), overrides)
    if workload is not None:
        environment = {**(data.get("environment") or {}), "workload": {"source": workload}}
        data["environment"] = environment
    named = {"seed": seed, "device": device}
    data.update({name: value for name, value in named.items() if value is not None})
    return load_settings(TrainConfig, data, config)


def run_training(
    config: str,
    overrides: Sequence[str],
    out: Path,
    workload: str | None,
    seed: int | None,
    device: str | None,
    *,
    resume: bool,
    as_json: bool,
) -> tuple[str, bool]:
    """Train, export, load back, evaluate on test windows.

    Returns:
        What goes to stdout, and whether training was stopped by Ctrl-C.

    Raises:
        LeptonError: a file, name or setting is wrong.
    """
    settings = train_config(config, overrides, workload, seed, device)
    began = time.monotonic()
    log("loading the workload; the first run compiles the simulator, about half a minute")
    whole = load_workload(settings.environment.workload)
    for reason, count in whole.skipped.items():
        log(f"{whole.name}: {count} rows: {reason}")
    log(f"training on {whole.name}, {len(whole)} tasks; logs and checkpoints in {out}")
    with progress_bar("training", settings.total_steps) as bar:
        trained = train(
            settings,
            out,
            resume=resume,
            report=lambda steps, what: bar(steps, None, what),
            workload=whole,
        )
    log(
        f"{'stopped' if trained.interrupted else 'trained'} after {trained.steps} decisions;"
        f" exported the weights of decision {trained.best_steps} to {trained.policy_path}"
        f" (parity with torch {trained.manifest.parity:.2g})"
    )
    evaluation = _test(settings, whole, trained.policy_path)
    _write(out / "evaluation.json", to_json(evaluation))
    summary = _summary(trained, time.monotonic() - began)
    if as_json:
        document = {**summary, "evaluation": to_json(evaluation)}
        return json.dumps(document, indent=2, allow_nan=False) + "\n", trained.interrupted
    text = render(evaluation, as_json=False)
    (out / "evaluation.txt").write_text(text, encoding="utf-8")
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
    return evaluate_policies(protocol, workload, [load_policy(path)], seed=settings.seed)


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


def _write(path: Path, document: dict[str, Any]) -> None:
    path.write_text(json.dumps(document, indent=2, allow_nan=False) + "\n", encoding="utf-8")
