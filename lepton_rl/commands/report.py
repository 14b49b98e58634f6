"""`lepton-rl report`."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lepton_rl.agents.config import TrainConfig
from lepton_rl.commands.documents import evaluation_document
from lepton_rl.commands.evaluate import SOURCE_FILE
from lepton_rl.commands.inputs import open_with_log
from lepton_rl.commands.progress import log
from lepton_rl.core.errors import ConfigError, LeptonError
from lepton_rl.core.naming import did_you_mean
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.settings import load_settings, read_yaml, require_mapping
from lepton_rl.envs.config import EnvironmentConfig
from lepton_rl.evaluate import HeuristicContender
from lepton_rl.evaluate.learned import LearnedContender
from lepton_rl.evaluate.report.curves import learning_curves
from lepton_rl.evaluate.report.evidence import Curve, Evidence, gather
from lepton_rl.evaluate.report.page import Findings, to_html
from lepton_rl.evaluate.report.text import to_csv, to_json_text, to_markdown
from lepton_rl.evaluate.stress import Stressed
from lepton_rl.policies.learned import load_policy
from lepton_rl.policies.registry import rule_of

__all__ = ["FORMATS", "run_report"]

FORMATS: Mapping[str, Callable[[Findings], str]] = {
    "html": to_html,
    "json": to_json_text,
    "csv": to_csv,
    "md": to_markdown,
}
"""Format -> how it is written."""


def run_report(run: Path, format_: str, out: Path | None, *, as_json: bool) -> str:
    """Write the report of a run; returns what goes to stdout.

    Raises:
        LeptonError: the folder is not one of a run, or the format is unknown.
    """
    if format_ not in FORMATS:
        raise ConfigError(f"--format {format_}: unknown; {did_you_mean(format_, FORMATS)}")
    document = evaluation_document(run / "evaluation.json")
    setting = _shown_setting(document)
    evidence, missing = _evidence(run, document, setting)
    curves, problem = _curves(run)
    missing += problem
    for sentence in missing:
        log(sentence)
    title = run.resolve().name
    findings = Findings(title, document, setting, evidence, tuple(missing), curves)
    path = out if out is not None else run / f"report.{format_}"
    path.write_text(FORMATS[format_](findings), encoding="utf-8")
    if as_json:
        facts = {"report": str(path), "verdict": setting["verdict"], "missing": missing}
        return json.dumps(facts, indent=2, ensure_ascii=False) + "\n"
    return f"{setting['verdict']}\nreport: {path}\n"


def _shown_setting(document: Mapping[str, Any]) -> Mapping[str, Any]:
    """The last setting in which learned policies take part."""
    settings = document["settings"]
    return next((s for s in reversed(settings) if not s["blocking"]), settings[-1])


def _evidence(
    run: Path, document: Mapping[str, Any], setting: Mapping[str, Any]
) -> tuple[Evidence | None, list[str]]:
    """What replays show; or a sentence that says why there are none."""
    try:
        environment, policies = _source(run)
        whole = open_with_log(environment.workload)
        windows = [whole.window(w["first_task"], w["num_tasks"]) for w in document["windows"]]
        contenders = _contenders(setting, policies)
        backfill = Backfill[str(setting["backfill"]).upper()]
        return gather(contenders, windows, _median(setting, document), backfill), []
    except LeptonError as error:
        return None, [f"Schedules, stability and scalability are missing: {error}"]


def _source(run: Path) -> tuple[EnvironmentConfig, list[Path]]:
    """Environment and policies of what `evaluate --out` or `train` has left."""
    path = run / SOURCE_FILE
    if not path.is_file():
        path = run / "config.yaml"
        config = load_settings(TrainConfig, read_yaml(path), str(path))
        return config.environment, [run / "policy.onnx"]
    data = require_mapping(read_yaml(path), str(path), {"environment", "policies"})
    environment = load_settings(EnvironmentConfig, data.get("environment"), str(path))
    return environment, [Path(str(each)) for each in data.get("policies") or ()]


def _contenders(setting: Mapping[str, Any], policies: list[Path]) -> list[Stressed]:
    """The best learned policy and the best heuristic, and the plainest if neither is it."""
    learned = [load_policy(path) for path in policies]
    entries = setting["contenders"]
    ours = next((e["name"] for e in entries if not e["is_heuristic"]), None)
    theirs = [e["name"] for e in entries if e["is_heuristic"]]
    named = [policy for policy in learned if policy.name == ours] or learned[:1]
    found: list[Stressed] = [LearnedContender(str(ours), policy) for policy in named if ours]
    for name in dict.fromkeys([*theirs[:1], *(name for name in theirs if name == "fcfs")]):
        rule = rule_of(name)._replace(blocking=bool(setting["blocking"]))
        found.append(HeuristicContender(name, rule))
    return found


def _median(setting: Mapping[str, Any], document: Mapping[str, Any]) -> int:
    """The window in which the first contender shown has its median headline."""
    entries = setting["contenders"]
    first = next((e for e in entries if not e["is_heuristic"]), entries[0])
    values = np.array(first["per_window"][document["headline"]], np.float64)
    return int(np.argsort(values, kind="stable")[(len(values) - 1) // 2])


def _curves(run: Path) -> tuple[tuple[Curve, ...], list[str]]:
    try:
        return learning_curves(run / "tensorboard"), []
    except ModuleNotFoundError as error:
        return (), [f"Learning curves are missing: {error.name} is not installed (extra train)"]
