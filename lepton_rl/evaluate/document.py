"""Results as a document for programs.

    schema_version   2; counts up when a key changes its meaning or goes away
    protocol         {name, version, notes}
    workload         name
    headline         metric that ranks
    metrics          name -> {title, unit, lower_is_better, over_windows}, see `MetricInfo`
    windows          [{first_task, num_tasks}]
    bootstrap        {level, resamples, seed}
    settings         [{name, title, backfill, blocking, contenders, limits, quoted, differences,
                     verdict}]

A contender is `{rank, name, is_heuristic, figures, per_window, decision_us}`, best first: `figures`
has one figure a metric, `per_window` a list of them in the order of `windows`, null where the
metric does not apply; `decision_us` is real time for each task. `limits` are no policies: `{name,
figures, per_window}` of what could be done at best. A quoted figure is `{name, metric, value,
note}`. A difference is that of a learned policy to a heuristic by the headline metric: `{ours,
theirs, num_windows, difference, difference_interval, relative, relative_interval, verdict, note}`,
intervals as `[low, high]`; what is missing is null and `note` says why. `verdict` is one sentence.
Units are those of `metrics`; shares and `relative` are fractions.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from lepton_rl.evaluate.comparison import Comparison
from lepton_rl.evaluate.evaluation import Evaluation
from lepton_rl.evaluate.figures import known
from lepton_rl.evaluate.metrics import METRICS
from lepton_rl.evaluate.protocols import Quoted, Setting
from lepton_rl.evaluate.results import Pair, Result
from lepton_rl.evaluate.statistics import Interval, PairedDifference

__all__ = ["SCHEMA_VERSION", "difference_values", "to_json"]

SCHEMA_VERSION = 2


def to_json(evaluation: Evaluation) -> dict[str, Any]:
    """The evaluation as plain values for `json.dumps`; see the module for the keys."""
    protocol, first = evaluation.protocol, evaluation.comparisons[0][1]
    return {
        "schema_version": SCHEMA_VERSION,
        "protocol": {
            "name": protocol.name,
            "version": protocol.version,
            "notes": list(protocol.notes),
        },
        "workload": evaluation.workload,
        "headline": first.headline,
        "metrics": {name: asdict(info) for name, info in METRICS.items()},
        "windows": [{"first_task": s, "num_tasks": protocol.length} for s in protocol.starts],
        "bootstrap": asdict(first.bootstrap),
        "settings": [
            _setting(setting, comparison, evaluation.quoted(setting.name))
            for setting, comparison in evaluation.comparisons
        ],
    }


def _setting(
    setting: Setting, comparison: Comparison, quoted: tuple[Quoted, ...]
) -> dict[str, Any]:
    return {
        "name": setting.name,
        "title": setting.title,
        "backfill": setting.backfill.name.lower(),
        "blocking": setting.blocking,
        "contenders": [
            _contender(rank, result) for rank, result in enumerate(comparison.results, start=1)
        ],
        "limits": [_limit(result) for result in comparison.limits],
        "quoted": [
            {"name": q.name, "metric": q.metric, "value": q.value, "note": q.note} for q in quoted
        ],
        "differences": [_difference(pair) for pair in comparison.pairs],
        "verdict": comparison.verdict(),
    }


def _contender(rank: int, result: Result) -> dict[str, Any]:
    return {
        "rank": rank,
        "is_heuristic": result.is_heuristic,
        **_limit(result),
        "decision_us": known(result.decision_us),
    }


def _limit(result: Result) -> dict[str, Any]:
    return {
        "name": result.name,
        "figures": {name: known(result.figure(name)) for name in METRICS},
        "per_window": {name: [known(v) for v in result.values(name).tolist()] for name in METRICS},
    }


def _difference(pair: Pair) -> dict[str, Any]:
    return {"ours": pair.ours, "theirs": pair.theirs, **difference_values(pair.difference)}


def difference_values(difference: PairedDifference) -> dict[str, Any]:
    """A paired difference as plain values."""
    return {
        "num_windows": difference.num_windows,
        "difference": difference.difference,
        "difference_interval": _bounds(difference.difference_interval),
        "relative": difference.relative,
        "relative_interval": _bounds(difference.relative_interval),
        "verdict": difference.verdict.value,
        "note": difference.note,
    }


def _bounds(interval: Interval | None) -> list[float] | None:
    return None if interval is None else [interval.low, interval.high]
