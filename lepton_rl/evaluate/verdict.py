"""The result of a comparison in one plain sentence."""

from __future__ import annotations

from collections.abc import Sequence

from lepton_rl.evaluate.figures import change_text, interval_text, seconds_text, with_unit
from lepton_rl.evaluate.metrics import METRICS
from lepton_rl.evaluate.results import Result
from lepton_rl.evaluate.statistics import PairedDifference, Verdict

__all__ = ["verdict_sentence"]

_TAILS = {"max_wait_s": "longest wait", "p95_wait_s": "p95 wait"}

_NOTABLE = 1.05
"""A tail below this many times the other's is not mentioned: "1.0 times as long" says nothing."""


def verdict_sentence(
    headline: str,
    ours: Result | None,
    heuristics: Sequence[Result],
    difference: PairedDifference | None,
) -> str:
    """Who wins, by how much, and at what cost to the longest waits.

    Args:
        headline: metric that ranks.
        ours: the learned policy, None if there is none.
        heuristics: best first; at least one if `ours` is None.
        difference: of `ours` to the best heuristic; None if one of them is missing.
    """
    title = METRICS[headline].title
    if ours is None or difference is None:
        who, missing = (
            (ours.name, "heuristic") if ours else (_best_of(heuristics), "learned policy")
        )
        figure = (ours or heuristics[0]).figure(headline)
        return f"{who}: {title} {with_unit(headline, figure)}; no {missing} was compared."
    theirs = heuristics[0]
    claim = {
        Verdict.BETTER: f"{ours.name} beats {_best_of(heuristics)}",
        Verdict.WORSE: f"{ours.name} loses to {_best_of(heuristics)}",
        Verdict.NOT_SHOWN: f"No difference is shown between {ours.name} and {_best_of(heuristics)}",
    }[difference.verdict]
    figures = " against ".join(with_unit(headline, r.figure(headline)) for r in (ours, theirs))
    cost = _cost(headline, ours, theirs, difference.verdict)
    return f"{claim}: {title} {figures} ({_evidence(headline, difference)}){cost}."


def _best_of(heuristics: Sequence[Result]) -> str:
    if len(heuristics) == 1:
        return heuristics[0].name
    return f"{heuristics[0].name}, the best of {len(heuristics)} heuristics"


def _evidence(headline: str, difference: PairedDifference) -> str:
    """E.g. `-16.1 %, 95 % interval -22.0 to -9.3 %, 20 windows`."""
    change = change_text(headline, difference)
    if difference.difference_interval is None:
        return f"{change}, {difference.note}"
    level = f"{100 * difference.difference_interval.level:g} %"
    interval = interval_text(headline, difference)
    return f"{change}, {level} interval {interval}, {difference.num_windows} windows"


def _cost(headline: str, ours: Result, theirs: Result, verdict: Verdict) -> str:
    """What the sentence must add about waits, "" if nothing."""
    parts = []
    for metric, title in _TAILS.items():
        mine, other = ours.figure(metric), theirs.figure(metric)
        if metric == headline or mine <= _NOTABLE * other:
            continue
        if other > 0:
            parts.append(f"its {title} is {mine / other:.1f} times as long")
        else:
            parts.append(f"its {title} is {seconds_text(mine)} s instead of 0 s")
    joint = ", and " if verdict is Verdict.WORSE else ", but "
    return joint + " and ".join(parts) if parts else ""
