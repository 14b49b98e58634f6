"""Events of one simulation: arrivals, ends of runs, nodes that fail and return."""

from __future__ import annotations

from lepton_rl.core.compiled import compiled, inlined
from lepton_rl.core.rules.dispatch import (
    WAIT,
    DispatchRule,
    decide,
    is_preemption,
    victim_of,
)
from lepton_rl.core.rules.queueing import arrive, enter_queue
from lepton_rl.core.rules.reservation import reserve
from lepton_rl.core.rules.signals import forget_signals, pass_time
from lepton_rl.core.rules.tenants import forget_tenants
from lepton_rl.core.tables import NEVER_US, NO_TASK
from lepton_rl.sim.heap import pop_end
from lepton_rl.sim.objective import arrival_cost, waiting_cost
from lepton_rl.sim.runs import end_run, enter_listed, evict, preempt, start
from lepton_rl.sim.tables import SimTable
from lepton_rl.sim.world import DOWN, UP

__all__ = ["advance", "reset", "start_all", "start_promised"]


@compiled
def reset(sim: SimTable, b: int, first_row: int, num_tasks: int) -> None:
    """Begin an episode of `num_tasks` tasks from table row `first_row`, on an idle cluster.

    The clock stands at the first submit time; that arrival has not happened yet.
    """
    pool, nodes = sim.state.pool, sim.state.nodes
    for m in range(nodes.rows.shape[0]):
        pool.rows[b, m].replicas_on = 0
        pool.rows[b, m].held_by = NO_TASK
        pool.rows[b, m].accepting = True
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
    sim.progress[b].placing = NO_TASK
    sim.progress[b].num_tasks = num_tasks
    sim.progress[b].next_arrival = 0
    sim.progress[b].num_ended = 0
    sim.progress[b].next_node_event = 0
    sim.progress[b].num_ends = 0
    sim.progress[b].cost = 0.0
    sim.progress[b].reported = 0.0
    sim.progress[b].num_preempted = 0
    for local in range(num_tasks):
        sim.first_start_us[b, local] = -1
    for local in range(min(num_tasks, sim.lives.shape[1])):
        _begin_life(sim, b, local, first_row, num_tasks)


@compiled
def _begin_life(sim: SimTable, b: int, local: int, first_row: int, num_tasks: int) -> None:
    """A task lies ahead; what it needs outside of the episode has completed before."""
    life, world = sim.lives[b, local], sim.world
    life.attempts = 0
    life.failures = 0
    life.arrived = False
    life.ended = False
    life.unmet = 0
    for edge in range(world.first_need[first_row + local], world.first_need[first_row + local + 1]):
        if first_row <= world.needs[edge] < first_row + num_tasks:
            life.unmet += 1


@compiled
def start_all(sim: SimTable, b: int, rule: DispatchRule, objective: int) -> None:
    """Start and stop tasks until the heuristic waits."""
    while True:
        if start_promised(sim, b, objective):
            continue
        decision = decide(sim.state, sim.scratch, b, rule)
        if decision == WAIT:
            return
        if is_preemption(decision):
            preempt(sim, b, victim_of(decision), objective)
        else:
            start(sim, b, decision, objective)


@compiled
def start_promised(sim: SimTable, b: int, objective: int) -> bool:
    """Renew the reservation; whether a task that had one fits now, and so has been started."""
    local = reserve(sim.state, sim.scratch, b)
    if local == NO_TASK:
        return False
    if sim.scratch.blocked[b].task == local:
        sim.scratch.blocked[b].task = NO_TASK  # it keeps the head no longer
    start(sim, b, local, objective)
    return True


@compiled
def advance(sim: SimTable, b: int, objective: int, one_event: bool) -> bool:
    """Move the clock to the next event and let it happen; False if nothing is left to happen.

    Everything of that instant happens: arrivals, then ends of runs, then tasks that these have set
    free; with `one_event` (the RLScheduler protocol) only the first of it. What happens to nodes
    comes after the decisions of the same instant.
    """
    next_us = min(_next_arrival_us(sim, b), _next_end_us(sim, b))
    if sim.progress[b].num_resting > 0:
        next_us = min(next_us, sim.state.status[b].now_us + 1)
    node_us = _next_node_event_us(sim, b)
    if node_us < next_us:
        _pass_time(sim, b, node_us, objective)
        _change_nodes(sim, b, node_us, objective)
        return True
    if next_us == NEVER_US:
        return False
    _pass_time(sim, b, next_us, objective)
    while _next_arrival_us(sim, b) == next_us:
        _receive(sim, b, objective)
        if one_event:
            return True
    count = 0
    while _next_end_us(sim, b) == next_us:
        count = end_run(sim, b, pop_end(sim, b), count, objective)
        if one_event:
            break
    enter_listed(sim, b, count, objective)
    return True


@inlined
def _pass_time(sim: SimTable, b: int, to_us: int, objective: int) -> None:
    """Move the clock; tasks that were stopped at an earlier instant are pending again."""
    from_us = sim.state.status[b].now_us
    if to_us == from_us:
        return
    sim.progress[b].cost += waiting_cost(objective, sim, b, from_us, to_us)
    pass_time(sim.state, b, to_us)
    for position in range(sim.progress[b].num_resting):
        enter_queue(sim.state, b, sim.resting[b, position])
    sim.progress[b].num_resting = 0


@inlined
def _receive(sim: SimTable, b: int, objective: int) -> None:
    """The next task arrives; it is pending unless it needs others first."""
    local = sim.progress[b].next_arrival
    sim.progress[b].next_arrival = local + 1
    if sim.lives.shape[1] > 0:
        sim.lives[b, local].arrived = True
        if sim.lives[b, local].unmet > 0 or sim.lives[b, local].ended:
            return
    arrive(sim.state, b, local)
    sim.progress[b].cost += arrival_cost(objective, sim, b, local)


@compiled
def _change_nodes(sim: SimTable, b: int, now_us: int, objective: int) -> None:
    """All that happens to nodes at this instant."""
    while _next_node_event_us(sim, b) == now_us:
        event = sim.world.node_events[sim.progress[b].next_node_event]
        sim.progress[b].next_node_event += 1
        sim.state.pool.rows[b, event.node].accepting = event.state == UP
        if event.state == DOWN:
            evict(sim, b, event.node, objective)


@compiled
def _next_node_event_us(sim: SimTable, b: int) -> int:
    """When the next node changes; those before the episode's beginning happen at its beginning."""
    if sim.progress[b].next_node_event == sim.world.node_events.shape[0]:
        return NEVER_US
    time_us = sim.world.node_events[sim.progress[b].next_node_event].time_us
    return max(time_us, sim.state.status[b].now_us)


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
