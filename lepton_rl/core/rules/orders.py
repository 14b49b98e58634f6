"""Which pending task comes first: a score per task, lowest first.

F1 to F4 are from Carastan-Santos and de Camargo, "Obtaining dynamic scheduling policies with
simulation and machine learning" (SC'17), table 3; WFP3 and UNICEP from Tang et al., "Fault-aware,
utility-based job scheduling on Blue Gene/P systems" (CLUSTER'09), with the true wait; multifactor
is the priority of Slurm's plugin of that name with all weights 1; DRF from Ghodsi et al. (NSDI'11);
LAS from Gu et al., "Tiresias" (NSDI'19).
"""

from __future__ import annotations

import math
from enum import IntEnum
from typing import NamedTuple

from lepton_rl.core.clock import MICROSECOND
from lepton_rl.core.compiled import compiled
from lepton_rl.core.rules.lepton import priority
from lepton_rl.core.rules.tenants import (
    dominant_share,
    fair_share,
    main_kind,
    main_share,
    mean_usage_s,
)
from lepton_rl.core.rules.times import remaining_us, served_us
from lepton_rl.core.tables import NEVER_US, View

__all__ = ["Order", "PriorityWeights", "first_in_order", "score"]


class Order(IntEnum):
    """Orders of the queue.

    In the formulas r is the requested time in s, less the work that a checkpoint keeps (of a
    running task, that may be preempted: what is left of it), n the processors, s the submit time
    in s, w the time in s since then, d the deadline in s, t the time now in s.
    """

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
    """-(w + 1e-15) / (log2(n + 1e-15) r), n at least 1"""
    LEPTON = 10
    """-(alpha T + beta E + gamma w), T the requested time"""
    EDF = 11
    """d; those without one last"""
    LEAST_SLACK = 12
    """d - t - r; those without a deadline last"""
    MULTIFACTOR = 13
    """-(min(w / 7 days, 1) + n / processors of the cluster + 2^(-usage / share) + urgency), the
    usage that of the tenant, decayed with a half-life of 7 days; urgency cut to 0..1"""
    DRF = 14
    """dominant share that the task's tenant holds"""
    MAX_MIN = 15
    """share that the task's tenant holds of the cluster's devices; without any, of its cores"""
    LAS = 16
    """how many of 1 and 10 processor-hours it has been served; in each class by s"""


class PriorityWeights(NamedTuple):
    """Weights of the Lepton priority (see `lepton.priority`); the seed's example uses 0.5, 0.5."""

    alpha: float = 0.5
    beta: float = 0.5
    gamma: float = 0.0


# Plain integers, because compiled code treats them as constants.
(_FCFS, _SJF, _LJF, _SAF, _F1, _F2, _F3, _F4, _WFP3, _UNICEP, _LEPTON, _EDF, _LEAST_SLACK,
 _MULTIFACTOR, _DRF, _MAX_MIN, _LAS) = (int(o) for o in Order)  # fmt: skip

_LAS_CLASSES = (3_600.0, 36_000.0)
"""Served processor-seconds at which a task goes to the next class (discretised 2D-LAS)."""

_OLDEST_S = 7 * 86_400.0
"""Wait from which age counts no more; Slurm's PriorityMaxAge."""


@compiled
def _log10(x: float) -> float:
    """Log base 10; an argument <= 0 is taken as 0.1, as the published implementations do."""
    if x <= 0:
        return -1.0
    return math.log10(x)


@compiled
def score(order: int, view: View, b: int, local: int, weights: PriorityWeights) -> float:
    """Score of a pending or running task now under `order` (an `Order`); the lowest goes first."""
    row = view.status[b].first_row + local
    submit_s = view.tasks[row].submit_us / MICROSECOND
    if order == _FCFS:
        return submit_s
    requested_s = remaining_us(view, b, local) / MICROSECOND
    processors = view.tasks[row].size
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
    wait_s = (view.status[b].now_us - view.tasks[row].submit_us) / MICROSECOND
    if order == _WFP3:
        return -((wait_s / requested_s) ** 3) * processors
    if order == _UNICEP:
        return -(wait_s + 1e-15) / (math.log2(max(processors, 1.0) + 1e-15) * requested_s)
    if order == _LEPTON:
        return -priority(
            requested_s, view.tasks[row].urgency, weights.alpha, weights.beta, wait_s, weights.gamma
        )
    return _score_of_users_concern(order, view, b, local, row, requested_s, wait_s)


@compiled
def _score_of_users_concern(
    order: int, view: View, b: int, local: int, row: int, requested_s: float, wait_s: float
) -> float:
    """Scores by deadline, tenant or service so far."""
    if order in (_EDF, _LEAST_SLACK):
        deadline_us = view.tasks[row].deadline_us
        if deadline_us == NEVER_US:
            return math.inf
        if order == _EDF:
            return deadline_us / MICROSECOND
        return (deadline_us - view.status[b].now_us) / MICROSECOND - requested_s
    if order == _DRF:
        return dominant_share(view, b, view.tasks[row].tenant)
    if order == _MAX_MIN:
        return main_share(view, b, view.tasks[row].tenant)
    if order == _LAS:
        return _las_class(view, b, local, row)
    age = min(wait_s / _OLDEST_S, 1.0)
    urgency = min(max(view.tasks[row].urgency, 0.0), 1.0)
    return -(age + _share_of_processors(view, row) + urgency)


@compiled
def _las_class(view: View, b: int, local: int, row: int) -> float:
    """How many thresholds the task's service so far has reached."""
    served_s = served_us(view, b, local) / MICROSECOND * view.tasks[row].size
    reached = 0.0
    for threshold_s in _LAS_CLASSES:
        if served_s >= threshold_s:
            reached += 1.0
    return reached


@compiled
def _share_of_processors(view: View, row: int) -> float:
    """Share of the cluster's `main_kind` that a task asks for."""
    k = main_kind(view.nodes)
    return view.tasks[row].demand[k] * view.tasks[row].replicas / max(1, view.nodes.total[k])


@compiled
def first_in_order(view: View, b: int, order: int, weights: PriorityWeights) -> int:
    """Local index of the pending task with the lowest score, -1 if nothing is pending.

    Ties go to the earlier arrival, then to the lower index.
    """
    best = -1
    best_score = 0.0
    mean_s = mean_usage_s(view, b) if order == _MULTIFACTOR else 0.0
    for position in range(view.status[b].num_pending):
        local = view.pending[b, position]
        current = score(order, view, b, local, weights)
        if order == _MULTIFACTOR:
            tenant = view.tasks[view.status[b].first_row + local].tenant
            current -= fair_share(view, b, tenant, mean_s)
        if best < 0 or current < best_score:
            best = local
            best_score = current
    return best
