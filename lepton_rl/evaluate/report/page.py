"""The page: one HTML file that needs neither a network nor a script."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lepton_rl.core.errors import ConfigError
from lepton_rl.core.version import VERSION
from lepton_rl.evaluate.figures import figure_text
from lepton_rl.evaluate.metrics import METRICS
from lepton_rl.evaluate.report.drawings import (
    bars,
    curve_chart,
    gantt_chart,
    number_text,
    queue_chart,
    scale_chart,
    utilisation_chart,
    wait_chart,
    whiskers,
)
from lepton_rl.evaluate.report.evidence import Curve, Evidence

__all__ = ["Findings", "to_html"]

_TEMPLATE = "page.html.j2"

_TABLE = (
    "p95_wait_s", "max_wait_s", "mean_turnaround_s", "deadline_misses", "jain_fairness",
    "utilisation", "device_utilisation", "fragmentation", "energy_kwh",
)  # fmt: skip
"""Columns beside the headline and the decision time, where anything is known."""

_MOST_EFFECTS = 10


@dataclass(frozen=True, slots=True)
class Findings:
    """What a report is made of.

    Attributes:
        title: name of the run.
        document: of `evaluate.document.to_json`.
        setting: the entry of its settings that is shown.
        evidence: measured for the report; None where the work could not be replayed.
        missing: why parts are missing, in sentences.
        curves: figures over training.
    """

    title: str
    document: Mapping[str, Any]
    setting: Mapping[str, Any]
    evidence: Evidence | None
    missing: tuple[str, ...] = ()
    curves: tuple[Curve, ...] = ()


def to_html(findings: Findings) -> str:
    """The page.

    Raises:
        ConfigError: jinja2 is not installed.
    """
    try:
        import jinja2
    except ModuleNotFoundError as error:
        raise ConfigError(
            "--format html: jinja2 is missing; install it with: pip install 'lepton-rl[report]', or"
            " use --format md"
        ) from error
    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(
        loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True
    )
    return environment.get_template(_TEMPLATE).render(**_view(findings))


def _view(findings: Findings) -> dict[str, Any]:
    setting, evidence = findings.setting, findings.evidence
    headline = str(findings.document["headline"])
    return {
        "title": findings.title,
        "version": VERSION,
        "document": findings.document,
        "setting": setting,
        "headline": METRICS[headline].title,
        "windows": f"{len(findings.document['windows'])} windows of"
        f" {findings.document['windows'][0]['num_tasks']} tasks",
        "table": _table(setting, headline),
        "differences": _whiskers(setting),
        "panels": _panels(findings, headline),
        "evidence": evidence,
        "gantts": [] if evidence is None else [
            gantt_chart(each.name, each.gantt) for each in evidence.shown
        ],
        "over_time": [] if evidence is None else [
            utilisation_chart(evidence.shown),
            queue_chart(evidence.shown),
            wait_chart(evidence.shown),
        ],
        "curves": [curve_chart(each) for each in findings.curves if len(each.steps) > 1],
        "effects": _effects(evidence),
        "missing": findings.missing,
    }  # fmt: skip


def _figure(entry: Mapping[str, Any], metric: str) -> float:
    value = entry["figures"].get(metric)
    return math.nan if value is None else float(value)


def _table(setting: Mapping[str, Any], headline: str) -> dict[str, Any]:
    """Heads and rows; a column is left out where nothing is known of it."""
    entries = [*setting["contenders"], *setting["limits"]]
    columns = [headline] + [
        name
        for name in _TABLE
        if name != headline and any(not math.isnan(_figure(each, name)) for each in entries)
    ]
    units = {"s": "s", "share": "%", "kWh": "kWh"}
    heads = [(METRICS[n].title, units.get(METRICS[n].unit, "")) for n in columns]
    against = {(each["theirs"]): each for each in _first_differences(setting)}
    rows = []
    for entry in entries:
        is_limit = "rank" not in entry
        decision = entry.get("decision_us")
        rows.append(
            {
                "rank": "=" if is_limit else entry["rank"],
                "name": entry["name"],
                "kind": "limit" if is_limit else "" if entry["is_heuristic"] else "ours",
                "cells": [figure_text(name, _figure(entry, name)) for name in columns],
                "decision": "-" if decision is None else f"{decision:,.0f}",
                "change": _change(against.get(entry["name"])),
            }
        )
    return {"heads": heads, "rows": rows, "has_change": bool(against)}


def _first_differences(setting: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Of the best learned policy to each heuristic."""
    differences = setting["differences"]
    return [each for each in differences if each["ours"] == differences[0]["ours"]]


def _change(difference: Mapping[str, Any] | None) -> tuple[str, str, str]:
    """Relative change of ours, its interval, and its verdict as a class of colour."""
    if difference is None or difference["relative"] is None:
        return "", "", ""
    interval = difference["relative_interval"]
    text = "" if interval is None else f"{100 * interval[0]:+.0f} to {100 * interval[1]:+.0f} %"
    return f"{100 * difference['relative']:+.1f} %", text, str(difference["verdict"]).split()[0]


