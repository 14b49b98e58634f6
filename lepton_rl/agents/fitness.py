"""What a whole schedule is worth beside that of a heuristic on the same windows, tails included."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from lepton_rl.agents.linear import LinearWeights
from lepton_rl.core.clock import MICROSECOND
from lepton_rl.core.errors import StateError
from lepton_rl.core.rules.dispatch import DispatchRule
from lepton_rl.core.tables import Floats
from lepton_rl.envs.config import EnvironmentConfig
from lepton_rl.envs.episodes import Episodes
from lepton_rl.sim.events import reset
from lepton_rl.sim.objective import Objective
from lepton_rl.sim.replay import run_to_end

__all__ = ["Outcomes", "Schedules", "loss"]

_ENVIRONMENT = 0
_MINUTE_S = 60.0
"""Below a minute nobody minds a wait, unless tasks are shorter than that."""


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Figures of W windows.

    Attributes:
        cost: `(W,)` mean objective over the tasks.
        p95_wait_s: `(W,)` 95th percentile of the waits.
        longest_wait_s: `(W,)`.
    """

    cost: Floats
    p95_wait_s: Floats
    longest_wait_s: Floats


class Schedules:
    """Schedules windows of one split, with a linear score or a heuristic.

    Args:
        config: of the environment.
        episodes: of the split.

    Attributes:
        chooses_nodes: whether scores choose nodes too.
        least_cost: added to costs before they are compared: one task, where deadlines count, of
            which there may be windows without a missed one; otherwise nothing.
        least_wait_s: added to waits before they are compared: a minute, or the mean requested time
            of the tasks of the split where that is shorter.
        decisions: made under linear scores so far.
    """

    def __init__(self, config: EnvironmentConfig, episodes: Episodes) -> None:
        self.episodes = episodes
        self._simulator = episodes.simulator(config, 1)
        self.chooses_nodes = config.choose_nodes
        only_misses = config.named_objectives() == ("deadlines",)
        miss = config.weights()[Objective.DEADLINES] or 1.0  # no weights where one name is given
        self.least_cost = miss / episodes.length if only_misses else 0.0
        first, last = episodes.split.first, episodes.split.last
        requested_us = self._simulator.sim.state.tasks["requested_us"][first : last + 1]
        self.least_wait_s = min(_MINUTE_S, float(requested_us.mean()) / MICROSECOND)
        self.decisions = 0

    def under_score(self, weights: LinearWeights, starts: Iterable[int]) -> Outcomes:
        """Windows at the tasks `starts`, `(W,)`, under linear scores."""
        rows = []
        for first_row in starts:
            self.decisions += self._simulator.play(
                _ENVIRONMENT, first_row, weights.tasks, weights.nodes, weights.holds
            )
            rows.append(self._figures(first_row))
        return Outcomes(*np.array(rows).T)

    def under_rule(self, rule: DispatchRule, starts: Iterable[int]) -> Outcomes:
        """The same windows under a heuristic.

        Raises:
            StateError: a task never started.
        """
        rows = []
        sim = self._simulator.sim
        for first_row in starts:
            reset(sim, _ENVIRONMENT, first_row, self.episodes.length)
            if not run_to_end(sim, _ENVIRONMENT, rule, self._simulator.rule.objective):
                raise StateError("a task can never start; check the workload against the cluster")
            rows.append(self._figures(first_row))
        return Outcomes(*np.array(rows).T)

    def _figures(self, first_row: int) -> tuple[float, float, float]:
        sim = self._simulator.sim
        submit_us = sim.state.tasks["submit_us"][first_row : first_row + self.episodes.length]
        waits_s = (sim.first_start_us[_ENVIRONMENT] - submit_us) / MICROSECOND
        cost = self._simulator.mean_cost(_ENVIRONMENT)
        return cost, float(np.percentile(waits_s, 95)), float(waits_s.max())


def loss(
    ours: Outcomes,
    reference: Outcomes,
    tail_weight: float,
    least_cost: float = 0.0,
    least_wait_s: float = _MINUTE_S,
) -> float:
    """How much worse than the reference, as a logarithm: 0 is as good, negative is better.

    The mean of two logarithms, of the ratio of the mean costs, which is what is reported, and of
    the mean ratio over the windows, in which no window counts more than others; and for tails that
    are longer than the reference's, `tail_weight` times the logarithm of how many times.

    Args:
        ours: `(W,)` windows.
        reference: of the same windows.
        tail_weight: >= 0.
        least_cost: added to all costs, >= 0.
        least_wait_s: added to all waits, > 0.
    """
    mine, theirs = ours.cost + least_cost, reference.cost + least_cost
    of_means = float(mine.mean() / theirs.mean())
    mean_of = float((mine / theirs).mean())
    tails = _excess(ours.p95_wait_s, reference.p95_wait_s, least_wait_s)
    tails += _excess(ours.longest_wait_s, reference.longest_wait_s, least_wait_s)
    return 0.5 * (math.log(of_means) + math.log(mean_of)) + tail_weight * tails


def _excess(ours_s: Floats, reference_s: Floats, least_s: float) -> float:
    ratio = (float(ours_s.mean()) + least_s) / (float(reference_s.mean()) + least_s)
    return max(0.0, math.log(ratio))
