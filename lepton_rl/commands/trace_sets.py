"""`lepton-rl protocols`, and the protocols of `evaluate` that bring their own traces."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lepton_rl.commands.progress import log, progress_bar
from lepton_rl.core.version import VERSION
from lepton_rl.evaluate import Bootstrap, Evaluation, evaluate, to_json, to_text
from lepton_rl.evaluate.catalogue import PROTOCOLS
from lepton_rl.evaluate.cells import Runner
from lepton_rl.evaluate.fgd import FGD_VERSION, PackingRow, pod_lists
from lepton_rl.evaluate.hindsight import Hindsight
from lepton_rl.evaluate.packing import evaluate_packing
from lepton_rl.evaluate.trace_sets import TraceSet, find_traces
from lepton_rl.policies.registry import rule_of

__all__ = ["list_protocols", "run_packing", "run_trace_set"]


def list_protocols(*, as_json: bool) -> str:
    """All protocols, for stdout."""
    if as_json:
        return json.dumps([asdict(each) for each in PROTOCOLS.values()], indent=2) + "\n"
    blocks = []
    for each in PROTOCOLS.values():
        lines = (each.measures, f"work: {each.work}", f"source: {each.source}")
        blocks.append("\n  ".join((f"{each.name} v{each.version}", *lines)))
    return "\n".join(blocks) + "\n"


def run_trace_set(
    traces: TraceSet,
    folder: Path,
    bootstrap: Bootstrap,
    hindsight: Hindsight | None,
    runner: Runner,
    *,
    as_json: bool,
) -> str:
    """Run a set on the traces that are present; returns what goes to stdout.

    Raises:
        LeptonError: none is there, or one is malformed.
    """
    evaluations = []
    missing = []
    for case, path in find_traces(traces, folder):
        if path is None:
            log(f"{case.title}: no {case.file}, left out")
            missing.append(case.title)
            continue
        workload = traces.open(case, path)
        rules = {name: rule_of(spec) for name, spec in traces.heuristics.items()}
        with progress_bar(case.title, None) as report:
            evaluation = evaluate(
                traces.protocol(case, workload),
                workload,
                rules,
                headline=traces.headline,
                bootstrap=bootstrap,
                progress=report,
                runner=runner,
                hindsight=hindsight,
            )
        evaluations.append((case.title, evaluation))
    return _rendered(traces, evaluations, missing, as_json=as_json)


def _rendered(
    traces: TraceSet,
    evaluations: list[tuple[str, Evaluation]],
    missing: list[str],
    *,
    as_json: bool,
) -> str:
    if as_json:
        document = {
            "protocol": {"name": traces.name, "version": traces.version},
            "lepton_rl": VERSION,
            "missing": missing,
            "traces": [{"title": t, **to_json(evaluation)} for t, evaluation in evaluations],
        }
        return json.dumps(document, indent=2, allow_nan=False) + "\n"
    blocks = [f"{title}: {to_text(evaluation)}" for title, evaluation in evaluations]
    if missing:
        blocks.append(f"Left out, because the trace is missing: {', '.join(missing)}.\n")
    return "\n".join(blocks)


def run_packing(folder: Path, seeds: int, runner: Runner, *, as_json: bool) -> str:
    """The fgd protocol on every list of pods that is present; returns what goes to stdout.

    Raises:
        LeptonError: no list is there, or one is malformed.
    """
    lists = pod_lists(folder)
    with progress_bar("packing", None) as report:
        rows = evaluate_packing(lists, seeds, runner=runner, progress=report)
    return _packing_json(rows, seeds) if as_json else _packing_text(rows, seeds)


def _packing_json(rows: list[PackingRow], seeds: int) -> str:
    def plain(row: PackingRow) -> dict[str, Any]:
        more = {"mean": row.mean, "deviation": row.deviation, "points": row.points}
        return {**asdict(row), **more}

    document = {
        "protocol": {"name": "fgd", "version": FGD_VERSION},
        "lepton_rl": VERSION,
        "seeds": seeds,
        "rows": [plain(row) for row in rows],
    }
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _packing_text(rows: list[PackingRow], seeds: int) -> str:
    width = max(len(row.workload) for row in rows)
    lines = [
        f"protocol fgd v{FGD_VERSION}: allocated share of all GPUs after 130 % of them were asked"
        f" for, mean of {seeds} seeds",
        "",
        f"{'pods':{width}}  {'rule':16}  {'mean':>6}  {'sd':>5}  {'published':>9}  {'points':>6}",
    ]
    lines.append("-" * len(lines[-1]))
    for row in rows:
        published = "-" if row.published is None else f"{100 * row.published:.2f}"
        points = "-" if row.points is None else f"{row.points:+.2f}"
        lines.append(
            f"{row.workload:{width}}  {row.rule:16}  {100 * row.mean:6.2f}"
            f"  {100 * row.deviation:5.2f}  {published:>9}  {points:>6}"
        )
    known = [abs(row.points) for row in rows if row.points is not None]
    if known:
        lines += ["", f"largest difference from a published mean: {max(known):.2f} points"]
    return "\n".join(lines) + "\n"
