"""Events of one simulation: arrivals in order of the trace, ends of runs from a binary heap."""

from __future__ import annotations

from lepton_rl.core.compiled import compiled
from lepton_rl.core.rules.dispatch import (
    WAIT,
    DispatchRule,
    decide,
    is_preemption,
    victim_of,
)
from lepton_rl.core.rules.queueing import arrive, enter_queue, enter_run, leave_run
from lepton_rl.core.rules.reservation import reserve
from lepton_rl.core.rules.signals import forget_signals, note_end, pass_time
from lepton_rl.core.rules.tenants import forget_tenants
from lepton_rl.core.rules.times import duration_us, kept_work_us
from lepton_rl.core.tables import NEVER_US, NO_TASK
from lepton_rl.sim.heap import pop_end, push_end, remove_end
from lepton_rl.sim.objective import arrival_cost, waiting_cost
from lepton_rl.sim.tables import SimTable

__all__ = ["advance", "preempt", "reset", "start", "start_all", "start_promised"]


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
    forget_signals(sim.state, b)
    forget_tenants(sim.state, b)
    sim.scratch.blocked[b].task = NO_TASK
    sim.progress[b].num_resting = 0
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
    span = sim.state.spans[b, local]
    left_us = sim.run_us[sim.state.status[b].first_row + local] - span.kept_us
    sim.end_us[b, local] = span.start_us + duration_us(left_us, span.speed)
    push_end(sim, b, local)


@compiled
def preempt(sim: SimTable, b: int, local: int) -> None:
    """Stop a running task, which rests until the clock moves on; its checkpoints keep its work."""
    state, span = sim.state, sim.state.spans[b, local]
    row = state.status[b].first_row + local
    ran_us = state.status[b].now_us - span.start_us
    kept_us = kept_work_us(span.kept_us, ran_us, span.speed, state.tasks[row].checkpoint_us)
    remove_end(sim, b, local)
    leave_run(state, b, local)
    state.spans[b, local].kept_us = min(kept_us, sim.run_us[row] - 1)
    sim.resting[b, sim.progress[b].num_resting] = local
    sim.progress[b].num_resting += 1


@compiled
def start_all(sim: SimTable, b: int, rule: DispatchRule) -> None:
    """Start and stop tasks until the heuristic waits."""
    while True:
        if start_promised(sim, b):
            continue
        decision = decide(sim.state, sim.scratch, b, rule)
        if decision == WAIT:
            return
        if is_preemption(decision):
            preempt(sim, b, victim_of(decision))
        else:
            start(sim, b, decision)


@compiled
def start_promised(sim: SimTable, b: int) -> bool:
    """Renew the reservation; whether a task that had one fits now, and so has been started."""
    local = reserve(sim.state, sim.scratch, b)
    if local == NO_TASK:
        return False
    if sim.scratch.blocked[b].task == local:
        sim.scratch.blocked[b].task = NO_TASK  # it keeps the head no longer
    start(sim, b, local)
    return True


@compiled
def advance(sim: SimTable, b: int, objective: int, one_event: bool) -> bool:
    """Move the clock to the next event and let it happen; False if nothing is left to happen.

    Everything of that instant happens, arrivals before completions; with `one_event` (the
    RLScheduler protocol) only the first of it.
    """
    arrival_us = _next_arrival_us(sim, b)
    end_us = _next_end_us(sim, b)
    next_us = min(arrival_us, end_us)
    if sim.progress[b].num_resting > 0:
        next_us = min(next_us, sim.state.status[b].now_us + 1)
    if next_us == NEVER_US:
        return False
    sim.progress[b].cost += waiting_cost(objective, sim, b, sim.state.status[b].now_us, next_us)
    pass_time(sim.state, b, next_us)
    _wake(sim, b)
    while _next_arrival_us(sim, b) == next_us:
        local = sim.progress[b].next_arrival
        arrive(sim.state, b, local)
        sim.progress[b].cost += arrival_cost(objective, sim, b, local)
        sim.progress[b].next_arrival = local + 1
        if one_event:
            return True
    while _next_end_us(sim, b) == next_us:
        local = pop_end(sim, b)
        leave_run(sim.state, b, local)
        note_end(sim.state, b, local, False)
        sim.progress[b].num_completed += 1
        if one_event:
            return True
    return True


@compiled
def _next_arrival_us(sim: SimTable, b: int) -> int:
    if sim.progress[b].next_arrival == sim.progress[b].num_tasks:
        return NEVER_US
    return sim.state.tasks[sim.state.status[b].first_row + sim.progress[b].next_arrival].submit_us


@compiled
def _next_end_us(sim: SimTable, b: int) -> int:
    if sim.progress[b].num_ends == 0:
        return NEVER_US
    return sim.end_us[b, sim.ends[b, 0]]


@compiled
def _wake(sim: SimTable, b: int) -> None:
    """Tasks that were stopped at an instant before this one are pending again."""
    for position in range(sim.progress[b].num_resting):
        enter_queue(sim.state, b, sim.resting[b, position])
    sim.progress[b].num_resting = 0
