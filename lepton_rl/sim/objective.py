"""What a schedule costs, accrued as time passes so that it telescopes to the reported metric.

For each task the cost as a function of its wait w starts at f(0) when it arrives and grows until it
starts; the sum over an episode divided by the number of tasks is the mean metric exactly:

    BOUNDED_SLOWDOWN  f(w) = max(1, (w + run) / max(run, 10 s))
    WAIT              f(w) = w, in seconds
    TURNAROUND        f(w) = w + run, in seconds
    DEADLINES         f(w) = 1 if submit + w + run is after the deadline, else 0: the share of the
                      tasks that miss theirs; one without a deadline misses none

Run is the run time on a node of speed 1. TURNAROUND and DEADLINES count the true end: when a task
starts, what a faster or slower node changes about its end counts as less or more waiting. The other
two leave the speed out: to divide by the run time there would favour slow nodes.

    WEIGHTED_SUM      f(w) = sum of weight * f(w) of the others, each in its own unit

To each may be added weight * (w / 1 h)^power: mean slowdown alone is best served by letting a few
large tasks wait for very long.
"""

from __future__ import annotations

from enum import IntEnum

from lepton_rl.core.clock import MICROSECOND
from lepton_rl.core.compiled import compiled, inlined
from lepton_rl.core.rules.times import duration_us
from lepton_rl.sim.tables import SimTable

__all__ = [
    "BOUND_S",
    "SINGLE",
    "Objective",
    "arrival_cost",
    "lost_work_cost",
    "start_cost",
    "task_cost",
    "waiting_cost",
]

HOUR_S = 3600.0

BOUND_S = 10.0
"""Bounded slowdown does not count run times below this as shorter than this (tau)."""


class Objective(IntEnum):
    """Metric to keep low; see the module for the formulas."""

    BOUNDED_SLOWDOWN = 0
    WAIT = 1
    TURNAROUND = 2
    DEADLINES = 3
    WEIGHTED_SUM = 4


SINGLE = tuple(o for o in Objective if o is not Objective.WEIGHTED_SUM)
"""The objectives that a weighted sum is of, in the order of its weights."""

_BOUNDED_SLOWDOWN, _WAIT, _TURNAROUND, _DEADLINES, _WEIGHTED_SUM = (int(o) for o in Objective)
_BOUND_US = round(BOUND_S * MICROSECOND)


@compiled
def task_cost(objective: int, wait_us: int, run_us: int, slack_us: int) -> float:
    """f(w) of a task that has waited `wait_us` and runs for `run_us`.

    `slack_us` is how long it could wait and still meet its deadline.
    """
    if objective == _DEADLINES:
        return 1.0 if wait_us > slack_us else 0.0
    wait_s, run_s = wait_us / MICROSECOND, run_us / MICROSECOND
    if objective == _WAIT:
        return wait_s
    if objective == _TURNAROUND:
        return wait_s + run_s
    return max(1.0, (wait_s + run_s) / max(run_s, BOUND_S))


@compiled
def _metric(objective: int, sim: SimTable, row: int, wait_us: int) -> float:
    """f(w) of the task in a row of the table."""
    run_us, task = sim.run_us[row], sim.state.tasks[row]
    slack_us = task.deadline_us - task.submit_us - run_us
    if objective != _WEIGHTED_SUM:
        return task_cost(objective, wait_us, run_us, slack_us)
    total = 0.0
    for part in range(len(sim.weights)):
        if sim.weights[part] > 0:
            total += sim.weights[part] * task_cost(part, wait_us, run_us, slack_us)
    return total


@compiled
def _cost(objective: int, sim: SimTable, row: int, wait_us: int) -> float:
    """f(w) with what long waits cost beside it."""
    return _metric(objective, sim, row, wait_us) + _long_wait_cost(sim, wait_us)


@inlined
def _long_wait_cost(sim: SimTable, wait_us: int) -> float:
    if sim.long_waits[0] <= 0 or wait_us <= 0:
        return 0.0
    return sim.long_waits[0] * (wait_us / MICROSECOND / HOUR_S) ** sim.long_waits[1]


@inlined
def _growth(objective: int, sim: SimTable, row: int, from_us: int, to_us: int) -> float:
    """f(`to_us`) - f(`from_us`) of waits in us, with one division at the most."""
    if objective in (_DEADLINES, _WEIGHTED_SUM):
        return _metric(objective, sim, row, to_us) - _metric(objective, sim, row, from_us)
    if objective != _BOUNDED_SLOWDOWN:
        return (to_us - from_us) / MICROSECOND
    run_us = sim.run_us[row]
    least_us = max(run_us, _BOUND_US)
    return (max(to_us + run_us, least_us) - max(from_us + run_us, least_us)) / least_us


@compiled
def arrival_cost(objective: int, sim: SimTable, b: int, local: int) -> float:
    """f(w) of a task that becomes pending, w what it has waited for others so far."""
    row = sim.state.status[b].first_row + local
    return _cost(objective, sim, row, sim.state.status[b].now_us - sim.state.tasks[row].submit_us)


@compiled
def start_cost(objective: int, sim: SimTable, b: int, local: int) -> float:
    """What the speed of the nodes changes about the cost of a task that has just been started."""
    if objective in (_BOUNDED_SLOWDOWN, _WAIT):
        return 0.0
    row, span = sim.state.status[b].first_row + local, sim.state.spans[b, local]
    if span.speed == 1.0:
        return 0.0
    left_us = sim.run_us[row] - span.kept_us
    wait_us = span.start_us - sim.state.tasks[row].submit_us - span.kept_us
    longer_us = duration_us(left_us, span.speed) - left_us
    if objective != _WEIGHTED_SUM:
        return _change(objective, sim, row, wait_us, longer_us)
    late = sim.weights[_TURNAROUND] * _change(_TURNAROUND, sim, row, wait_us, longer_us)
    return late + sim.weights[_DEADLINES] * _change(_DEADLINES, sim, row, wait_us, longer_us)


@compiled
def _change(objective: int, sim: SimTable, row: int, wait_us: int, longer_us: int) -> float:
    """f(`wait_us` + `longer_us`) - f(`wait_us`)."""
    after = _metric(objective, sim, row, wait_us + longer_us)
    return after - _metric(objective, sim, row, wait_us)


@compiled
def lost_work_cost(objective: int, sim: SimTable, b: int, local: int, kept_us: int) -> float:
    """What a run adds that has just been cut off: all of its time that was not kept is waiting."""
    row, span = sim.state.status[b].first_row + local, sim.state.spans[b, local]
    submit_us = sim.state.tasks[row].submit_us
    before_us = span.start_us - submit_us - span.kept_us
    after_us = sim.state.status[b].now_us - submit_us - kept_us
    before = _cost(objective, sim, row, before_us) + start_cost(objective, sim, b, local)
    return _cost(objective, sim, row, after_us) - before


@inlined
def waiting_cost(objective: int, sim: SimTable, b: int, from_us: int, to_us: int) -> float:
    """What the tasks pending now add between two times."""
    total = 0.0
    for position in range(sim.state.status[b].num_pending):
        local = sim.state.pending[b, position]
        row = sim.state.status[b].first_row + local
        submit_us = sim.state.tasks[row].submit_us + sim.state.spans[b, local].kept_us
        total += _growth(objective, sim, row, from_us - submit_us, to_us - submit_us)
        if sim.long_waits[0] > 0:
            total += _long_wait_cost(sim, to_us - submit_us)
            total -= _long_wait_cost(sim, from_us - submit_us)
    return total
