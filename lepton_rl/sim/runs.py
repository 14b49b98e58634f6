"""Runs of tasks in a simulation: how they begin, end, fail and are cut off."""

from __future__ import annotations

from lepton_rl.core.compiled import compiled
from lepton_rl.core.rules.queueing import arrive, enter_queue, enter_run, leave_run
from lepton_rl.core.rules.signals import note_end
from lepton_rl.core.rules.times import duration_us, kept_work_us
from lepton_rl.sim.heap import push_end, remove_end
from lepton_rl.sim.objective import arrival_cost, lost_work_cost, start_cost
from lepton_rl.sim.tables import SimTable

__all__ = ["end_run", "enter_listed", "evict", "list_in_order", "preempt", "start"]


@compiled
def start(sim: SimTable, b: int, local: int, objective: int) -> None:
    """Start the task whose nodes the rules have just taken (`sim.scratch`)."""
    for replica in range(sim.state.held.shape[2]):
        sim.state.held[b, local, replica] = sim.scratch.choice[b, replica]
    enter_run(sim.state, b, local)
    sim.progress[b].cost += start_cost(objective, sim, b, local)
    span, row = sim.state.spans[b, local], sim.state.status[b].first_row + local
    length_us = duration_us(sim.run_us[row] - span.kept_us, span.speed)
    if sim.lives.shape[1] > 0:
        length_us = _until_failure_us(sim, b, local, row, length_us)
    if sim.first_start_us[b, local] < 0:
        sim.first_start_us[b, local] = span.start_us
    sim.end_us[b, local] = span.start_us + length_us
    push_end(sim, b, local)


@compiled
def _until_failure_us(sim: SimTable, b: int, local: int, row: int, length_us: int) -> int:
    """How long the run that begins now will take, which ends with a failure or by itself."""
    life, runs = sim.lives[b, local], sim.world.fails_after_us.shape[1]
    after_us = sim.world.fails_after_us[row, life.attempts] if life.attempts < runs else 0
    life.attempts += 1
    life.fails = 0 < after_us < length_us
    return after_us if life.fails else length_us


@compiled
def _cut_off(sim: SimTable, b: int, local: int, objective: int) -> None:
    """A run is over and the task is not; it keeps the work up to its last checkpoint."""
    state, span = sim.state, sim.state.spans[b, local]
    row = state.status[b].first_row + local
    ran_us = state.status[b].now_us - span.start_us
    kept_us = kept_work_us(span.kept_us, ran_us, span.speed, state.tasks[row].checkpoint_us)
    kept_us = min(kept_us, sim.run_us[row] - 1)
    leave_run(state, b, local)
    sim.progress[b].cost += lost_work_cost(objective, sim, b, local, kept_us)
    state.spans[b, local].kept_us = kept_us


@compiled
def preempt(sim: SimTable, b: int, local: int, objective: int) -> None:
    """Stop a running task, which rests until the clock moves on."""
    remove_end(sim, b, local)
    _cut_off(sim, b, local, objective)
    sim.progress[b].num_preempted += 1
    sim.resting[b, sim.progress[b].num_resting] = local
    sim.progress[b].num_resting += 1


@compiled
def evict(sim: SimTable, b: int, m: int, objective: int) -> None:
    """Node `m` is down: whatever runs there is pending again."""
    state, count, position = sim.state, 0, 0
    while position < state.status[b].num_running:
        local = state.running[b, position]
        if not _runs_on(sim, b, local, m):
            position += 1
            continue
        remove_end(sim, b, local)
        _cut_off(sim, b, local, objective)
        count = list_in_order(sim, b, local, count)
    for index in range(count):
        enter_queue(state, b, sim.listed[b, index])


@compiled
def _runs_on(sim: SimTable, b: int, local: int, m: int) -> bool:
    row = sim.state.status[b].first_row + local
    for replica in range(sim.state.tasks[row].replicas):
        if sim.state.held[b, local, replica].node == m:
            return True
    return False


@compiled
def list_in_order(sim: SimTable, b: int, local: int, count: int) -> int:
    """Put a task into the first `count` of `sim.listed`, ascending; how many there are then."""
    position = count
    while position > 0 and sim.listed[b, position - 1] > local:
        sim.listed[b, position] = sim.listed[b, position - 1]
        position -= 1
    sim.listed[b, position] = local
    return count + 1


@compiled
def enter_listed(sim: SimTable, b: int, count: int, objective: int) -> None:
    """The first `count` of `sim.listed` need nothing any more: they become pending."""
    for index in range(count):
        local = sim.listed[b, index]
        arrive(sim.state, b, local)
        sim.progress[b].cost += arrival_cost(objective, sim, b, local)


@compiled
def end_run(sim: SimTable, b: int, local: int, count: int, objective: int) -> int:
    """A run ends by itself: the task completes, or fails and is tried again while it may be.

    Returns:
        How many tasks of `sim.listed` need nothing any more; `count` of them did not before.
    """
    if sim.lives.shape[1] == 0:
        leave_run(sim.state, b, local)
        note_end(sim.state, b, local, False)
        sim.progress[b].num_ended += 1
        return count
    life = sim.lives[b, local]
    note_end(sim.state, b, local, life.fails)
    if not life.fails:
        leave_run(sim.state, b, local)
        return _complete(sim, b, local, count)
    _cut_off(sim, b, local, objective)
    life.failures += 1
    row = sim.state.status[b].first_row + local
    if life.failures <= sim.world.max_retries[row]:
        enter_queue(sim.state, b, local)
    else:
        _fail(sim, b, local, count)
    return count


@compiled
def _complete(sim: SimTable, b: int, local: int, count: int) -> int:
    """What needed this task may go on; see `end_run` for what it returns."""
    world, first_row = sim.world, sim.state.status[b].first_row
    _end(sim, b, local)
    for edge in range(
        world.first_dependent[first_row + local], world.first_dependent[first_row + local + 1]
    ):
        dependent = world.dependents[edge] - first_row
        if not 0 <= dependent < sim.progress[b].num_tasks:
            continue
        life = sim.lives[b, dependent]
        life.unmet -= 1
        if life.unmet == 0 and life.arrived and not life.ended:
            count = list_in_order(sim, b, dependent, count)
    return count


@compiled
def _fail(sim: SimTable, b: int, local: int, count: int) -> None:
    """What needs this task can never run; the first `count` of `sim.listed` are in use."""
    world, first_row = sim.world, sim.state.status[b].first_row
    _end(sim, b, local)
    sim.listed[b, count] = local
    last = count + 1
    while last > count:
        last -= 1
        row = first_row + sim.listed[b, last]
        for edge in range(world.first_dependent[row], world.first_dependent[row + 1]):
            dependent = world.dependents[edge] - first_row
            if 0 <= dependent < sim.progress[b].num_tasks and not sim.lives[b, dependent].ended:
                _end(sim, b, dependent)
                sim.listed[b, last] = dependent
                last += 1


@compiled
def _end(sim: SimTable, b: int, local: int) -> None:
    sim.lives[b, local].ended = True
    sim.progress[b].num_ended += 1
