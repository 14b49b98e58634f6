"""What a schedule costs, accrued as time passes so that it telescopes to the reported metric.

For each task the cost as a function of its wait w starts at f(0) when it arrives and grows until it
starts; the sum over an episode divided by the number of tasks is the mean metric exactly:

    BOUNDED_SLOWDOWN  f(w) = max(1, (w + run) / max(run, 10 s))
    WAIT              f(w) = w, in seconds
    TURNAROUND        f(w) = w + run, in seconds

To each may be added weight * (w / 1 h)^power: mean slowdown alone is best served by letting a few
large tasks wait for very long.
"""

from __future__ import annotations

from enum import IntEnum

from lepton_rl.core.clock import MICROSECOND
from lepton_rl.core.compiled import compiled
from lepton_rl.sim.tables import SimTable

__all__ = ["BOUND_S", "Objective", "arrival_cost", "lost_work_cost", "task_cost", "waiting_cost"]

HOUR_S = 3600.0

BOUND_S = 10.0
"""Bounded slowdown does not count run times below this as shorter than this (tau)."""


class Objective(IntEnum):
    """Metric to keep low; see the module for the formulas."""

    BOUNDED_SLOWDOWN = 0
    WAIT = 1
    TURNAROUND = 2


_BOUNDED_SLOWDOWN, _WAIT, _TURNAROUND = (int(o) for o in Objective)
_BOUND_US = round(BOUND_S * MICROSECOND)


@compiled
def task_cost(objective: int, wait_s: float, run_s: float) -> float:
    """f(w) of a task that has waited `wait_s` and runs for `run_s`."""
    if objective == _WAIT:
        return wait_s
    if objective == _TURNAROUND:
        return wait_s + run_s
    return max(1.0, (wait_s + run_s) / max(run_s, BOUND_S))


@compiled
def _cost(objective: int, sim: SimTable, wait_s: float, run_s: float) -> float:
    """f(w) with what long waits cost beside it."""
    return task_cost(objective, wait_s, run_s) + _long_wait_cost(sim, wait_s)


@compiled
def _long_wait_cost(sim: SimTable, wait_s: float) -> float:
    if sim.long_waits[0] <= 0 or wait_s <= 0:
        return 0.0
    return sim.long_waits[0] * (wait_s / HOUR_S) ** sim.long_waits[1]


@compiled
def _growth(objective: int, from_us: int, to_us: int, run_us: int) -> float:
    """f(`to_us`) - f(`from_us`), of waits in us, with one division."""
    if objective != _BOUNDED_SLOWDOWN:
        return (to_us - from_us) / MICROSECOND
    least_us = max(run_us, _BOUND_US)
    return (max(to_us + run_us, least_us) - max(from_us + run_us, least_us)) / least_us


@compiled
def arrival_cost(objective: int, sim: SimTable, b: int, local: int) -> float:
    """f(w) of a task that becomes pending, w what it has waited for others so far."""
    row = sim.state.status[b].first_row + local
    wait_us = sim.state.status[b].now_us - sim.state.tasks[row].submit_us
    return _cost(objective, sim, wait_us / MICROSECOND, sim.run_us[row] / MICROSECOND)


@compiled
def lost_work_cost(objective: int, sim: SimTable, b: int, local: int, kept_us: int) -> float:
    """What a run adds that has just been cut off: all of its time that was not kept is waiting."""
    row, span = sim.state.status[b].first_row + local, sim.state.spans[b, local]
    run_s = sim.run_us[row] / MICROSECOND
    submit_us = sim.state.tasks[row].submit_us
    before_us = span.start_us - submit_us - span.kept_us
    after_us = sim.state.status[b].now_us - submit_us - kept_us
    after = _cost(objective, sim, after_us / MICROSECOND, run_s)
    return after - _cost(objective, sim, before_us / MICROSECOND, run_s)


@compiled
def waiting_cost(objective: int, sim: SimTable, b: int, from_us: int, to_us: int) -> float:
    """What the tasks pending now add between two times."""
    total = 0.0
    for position in range(sim.state.status[b].num_pending):
        local = sim.state.pending[b, position]
        row = sim.state.status[b].first_row + local
        submit_us = sim.state.tasks[row].submit_us + sim.state.spans[b, local].kept_us
        total += _growth(objective, from_us - submit_us, to_us - submit_us, sim.run_us[row])
        if sim.long_waits[0] > 0:
            total += _long_wait_cost(sim, (to_us - submit_us) / MICROSECOND)
            total -= _long_wait_cost(sim, (from_us - submit_us) / MICROSECOND)
    return total
