"""Events of one simulation: arrivals in order of the trace, completions from a binary heap."""

from __future__ import annotations

import numpy as np

from lepton_rl.core.compiled import compiled
from lepton_rl.core.rules.queueing import enter_queue, enter_run, leave_run
from lepton_rl.core.tables import NO_NODE
from lepton_rl.sim.objective import arrival_cost, waiting_cost
from lepton_rl.sim.tables import SimTable

__all__ = ["advance", "reset", "start"]

_NEVER_US = int(np.iinfo(np.int64).max)


@compiled
def reset(sim: SimTable, b: int, first_row: int, num_tasks: int) -> None:
    """Begin an episode of `num_tasks` tasks from table row `first_row`, on an idle cluster.

    The clock stands at the first submit time; that arrival has not happened yet.
    """
    view, pool, nodes = sim.state, sim.state.pool, sim.state.nodes
    for m in range(nodes.capacity.shape[0]):
        pool.replicas_on[b, m] = 0
        pool.held_by[b, m] = NO_NODE
        for k in range(nodes.capacity.shape[1]):
            pool.free[b, m, k] = nodes.capacity[m, k]
        for column in range(nodes.cards.shape[1]):
            pool.card_free[b, m, column] = nodes.cards[m, column]
    view.queue.now_us[b] = view.tasks.submit_us[first_row]
    view.queue.first_row[b] = first_row
    view.queue.num_pending[b] = 0
    view.run.num_running[b] = 0
    sim.scratch.blocked[b] = NO_NODE
    sim.num_tasks[b] = num_tasks
    sim.next_arrival[b] = 0
    sim.num_completed[b] = 0
    sim.num_ends[b] = 0
    sim.cost[b] = 0.0


@compiled
def start(sim: SimTable, b: int, local: int) -> None:
    """Start the task whose nodes the rules have just taken (`sim.scratch`)."""
    run, scratch = sim.state.run, sim.scratch
    for replica in range(run.nodes.shape[2]):
        run.nodes[b, local, replica] = scratch.chosen[b, replica]
        run.card_sets[b, local, replica] = scratch.card_sets[b, replica]
    enter_run(sim.state, b, local)
    row = sim.state.queue.first_row[b] + local
    sim.end_us[b, local] = sim.state.queue.now_us[b] + sim.run_us[row]
    _push(sim, b, local)


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
    sim.cost[b] += waiting_cost(objective, sim, b, sim.state.queue.now_us[b], next_us)
    sim.state.queue.now_us[b] = next_us
    while _next_arrival_us(sim, b) == next_us:
        local = sim.next_arrival[b]
        enter_queue(sim.state.tasks, sim.state.queue, b, local)
        sim.cost[b] += arrival_cost(objective, sim, b, local)
        sim.next_arrival[b] = local + 1
        if one_event:
            return True
    while _next_end_us(sim, b) == next_us:
        leave_run(sim.state, b, _pop(sim, b))
        sim.num_completed[b] += 1
        if one_event:
            return True
    return True


@compiled
def _next_arrival_us(sim: SimTable, b: int) -> int:
    if sim.next_arrival[b] == sim.num_tasks[b]:
        return _NEVER_US
    return sim.state.tasks.submit_us[sim.state.queue.first_row[b] + sim.next_arrival[b]]


@compiled
def _next_end_us(sim: SimTable, b: int) -> int:
    if sim.num_ends[b] == 0:
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
    child = sim.num_ends[b]
    sim.num_ends[b] += 1
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
    count = sim.num_ends[b] - 1
    sim.num_ends[b] = count
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
