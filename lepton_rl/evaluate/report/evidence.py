"""What a report shows beside the figures of an evaluation, measured by replaying its windows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.clock import to_seconds
from lepton_rl.core.intake import node_table
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.schedule import Schedule
from lepton_rl.core.tables import View
from lepton_rl.encoding.observation import Observation
from lepton_rl.evaluate.learned import LearnedContender
from lepton_rl.evaluate.metrics import waits_s
from lepton_rl.evaluate.occupancy import allocated_units
from lepton_rl.evaluate.report.gantt import Gantt, draw_up
from lepton_rl.evaluate.stress import (
    Scaled,
    Stability,
    Stressed,
    measure_scaling,
    measure_stability,
)
from lepton_rl.policies.explain import FeatureEffect, explain_all
from lepton_rl.policies.learned import LearnedPolicy
from lepton_rl.workloads.workload import Workload

__all__ = ["Curve", "Evidence", "Example", "Shown", "gather"]

Floats = NDArray[np.float64]

_MOMENTS = 200
"""Moments at which utilisation and queue are drawn."""

_STRESSED_WINDOWS = 4
"""Windows that are replayed with failures and bursts."""

_EXPLAINED = 60
"""Decisions of a window that are explained, evenly spread."""

_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Curve:
    """A figure over training, by decisions made."""

    title: str
    steps: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """One contender on the window that is shown.

    Attributes:
        name: the contender's.
        gantt: who ran where.
        times_s: `(T,)` since the first submit.
        utilisation: `(T,)` share of the busiest kind in use, 0..1.
        queue: `(T,)` tasks that have been submitted and not started.
        waits_s: `(N,)` waits, ascending.
    """

    name: str
    gantt: Gantt
    times_s: Floats
    utilisation: Floats
    queue: Floats
    waits_s: Floats


@dataclass(frozen=True, slots=True)
class Example:
    """One decision explained: what it was, and its strongest features."""

    title: str
    effects: tuple[FeatureEffect, ...]


@dataclass(frozen=True, slots=True)
class Evidence:
    """All of it.

    Attributes:
        window: name of the window that is shown.
        shown: contenders on it, ours first.
        stability: the same contenders under failures and bursts.
        stability_windows: how many windows that is measured on.
        scaling: the same contenders on larger copies of the window.
        effects: feature -> mean size of its effect over decisions, in logits, strongest first.
        decisions: how many decisions that is of.
        examples: a few of them.
    """

    window: str
    shown: tuple[Shown, ...]
    stability: tuple[Stability, ...]
    stability_windows: int
    scaling: tuple[Scaled, ...]
    effects: Mapping[str, float]
    decisions: int
    examples: tuple[Example, ...]


def gather(
    contenders: Sequence[Stressed], windows: Sequence[Workload], chosen: int, backfill: Backfill
) -> Evidence:
    """Replay what the report shows.

    Args:
        contenders: those to show, ours first.
        windows: of the evaluation.
        chosen: which of them is shown.
        backfill: as it was evaluated.

    Raises:
        LeptonError: a contender cannot schedule a window.
    """
    window = windows[chosen]
    replayed = [(c.name, c.schedule(window, window.cluster, backfill)) for c in contenders]
    shown = [_shown(name, schedule, window) for name, schedule in replayed]
    few = windows[:_STRESSED_WINDOWS]
    effects, decisions, examples = _explained(contenders[0], window, backfill)
    return Evidence(
        window=window.name,
        shown=tuple(shown),
        stability=tuple(measure_stability(contenders, few, backfill)),
        stability_windows=len(few),
        scaling=tuple(measure_scaling(contenders, window, backfill)),
        effects=effects,
        decisions=decisions,
        examples=examples,
    )


def _shown(name: str, schedule: Schedule, window: Workload) -> Shown:
    first_us, last_us = int(schedule.submit_us.min()), int(schedule.end_us.max())
    times_us = np.linspace(first_us, last_us, _MOMENTS).astype(np.int64)
    used = allocated_units(schedule, window, window.cluster, times_us).sum(axis=1)
    submitted = np.searchsorted(schedule.submit_us, times_us, side="right")
    started = np.searchsorted(np.sort(schedule.start_us), times_us, side="right")
    return Shown(
        name,
        draw_up(schedule, window),
        to_seconds(times_us - first_us),
        (used / node_table(window.cluster).total).max(axis=1),
        (submitted - started).astype(np.float64),
        np.sort(waits_s(schedule)),
    )


class _Listening:
    """A policy that keeps what it saw at some of its decisions."""

    def __init__(self, policy: LearnedPolicy) -> None:
        self._policy = policy
        self.name, self.place, self.may_wait = policy.name, policy.place, policy.may_wait
        self.chooses_nodes, self.node = policy.chooses_nodes, policy.node
        self.seen: list[tuple[Observation, str]] = []

    def head(self, view: View) -> int:
        chosen = self._policy.head(view)
        if int(view.status["num_pending"][0]) > 1:
            obs = self._policy.observe(view)
            self.seen.append((deepcopy(obs), _told(view, chosen)))
        return chosen


def _told(view: View, chosen: int) -> str:
    pending = int(view.status["num_pending"][0])
    row = int(view.status["first_row"][0]) + chosen
    if chosen < 0:
        return f"of {pending} pending tasks, none: it waits"
    now_us, task = int(view.status["now_us"][0]), view.tasks[row]
    waited_s = float(to_seconds(now_us - int(task["submit_us"])))
    requested_s = float(to_seconds(int(task["requested_us"])))
    return (
        f"of {pending} pending tasks, one of size {float(task['size']):g} that asks for"
        f" {requested_s:,.0f} s and has waited {waited_s:,.0f} s"
    )


def _explained(
    ours: Stressed, window: Workload, backfill: Backfill
) -> tuple[dict[str, float], int, tuple[Example, ...]]:
    """Mean effects over the decisions of a window, how many, and examples; none of heuristics."""
    policy = ours.policy if isinstance(ours, LearnedContender) else None
    if not isinstance(policy, LearnedPolicy):
        return {}, 0, ()
    listening = _Listening(policy)
    LearnedContender(ours.name, listening).schedule(window, window.cluster, backfill)
    count = min(_EXPLAINED, len(listening.seen))
    if count == 0:
        return {}, 0, ()
    picked = np.unique(np.linspace(0, len(listening.seen) - 1, count).astype(int))
    told = [(explain_all(policy, listening.seen[i][0]), listening.seen[i][1]) for i in picked]
    names = [each.feature for each in told[0][0]]
    sizes = np.mean([[abs(each.effect) for each in effects] for effects, _ in told], axis=0)
    order = np.argsort(-sizes, kind="stable")
    mean = {names[i]: float(sizes[i]) for i in order}
    chosen = np.linspace(0, len(told) - 1, min(_EXAMPLES, len(told))).astype(int)
    return mean, len(told), tuple(_example(*told[i]) for i in chosen)


def _example(effects: Sequence[FeatureEffect], title: str) -> Example:
    strongest = sorted(effects, key=lambda each: -abs(each.effect))[:4]
    return Example(title, tuple(strongest))
