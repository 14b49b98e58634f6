"""Events of one simulation: arrivals in order of the trace, completions from a binary heap."""

from __future__ import annotations

import numpy as np

from lepton_rl.core.compiled import compiled
from lepton_rl.core.rules.dispatch import WAIT, DispatchRule, decide
from lepton_rl.core.rules.queueing import enter_queue, enter_run, leave_run
from lepton_rl.core.rules.reservation import reserve_for_critical
from lepton_rl.core.tables import NO_TASK
from lepton_rl.sim.objective import arrival_cost, waiting_cost
from lepton_rl.sim.tables import SimTable

__all__ = ["advance", "reset", "start", "start_all"]

_NEVER_US = int(np.iinfo(np.int64).max)


@compiled
def reset(sim: SimTable, b: int, first_row: int, num_tasks: int) -> None:
    """Begin an episode of `num_tasks` tasks from table row `first_row`, on an idle cluster.

    The clock stands at the first submit time; that arrival has not happened yet.
    """
    pool, nodes = sim.state.pool, sim.state.nodes
    for m in range(nodes.rows.shape[0]):
        pool.rows[b, m].replicas_on = 0
        pool.rows[b, m].held_by = NO_TASK
        for k in range(nodes.total.shape[0]):
            pool.rows[b, m].free[k] = nodes.rows[m].capacity[k]
        for column in range(nodes.cards.shape[1]):
            pool.card_free[b, m, column] = nodes.cards[m, column]
    sim.state.status[b].now_us = sim.state.tasks[first_row].submit_us
    sim.state.status[b].first_row = first_row
    sim.state.status[b].num_pending = 0
    sim.state.status[b].num_critical = 0
    sim.state.status[b].num_running = 0
    sim.scratch.blocked[b].task = NO_TASK
    sim.progress[b].num_tasks = num_tasks
    sim.progress[b].next_arrival = 0
    sim.progress[b].num_completed = 0
    sim.progress[b].num_ends = 0
    sim.progress[b].cost = 0.0
    sim.progress[b].reported = 0.0


@compiled
def start(sim: SimTable, b: int, local: int) -> None:
    """Start the task whose nodes the rules have just taken (`sim.scratch`)."""
    for replica in range(sim.state.held.shape[2]):
        sim.state.held[b, local, replica] = sim.scratch.choice[b, replica]
    enter_run(sim.state, b, local)
    row = sim.state.status[b].first_row + local
    sim.end_us[b, local] = sim.state.status[b].now_us + sim.run_us[row]
    _push(sim, b, local)


@compiled
def start_all(sim: SimTable, b: int, rule: DispatchRule) -> None:
    """Start tasks until the heuristic waits; reservations are renewed before each decision."""
    while True:
        reserve_for_critical(sim.state, sim.scratch, b)
        local = decide(sim.state, sim.scratch, b, rule)
        if local == WAIT:
            return
        start(sim, b, local)


@compiled
def advance(sim: SimTable, b: int, objective: int, one_event: bool) -> bool:
    """Move the clock to the next event and let it happen; False if nothing is left to happen.

    Everything of that instant happens, arrivals before completions; with `one_event` (the
    RLScheduler protocol) only the first of it.
    """
    arrival_us = _next_arrival_us(sim, b)
    end_us = _next_end_us(sim, b)
    next_us = min(arrival_us, end_us)
    if next_us == _NEVER_US:
        return False
    sim.progress[b].cost += waiting_cost(objective, sim, b, sim.state.status[b].now_us, next_us)
    sim.state.status[b].now_us = next_us
    while _next_arrival_us(sim, b) == next_us:
        local = sim.progress[b].next_arrival
        enter_queue(sim.state, b, local)
        sim.progress[b].cost += arrival_cost(objective, sim, b, local)
        sim.progress[b].next_arrival = local + 1
        if one_event:
            return True
    while _next_end_us(sim, b) == next_us:
        leave_run(sim.state, b, _pop(sim, b))
        sim.progress[b].num_completed += 1
        if one_event:
            return True
    return True


@compiled
def _next_arrival_us(sim: SimTable, b: int) -> int:
    if sim.progress[b].next_arrival == sim.progress[b].num_tasks:
        return _NEVER_US
    return sim.state.tasks[sim.state.status[b].first_row + sim.progress[b].next_arrival].submit_us


@compiled
def _next_end_us(sim: SimTable, b: int) -> int:
    if sim.progress[b].num_ends == 0:
        return _NEVER_US
    return sim.end_us[b, sim.ends[b, 0]]


@compiled
def _before(sim: SimTable, b: int, one: int, other: int) -> bool:
    """Heap order: by true end, then by local index."""
    if sim.end_us[b, one] != sim.end_us[b, other]:
        return sim.end_us[b, one] < sim.end_us[b, other]
    return one < other


@compiled
def _push(sim: SimTable, b: int, local: int) -> None:
    child = sim.progress[b].num_ends
    sim.progress[b].num_ends += 1
    while child > 0:
        parent = (child - 1) // 2
        if not _before(sim, b, local, sim.ends[b, parent]):
            break
        sim.ends[b, child] = sim.ends[b, parent]
        child = parent
    sim.ends[b, child] = local


@compiled
def _pop(sim: SimTable, b: int) -> int:
    first = sim.ends[b, 0]
    count = sim.progress[b].num_ends - 1
    sim.progress[b].num_ends = count
    last = sim.ends[b, count]
    parent = 0
    while True:
        child = 2 * parent + 1
        if child >= count:
            break
        if child + 1 < count and _before(sim, b, sim.ends[b, child + 1], sim.ends[b, child]):
            child += 1
        if not _before(sim, b, sim.ends[b, child], last):
            break
        sim.ends[b, parent] = sim.ends[b, child]
        parent = child
    sim.ends[b, parent] = last
    return first