def _whiskers(setting: Mapping[str, Any]) -> Any:
    colours = {"better": "good", "worse": "bad"}
    rows = [
        (
            each["theirs"],
            100 * each["relative"],
            100 * each["relative_interval"][0],
            100 * each["relative_interval"][1],
            colours.get(each["verdict"], "even"),
        )
        for each in _first_differences(setting)
        if each["relative_interval"] is not None
    ]
    return whiskers("Change against each heuristic, with its interval", rows) if rows else None


def _panels(findings: Findings, headline: str) -> list[dict[str, Any]]:
    """The four questions: utilisation, efficiency, stability, scalability."""
    setting, evidence = findings.setting, findings.evidence
    panels = [_utilisation_panel(setting), _efficiency_panel(setting, headline)]
    if evidence is not None:
        panels += [_stability_panel(evidence), _scalability_panel(evidence)]
    return panels


def _best(setting: Mapping[str, Any], is_heuristic: bool) -> Mapping[str, Any] | None:
    found = (e for e in setting["contenders"] if e["is_heuristic"] == is_heuristic)
    return next(found, None)


def _shown_entries(setting: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Ours and the best heuristic, whichever there are."""
    pair = (_best(setting, False), _best(setting, True))
    return [entry for entry in pair if entry is not None]


def _bound(setting: Mapping[str, Any], metric: str) -> float:
    return next(
        (_figure(e, metric) for e in setting["limits"] if e["name"].startswith("bound")), math.nan
    )


def _utilisation_panel(setting: Mapping[str, Any]) -> dict[str, Any]:
    names = ("utilisation", "device_utilisation", "fragmentation")
    entries = _shown_entries(setting)
    rows = [
        [METRICS[name].title, *(_percent(_figure(each, name)) for each in entries)]
        for name in names
        if any(not math.isnan(_figure(each, name)) for each in entries)
    ]
    first = entries[0]
    text = f"{first['name']} keeps {_percent(_figure(first, 'utilisation'))} of the cluster busy"
    limit = _bound(setting, "utilisation")
    text += "." if math.isnan(limit) else f"; no schedule can exceed {_percent(limit)}."
    return _panel("Utilisation", text, ["", *(each["name"] for each in entries)], rows)


def _efficiency_panel(setting: Mapping[str, Any], headline: str) -> dict[str, Any]:
    entries = [*_shown_entries(setting), *setting["limits"]]
    values = {e["name"]: _figure(e, headline) for e in entries}
    values = {name: value for name, value in values.items() if not math.isnan(value)}
    first, bound = entries[0], _bound(setting, headline)
    figure = figure_text(headline, _figure(first, headline))
    text = f"{first['name']}: {METRICS[headline].title} {figure}"
    if bound > 0:
        times = _figure(first, headline) / bound
        text += (
            f", {times:.3g} times a lower bound that no schedule need reach (proven, often loose)"
        )
    spread = max(values.values()) > 20 * max(min(values.values()), 1e-9)
    positive = {name: value for name, value in values.items() if value > 0}
    chart = bars("", positive if spread else values, is_log=spread)
    return {**_panel("Efficiency", f"{text}.", [], []), "chart": chart}


def _stability_panel(evidence: Evidence) -> dict[str, Any]:
    def cell(value: float, calm: float) -> str:
        return f"{number_text(value)} (x {value / calm:.2g})"

    rows = [
        [e.name, number_text(e.calm), cell(e.failures, e.calm), cell(e.burst, e.calm)]
        for e in evidence.stability
    ]
    first = evidence.stability[0]
    text = (
        f"Mean bounded slowdown of {first.name} is {first.failures / first.calm:.2g} times as high"
        f" when nodes fail, {first.burst / first.calm:.2g} times when a third of the tasks arrive"
        f" at once (mean of {evidence.stability_windows} windows)."
    )
    return _panel("Stability", text, ["", "calm", "nodes fail", "burst"], rows)


def _scalability_panel(evidence: Evidence) -> dict[str, Any]:
    first = [each for each in evidence.scaling if each.name == evidence.scaling[0].name]
    small, large = first[0], first[-1]
    text = (
        f"On {large.scale} times the cluster with as many times the tasks, {large.name} takes"
        f" {number_text(large.decision_us)} us for each task,"
        f" {large.decision_us / small.decision_us:.2g} times as long as before; mean bounded"
        f" slowdown was {number_text(small.figure)} and is"
        f" {number_text(large.figure)}."
    )
    return {**_panel("Scalability", text, [], []), "chart": scale_chart(evidence.scaling)}


def _panel(
    title: str, text: str, heads: Sequence[str], rows: Sequence[Sequence[str]]
) -> dict[str, Any]:
    return {"title": title, "text": text, "heads": heads, "rows": rows, "chart": None}


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{100 * value:.1f} %"


def _effects(evidence: Evidence | None) -> Any:
    if evidence is None or not evidence.effects:
        return None
    named = {name.removeprefix("task."): size for name, size in evidence.effects.items()}
    strongest = dict(list(named.items())[:_MOST_EFFECTS])
    return bars("Mean size of the effect, in logits", strongest)
