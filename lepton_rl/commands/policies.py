"""`lepton-rl policies list`, `card`, `check` and `publish`: shipped policies and their cards."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lepton_rl.agents.config import TrainConfig
from lepton_rl.commands.documents import evaluation_document, run_config
from lepton_rl.commands.evaluate import evaluate_policies
from lepton_rl.commands.inputs import located, open_with_log, raw_config
from lepton_rl.core.errors import ConfigError
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.settings import load_settings
from lepton_rl.evaluate.card import Card, Origin, card_of, card_problems, read_card
from lepton_rl.evaluate.card_text import card_markdown, change_of
from lepton_rl.evaluate.figures import with_unit
from lepton_rl.evaluate.metrics import METRICS
from lepton_rl.evaluate.protocols import EvaluationProtocol, standard_setting
from lepton_rl.policies.artifact import read_artifact
from lepton_rl.policies.learned import load_policy
from lepton_rl.policies.registry import rule_of
from lepton_rl.policies.shipped import card_path, policy_path, shipped_folder, shipped_policies

__all__ = ["check_policy", "list_policies", "publish_policy", "shipped_card", "show_card"]


def shipped_card(name: str) -> Card:
    """The card of a shipped policy.

    Raises:
        ArtifactError: no shipped policy has this name.
        InputFileError: the card cannot be read.
    """
    return read_card(card_path(name))


def list_policies(*, as_json: bool) -> str:
    """Name, purpose, training workload, result and checksum of each; what goes to stdout."""
    cards = [shipped_card(name) for name in shipped_policies()]
    if as_json:
        return json.dumps([_summary(card) for card in cards], indent=2, allow_nan=False) + "\n"
    return "\n".join(map(_paragraph, cards)) or "this version ships no policy\n"


def show_card(name: str, *, as_json: bool) -> str:
    """The card of a shipped policy as Markdown or JSON; what goes to stdout."""
    card = shipped_card(name)
    return card.model_dump_json(indent=2) + "\n" if as_json else card_markdown(card)


def publish_policy(run: Path, name: str, folder: Path | None, *, as_json: bool) -> str:
    """Write policy and card of a finished training run as a shipped policy.

    Args:
        run: folder of `lepton-rl train`.
        name: of the policy, and of the shipped configuration that the run must have had.
        folder: where to; default that of the shipped policies.
        as_json: JSON instead of text.

    Returns:
        What goes to stdout.

    Raises:
        ConfigError: the run had other settings, or its evaluation has no intervals.
        LeptonError: the folder is not one of a finished run.
    """
    config = _config_of(name)
    _require_same(config, run, name)
    artifact = read_artifact(run / "policy.onnx")
    manifest = artifact.manifest
    origin = Origin(
        name=name,
        config=name,
        purpose=config.about.purpose,
        limits=config.about.limits,
        sha256=artifact.sha256,
        workload=str(manifest.training["workload"]),
        seed=int(manifest.training["seed"]),
        steps=int(manifest.training["steps"]),
        revision=str(manifest.training["revision"]),
        versions=manifest.versions,
    )
    card = card_of(origin, evaluation_document(run / "evaluation.json"), manifest.name)
    target = folder if folder is not None else shipped_folder()
    target.mkdir(parents=True, exist_ok=True)
    (target / f"{name}.md").write_text(card_markdown(card), encoding="utf-8")
    (target / f"{name}.json").write_text(card.model_dump_json(indent=1) + "\n", encoding="utf-8")
    shutil.copyfile(run / "policy.onnx", target / f"{name}.onnx")
    facts = {"policy": str(target / f"{name}.onnx"), "verdict": card.verdict}
    return json.dumps(facts, indent=2) + "\n" if as_json else f"{card.verdict}\n{facts['policy']}\n"


def check_policy(name: str, windows: int | None, *, as_json: bool) -> tuple[str, bool]:
    """Measure a shipped policy again, and compare with its card.

    Args:
        name: of a shipped policy.
        windows: so many of the card's windows, evenly spaced; default all.
        as_json: JSON instead of text.

    Returns:
        What goes to stdout, and whether the card is borne out.

    Raises:
        LeptonError: policy, card or workload cannot be read.
    """
    card = shipped_card(name)
    if (found := load_policy(name).artifact.sha256) != card.origin.sha256:
        problems = [f"the file has SHA-256 {found}, the card is of {card.origin.sha256}"]
        rows: list[int] = []
    else:
        count = min(windows or len(card.windows), len(card.windows))
        rows = np.linspace(0, len(card.windows) - 1, count).round().astype(int).tolist()
        problems = card_problems(card, rows, *_measured(card, rows))
    if as_json:
        facts = {"policy": name, "windows": len(rows), "problems": problems}
        return json.dumps(facts, indent=2) + "\n", not problems
    good = f"{name}: {len(rows)} of {len(card.windows)} windows measured again; the card holds"
    return "\n".join(problems or [good]) + "\n", not problems


def _measured(card: Card, rows: list[int]) -> tuple[list[float], list[float]]:
    """Headline figures of the policy, and of the card's best heuristic, in these windows."""
    config = _config_of(card.origin.config)
    protocol = EvaluationProtocol(
        name="card",
        version=1,
        starts=tuple(card.windows[row] for row in rows),
        length=card.window_tasks,
        settings=(standard_setting(Backfill[card.backfill.upper()]),),
    )
    policy, best = load_policy(card.origin.name), card.rivals[0].name
    workload = open_with_log(config.environment.workload)
    evaluation = evaluate_policies(
        protocol, workload, [policy], {best: rule_of(best)}, headline=card.headline
    )
    comparison = evaluation.comparisons[0][1]
    ours, theirs = (
        comparison.result(each).values(card.headline).tolist() for each in (policy.name, best)
    )
    return ours, theirs


def _config_of(name: str) -> TrainConfig:
    return located(load_settings(TrainConfig, raw_config(name), name))


def _require_same(config: TrainConfig, folder: Path, name: str) -> None:
    """A shipped policy must be what its configuration trains; the device may differ."""
    beside = {"about", "device"}
    run = run_config(folder).model_dump(exclude=beside)
    wanted = config.model_dump(exclude=beside)
    differing = [key for key in wanted if run[key] != wanted[key]]
    if differing:
        raise ConfigError(
            f"{folder}: {', '.join(differing)} differ from the configuration {name!r}; expected a"
            f" run of `lepton-rl train --config {name}` without --set"
        )


def _summary(card: Card) -> Mapping[str, Any]:
    best = card.rivals[0]
    return {
        "name": card.origin.name,
        "purpose": card.origin.purpose,
        "workload": card.origin.workload,
        "metric": card.headline,
        "value": card.figures[card.headline],
        "best_heuristic": best.name,
        "best_heuristic_value": best.figures[card.headline],
        "relative": best.relative,
        "relative_interval": best.relative_interval,
        "sha256": card.origin.sha256,
        "path": str(policy_path(card.origin.name)),
    }


def _paragraph(card: Card) -> str:
    best, metric = card.rivals[0], card.headline
    ours, theirs = (
        "-" if value is None else with_unit(metric, value)
        for value in (card.figures[metric], best.figures[metric])
    )
    rows = {
        "for": card.origin.purpose,
        "trained on": card.origin.workload,
        METRICS[metric].title: f"{ours}, best heuristic {best.name} {theirs}",
        "change": f"{change_of(best, metric)}, {len(card.windows)} test windows",
        "sha256": card.origin.sha256,
    }
    lines = [f"  {title:22}{value}" for title, value in rows.items()]
    return "\n".join([card.origin.name, *lines]) + "\n"
