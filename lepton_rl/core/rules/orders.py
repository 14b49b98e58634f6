"""Which pending task comes first: a score per task, lowest first.

F1 to F4 are from Carastan-Santos and de Camargo, "Obtaining dynamic scheduling policies with
simulation and machine learning" (SC'17), table 3; WFP3 and UNICEP from Tang et al., "Fault-aware,
utility-based job scheduling on Blue Gene/P systems" (CLUSTER'09), with the true wait.
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import NamedTuple

from lepton_rl.core.clock import MICROSECOND
from lepton_rl.core.compiled import compiled
from lepton_rl.core.rules.lepton import priority
from lepton_rl.core.tables import Records, View

__all__ = ["Order", "PriorityWeights", "first_in_order", "score"]


class Order(IntEnum):
    """Orders of the queue. In the formulas r is the requested time (s), n the processors,
    s the submit time (s), w the wait so far (s)."""  # noqa: D205, D209

    FCFS = 0
    """s"""
    SJF = 1
    """r"""
    LJF = 2
    """-r"""
    SAF = 3
    """r n"""
    F1 = 4
    """log10(r) n + 870 log10(s)"""
    F2 = 5
    """sqrt(r) n + 25600 log10(s)"""
    F3 = 6
    """r n + 6.86e6 log10(s)"""
    F4 = 7
    """r sqrt(n) + 5.3e5 log10(s)"""
    WFP3 = 8
    """-(w / r)^3 n"""
    UNICEP = 9
    """-(w + 1e-15) / (log2(n + 1e-15) r)"""
    LEPTON = 10
    """-(alpha T + beta E + gamma w), T the requested time"""


class PriorityWeights(NamedTuple):
    """Weights of the Lepton priority (see `lepton.priority`); the seed's example uses 0.5, 0.5."""

    alpha: float = 0.5
    beta: float = 0.5
    gamma: float = 0.0


# Plain integers, because compiled code treats them as constants.
_FCFS, _SJF, _LJF, _SAF, _F1, _F2, _F3, _F4, _WFP3, _UNICEP, _LEPTON = (int(o) for o in Order)


@compiled
def _log10(x: float) -> float:
    """Log base 10; an argument <= 0 is taken as 0.1, as the published implementations do."""
    if x <= 0:
        return -1.0
    return math.log10(x)


@compiled
def score(order: int, tasks: Records, row: int, now_us: int, weights: PriorityWeights) -> float:
    """Score of task `row` at `now_us` under `order` (an `Order`); the lowest goes first."""
    submit_s = tasks[row].submit_us / MICROSECOND
    if order == _FCFS:
        return submit_s
    requested_s = tasks[row].requested_us / MICROSECOND
    processors = tasks[row].size
    if order == _SJF:
        return requested_s
    if order == _LJF:
        return -requested_s
    if order == _SAF:
        return requested_s * processors
    if order == _F1:
        return _log10(requested_s) * processors + 870.0 * _log10(submit_s)
    if order == _F2:
        return math.sqrt(requested_s) * processors + 25600.0 * _log10(submit_s)
    if order == _F3:
        return requested_s * processors + 6.86e6 * _log10(submit_s)
    if order == _F4:
        return requested_s * math.sqrt(processors) + 5.3e5 * _log10(submit_s)
    wait_s = (now_us - tasks[row].submit_us) / MICROSECOND
    if order == _WFP3:
        return -((wait_s / requested_s) ** 3) * processors
    if order == _UNICEP:
        return -(wait_s + 1e-15) / (math.log2(processors + 1e-15) * requested_s)
    return -priority(
        requested_s, tasks[row].urgency, weights.alpha, weights.beta, wait_s, weights.gamma
    )


@compiled
def first_in_order(view: View, b: int, order: int, weights: PriorityWeights) -> int:
    """Local index of the pending task with the lowest score, -1 if nothing is pending.

    Ties go to the earlier arrival, then to the lower index.
    """
    best = -1
    best_score = 0.0
    for position in range(view.status[b].num_pending):
        local = view.pending[b, position]
        row = view.status[b].first_row + local
        current = score(order, view.tasks, row, view.status[b].now_us, weights)
        if best < 0 or current < best_score:
            best = local
            best_score = current
    return best
