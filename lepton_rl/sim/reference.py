"""A heuristic run on the same window: what its schedule had cost by any time, and what it chooses.

The cost of a reference heuristic as a function of time is a potential: taking its differences out
of the rewards changes no optimal policy (Ng, Harada and Russell, "Policy invariance under reward
transformations", ICML 1999), but removes most of the variance that the arrivals bring, as the
input-dependent baselines of Mao et al. ("Variance reduction for reinforcement learning in
input-driven environments", ICLR 2019) do.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.by_reference import by_reference
from lepton_rl.core.compiled import compiled
from lepton_rl.core.rules.backfill import undo_choice
from lepton_rl.core.rules.dispatch import WAIT, DispatchRule, start_head
from lepton_rl.core.rules.node_scores import Place, mark_device_classes
from lepton_rl.core.rules.orders import PriorityWeights, first_in_order, score
from lepton_rl.core.rules.placement import best_node
from lepton_rl.core.tables import NO_TASK, Floats, Ints
from lepton_rl.encoding.observation import Observation
from lepton_rl.sim.events import advance, reset, start_all
from lepton_rl.sim.objective import arrival_cost
from lepton_rl.sim.tables import SimTable, empty_sim

__all__ = ["Reference", "heuristic_actions", "starting_slots"]

_CLUSTERING = int(Place.GPU_CLUSTERING)


@by_reference
class _Trace(NamedTuple):
    """Events of the reference and what it had cost around them, `E` at most in an episode."""

    times_us: Ints  # (B, E) when they happened, ascending
    before: Floats  # (B, E) cost just before
    after: Floats  # (B, E) cost with what the arrivals of that event add
    counts: Ints  # (B,) number of events
    cursors: Ints  # (B,) the last event that `_costs_by` has passed


@compiled
def _trace_cost(
    sim: SimTable,
    first_row: int,
    num_tasks: int,
    rule: DispatchRule,
    objective: int,
    trace: _Trace,
    b: int,
) -> float:
    """Run the heuristic in environment 0 of `sim`, write row `b` of `trace`; the total cost."""
    reset(sim, 0, first_row, num_tasks)
    count = 0
    going = True
    while going and sim.progress[0].num_ended < num_tasks:
        start_all(sim, 0, rule, objective)
        arrived = sim.progress[0].next_arrival
        going = advance(sim, 0, objective, rule.blocking)
        trace.times_us[b, count] = sim.state.status[0].now_us
        trace.after[b, count] = sim.progress[0].cost
        trace.before[b, count] = sim.progress[0].cost
        for local in range(arrived, sim.progress[0].next_arrival):
            trace.before[b, count] -= arrival_cost(objective, sim, 0, local)
        count += 1
    trace.counts[b] = count
    trace.cursors[b] = 0
    return sim.progress[0].cost


@compiled
def _costs_by(now_us: Ints, trace: _Trace, out: Floats) -> None:
    """Cost by `now_us` in each environment, linear between events; cursors only move forward."""
    for b in range(now_us.shape[0]):
        i = trace.cursors[b]
        while i + 1 < trace.counts[b] and trace.times_us[b, i + 1] <= now_us[b]:
            i += 1
        trace.cursors[b] = i
        out[b] = trace.after[b, i]
        if i + 1 < trace.counts[b] and trace.times_us[b, i] < now_us[b]:
            span_us = trace.times_us[b, i + 1] - trace.times_us[b, i]
            share = (now_us[b] - trace.times_us[b, i]) / span_us
            out[b] += share * (trace.before[b, i + 1] - trace.after[b, i])


class Reference:
    """What `rule` would have cost on each environment's current window, over time.

    Args:
        sim: the batch it accompanies (task table, cluster, number of environments).
        rule: the heuristic.
        objective: an `Objective`.

    Attributes:
        total: `(B,)` cost of the whole window, summed over tasks.
    """

    def __init__(self, sim: SimTable, rule: DispatchRule, objective: int) -> None:
        batch, num_tasks = sim.end_us.shape
        self._rule, self._objective = rule, objective
        typical = sim.state.typical if len(sim.state.typical) else None
        self._sim = empty_sim(
            sim.state.tasks,
            sim.run_us,
            sim.state.nodes,
            1,
            num_tasks,
            rule,
            typical,
            long_waits=(float(sim.long_waits[0]), float(sim.long_waits[1])),
            weights=tuple(sim.weights.tolist()),
        )
        events = batch, 2 * num_tasks
        self._trace = _Trace(
            times_us=np.zeros(events, np.int64),
            before=np.zeros(events, np.float64),
            after=np.zeros(events, np.float64),
            counts=np.zeros(batch, np.int64),
            cursors=np.zeros(batch, np.int64),
        )
        self.total = np.zeros(batch, np.float64)

    def begin(self, b: int, first_row: int, num_tasks: int) -> None:
        """Run the heuristic on the window that environment `b` begins."""
        self.total[b] = _trace_cost(
            self._sim, first_row, num_tasks, self._rule, self._objective, self._trace, b
        )

    def cost_by(self, now_us: NDArray[np.int64]) -> NDArray[np.float64]:
        """Cost accrued by the time `now_us` of each environment; times must not go back.

        Between two events of the reference it is taken to grow linearly, which is exact but for
        bounded slowdown, where that of a task shorter than 10 s stays 1 at first, and for what long
        waits cost beside it.

        Args:
            now_us: `(B,)` us.

        Returns:
            `(B,)` summed over tasks; 0 where no window has begun.
        """
        costs = np.zeros(len(now_us), np.float64)
        _costs_by(np.ascontiguousarray(now_us), self._trace, costs)
        return costs


@compiled
def heuristic_actions(sim: SimTable, obs: Observation, rule: DispatchRule, out: Ints) -> None:
    """The action that `rule` would choose in each environment, -1 if there is none; `(B,)` out.

    While a task is to be chosen that is the slot of the one its order puts first; while a node is,
    the node that its placement likes best.
    """
    slots = obs.window.shape[1]
    for b in range(out.shape[0]):
        local = sim.progress[b].placing
        if local == NO_TASK:
            out[b] = _first_slot(sim, obs, b, rule.order, rule.weights)
            continue
        state, row = sim.state, sim.state.status[b].first_row + local
        if rule.place == _CLUSTERING:
            mark_device_classes(state, b, sim.scratch)
        now_us = state.status[b].now_us
        out[b] = (
            slots
            + 1
            + best_node(state, b, state.pool, b, local, row, now_us, rule.place, 0, sim.scratch)
        )


@compiled
def _first_slot(
    sim: SimTable, obs: Observation, b: int, order: int, weights: PriorityWeights
) -> int:
    best = 0.0
    found = -1
    for slot in range(obs.window.shape[1]):
        local = obs.window[b, slot]
        if local == NO_TASK:
            continue
        current = score(order, sim.state, b, local, weights)
        if found < 0 or current < best:
            best = current
            found = slot
    return found


@compiled
def starting_slots(sim: SimTable, obs: Observation, rule: DispatchRule, out: Ints) -> None:
    """Slot of the task that `rule` starts next, by backfilling too, in each environment.

    Where it starts none it is the task that comes first, which waits. `out` keeps what it has where
    that task is outside of the window.

    Args:
        sim: the batch; nothing in it has changed afterwards.
        obs: its observations.
        rule: of the standard rules.
        out: `(B,)`.
    """
    for b in range(out.shape[0]):
        if sim.state.status[b].num_pending == 0 or sim.progress[b].placing != NO_TASK:
            continue
        head = first_in_order(sim.state, b, rule.order, rule.weights)
        local = start_head(sim.state, sim.scratch, b, head, rule.place, rule.backfill)
        if local == WAIT:
            local = head
        else:
            undo_choice(sim.state, sim.scratch, b, sim.state.status[b].first_row + local)
        for slot in range(obs.window.shape[1]):
            if obs.window[b, slot] == local:
                out[b] = slot
