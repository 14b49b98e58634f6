"""The same figures for programs, spreadsheets and pull requests."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from dataclasses import asdict
from io import StringIO
from typing import Any

from lepton_rl.evaluate.figures import figure_text
from lepton_rl.evaluate.metrics import METRICS
from lepton_rl.evaluate.report.page import Findings

__all__ = ["to_csv", "to_json_text", "to_markdown"]


def to_json_text(findings: Findings) -> str:
    """The evaluation, and what the report measured beside it.

    Keys: title, setting, window, stability, scaling, effects, missing, evaluation.
    """
    evidence = findings.evidence
    measured: dict[str, Any] = {"stability": [], "scaling": [], "effects": {}}
    if evidence is not None:
        measured = {
            "window": evidence.window,
            "stability": [asdict(each) for each in evidence.stability],
            "scaling": [asdict(each) for each in evidence.scaling],
            "effects": dict(evidence.effects),
        }
    document = {
        "title": findings.title,
        "setting": findings.setting["name"],
        **measured,
        "missing": list(findings.missing),
        "evaluation": findings.document,
    }
    return json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False) + "\n"


def to_csv(findings: Findings) -> str:
    """One row for each setting, contender, metric and window; the window is empty for all of them.

    Values are in the metric's unit, shares from 0 to 1; empty where the metric does not apply.
    """
    stream = StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["setting", "contender", "kind", "metric", "unit", "window", "value"])
    for setting in findings.document["settings"]:
        for entry in [*setting["contenders"], *setting["limits"]]:
            for metric, info in METRICS.items():
                start = [setting["name"], entry["name"], _kind(entry), metric, info.unit]
                writer.writerow([*start, "", _blank(entry["figures"].get(metric))])
                for window, value in enumerate(entry["per_window"].get(metric, ())):
                    writer.writerow([*start, window, _blank(value)])
    return stream.getvalue()


def _kind(entry: Mapping[str, Any]) -> str:
    if "rank" not in entry:
        return "limit"
    return "heuristic" if entry["is_heuristic"] else "learned"


def _blank(value: float | None) -> object:
    return "" if value is None else value


def to_markdown(findings: Findings) -> str:
    """Verdict and table of the setting that is shown."""
    document, setting = findings.document, findings.setting
    headline = str(document["headline"])
    columns = [headline, "p95_wait_s", "max_wait_s", "utilisation"]
    protocol = document["protocol"]
    lines = [
        f"# {findings.title}",
        "",
        f"{document['workload']}, protocol {protocol['name']} v{protocol['version']},"
        f" {len(document['windows'])} windows, {setting['title']}",
        "",
        str(setting["verdict"]),
        "",
        "| # | policy | " + " | ".join(_head(name) for name in dict.fromkeys(columns)) + " |",
        "|---|---|" + "---:|" * len(dict.fromkeys(columns)),
    ]
    for entry in [*setting["contenders"], *setting["limits"]]:
        name = str(entry["name"]).replace("|", "\\|")
        cells = (_cell(entry, metric) for metric in dict.fromkeys(columns))
        lines.append(f"| {entry.get('rank', '=')} | {name} | " + " | ".join(cells) + " |")
    lines += ["", *(f"Note: {note}." for note in protocol["notes"]), *findings.missing]
    return "\n".join(lines).rstrip() + "\n"


def _head(metric: str) -> str:
    unit = {"s": " [s]", "share": " [%]"}.get(METRICS[metric].unit, "")
    return METRICS[metric].title + unit


def _cell(entry: Mapping[str, Any], metric: str) -> str:
    value = entry["figures"].get(metric)
    return "-" if value is None else figure_text(metric, float(value))
