"""A heuristic run on the same window: what its schedule had cost by any time, and what it chooses.

The cost of a reference heuristic as a function of time is a potential: taking its differences out
of the rewards changes no optimal policy (Ng, Harada and Russell, "Policy invariance under reward
transformations", ICML 1999), but removes most of the variance that the arrivals bring, as the
input-dependent baselines of Mao et al. ("Variance reduction for reinforcement learning in
input-driven environments", ICLR 2019) do.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.compiled import compiled
from lepton_rl.core.rules.dispatch import DispatchRule
from lepton_rl.core.rules.orders import PriorityWeights, score
from lepton_rl.core.tables import NO_TASK, Floats, Ints
from lepton_rl.encoding.observation import Observation
from lepton_rl.sim.events import advance, reset, start_all
from lepton_rl.sim.tables import SimTable, empty_sim

__all__ = ["Reference", "heuristic_slots"]


@compiled
def _trace_cost(
    sim: SimTable,
    first_row: int,
    num_tasks: int,
    rule: DispatchRule,
    objective: int,
    times_us: Ints,
    costs: Floats,
    b: int,
) -> int:
    """Run the heuristic in environment 0 of `sim`; write time and cost after each event.

    Returns:
        How many entries of row `b` were written.
    """
    reset(sim, 0, first_row, num_tasks)
    count = 0
    going = True
    while going and sim.progress[0].num_completed < num_tasks:
        start_all(sim, 0, rule)
        going = advance(sim, 0, objective, rule.blocking)
        times_us[b, count] = sim.state.status[0].now_us
        costs[b, count] = sim.progress[0].cost
        count += 1
    return count


@compiled
def _costs_by(
    now_us: Ints, times_us: Ints, costs: Floats, counts: Ints, cursors: Ints, out: Floats
) -> None:
    """Cost by `now_us` in each environment, linear between events; cursors only move forward."""
    for b in range(now_us.shape[0]):
        i = cursors[b]
        while i + 1 < counts[b] and times_us[b, i + 1] <= now_us[b]:
            i += 1
        cursors[b] = i
        if i + 1 >= counts[b] or times_us[b, i] >= now_us[b]:
            out[b] = costs[b, i]
            continue
        span = times_us[b, i + 1] - times_us[b, i]
        share = (now_us[b] - times_us[b, i]) / span
        out[b] = costs[b, i] + share * (costs[b, i + 1] - costs[b, i])


class Reference:
    """What `rule` would have cost on each environment's current window, over time.

    Args:
        sim: the batch it accompanies (task table, cluster, number of environments).
        rule: the heuristic.
        objective: an `Objective`.
    """

    def __init__(self, sim: SimTable, rule: DispatchRule, objective: int) -> None:
        batch, num_tasks = sim.end_us.shape
        self._rule, self._objective = rule, objective
        self._sim = empty_sim(sim.state.tasks, sim.run_us, sim.state.nodes, 1, num_tasks)
        self._times_us = np.zeros((batch, 2 * num_tasks + 1), np.int64)
        self._costs = np.zeros((batch, 2 * num_tasks + 1), np.float64)
        self._counts = np.ones(batch, np.int64)
        self._cursors = np.zeros(batch, np.int64)
        self._now = np.zeros(batch, np.float64)
        self.total = np.ones(batch, np.float64)
        """`(B,)` cost of the whole window, summed over tasks."""

    def begin(self, b: int, first_row: int, num_tasks: int) -> None:
        """Run the heuristic on the window that environment `b` begins."""
        self._counts[b] = _trace_cost(
            self._sim,
            first_row,
            num_tasks,
            self._rule,
            self._objective,
            self._times_us,
            self._costs,
            b,
        )
        self._cursors[b] = 0
        self.total[b] = self._costs[b, self._counts[b] - 1]

    def cost_by(self, now_us: NDArray[np.int64]) -> NDArray[np.float64]:
        """`(B,)` cost accrued by the time `now_us` of each environment; times must not go back."""
        _costs_by(
            np.ascontiguousarray(now_us),
            self._times_us,
            self._costs,
            self._counts,
            self._cursors,
            self._now,
        )
        return self._now.copy()


@compiled
def heuristic_slots(
    sim: SimTable, obs: Observation, order: int, weights: PriorityWeights, out: Ints
) -> None:
    """Slot of the window that `order` puts first, in each environment; `(B,)` out."""
    for b in range(out.shape[0]):
        best = 0.0
        out[b] = -1
        for slot in range(obs.window.shape[1]):
            local = obs.window[b, slot]
            if local == NO_TASK:
                continue
            row = sim.state.status[b].first_row + local
            current = score(order, sim.state.tasks, row, sim.state.status[b].now_us, weights)
            if out[b] < 0 or current < best:
                best = current
                out[b] = slot
