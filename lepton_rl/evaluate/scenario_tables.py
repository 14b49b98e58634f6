"""The figures of scenarios as text for people and as plain values for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from lepton_rl.evaluate.document import difference_values, to_json
from lepton_rl.evaluate.figures import change_text, figure_text, interval_text
from lepton_rl.evaluate.metrics import metric_info
from lepton_rl.evaluate.scenarios import BASELINE, ScenarioEvaluation, efficiency

__all__ = ["scenario_json", "scenario_text"]


def scenario_json(found: ScenarioEvaluation) -> dict[str, Any]:
    """As plain values for `json.dumps`: the evaluation, and what this protocol adds to it."""
    return {
        "scenario": found.scenario.name,
        "title": found.scenario.title,
        **to_json(found.evaluation),
        "baseline": BASELINE,
        "against_baseline": [
            {"name": name, **difference_values(each)} for name, each in found.differences.items()
        ],
        "efficiency": {each.name: efficiency(each) for each in found.comparison.results},
        "stability": [asdict(each) for each in found.stability],
        "scalability": [asdict(each) for each in found.scaling],
    }


def scenario_text(found: ScenarioEvaluation) -> str:
    """Three tables, ending in a newline."""
    protocol, headline = found.evaluation.protocol, found.comparison.headline
    title = (
        f"{found.scenario.title}: protocol {protocol.name} v{protocol.version},"
        f" {len(protocol.starts)} windows of {protocol.length} tasks, EASY backfill, ranked by"
        f" {metric_info(headline).title}"
    )
    blocks = [title, _main_table(found), _stability_table(found), _scale_table(found)]
    notes = [f"Note: {note}." for note in protocol.notes]
    return "\n\n".join([*blocks, "\n".join(notes)]) + "\n"


def _main_table(found: ScenarioEvaluation) -> str:
    headline = found.comparison.headline
    rows = [
        [
            "policy", _head(headline), "p95 turnaround [s]", "utilisation [%]", "efficiency [%]",
            "energy [kWh]", f"against {BASELINE}", "95 % interval",
        ]
    ]  # fmt: skip
    for each in found.comparison.results:
        difference = found.differences.get(each.name)
        change = "-" if difference is None else change_text(headline, difference)
        interval = "-" if difference is None else interval_text(headline, difference) or "-"
        rows.append(
            [
                each.name,
                _figure(headline, each.figure(headline)),
                _figure("p95_turnaround_s", each.figure("p95_turnaround_s")),
                figure_text("utilisation", each.figure("utilisation")),
                f"{100 * efficiency(each):.1f}",
                f"{each.figure('energy_kwh'):.4g}",
                change,
                interval,
            ]
        )
    return _columns(rows)


def _stability_table(found: ScenarioEvaluation) -> str:
    headline = found.comparison.headline
    rows = [[f"stability: {_head(headline)}", "calm", "nodes fail", "burst"]]
    for each in found.stability:
        figures = (each.calm, each.failures, each.burst)
        rows.append([each.name, *(_figure(headline, figure) for figure in figures)])
    return _columns(rows)


def _scale_table(found: ScenarioEvaluation) -> str:
    headline = found.comparison.headline
    rows = [["scalability", "times the cluster", _head(headline), "decision [us]"]]
    for each in found.scaling:
        figure = _figure(headline, each.figure)
        rows.append([each.name, str(each.scale), figure, f"{each.decision_us:.1f}"])
    return _columns(rows)


def _figure(metric: str, value: float) -> str:
    """Finer than `figure_text`: requests take milliseconds, and misses are rare."""
    info = metric_info(metric)
    if info.unit == "share":
        return f"{100 * value:.2f}"
    return f"{value:.3g}" if info.unit == "s" and value < 10 else figure_text(metric, value)


def _head(metric: str) -> str:
    info = metric_info(metric)
    return f"{info.title} [{'%' if info.unit == 'share' else info.unit}]"


def _columns(rows: Sequence[Sequence[str]]) -> str:
    """The first row is the head; the first column is flush left."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = [
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])
