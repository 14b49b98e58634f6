"""The Lepton rules of the seed document, as pure functions.

The seed's worked example contains three slips (its text chooses the resource with load 0.4 although
another has 0.375, prints a reservation of 55 where its formula gives 50, and a priority of 9 where
its formula gives 8). The functions compute the formulas; `tests/golden` holds the example.
"""

from __future__ import annotations

from lepton_rl.core.compiled import compiled
from lepton_rl.core.tables import Ints, NodeTable, PoolTable

__all__ = ["least_loaded", "load", "node_load", "priority", "reserve_amount"]


@compiled
def load(allocated: float, total: float) -> float:
    """Load of a resource, C_i / T_i: what is in use over what there is (0 to 1).

    A resource that has nothing (T_i = 0) cannot take anything and counts as fully loaded.
    """
    if total <= 0:
        return 1.0
    return allocated / total


@compiled
def least_loaded(allocated: Ints, total: Ints) -> int:
    """R_min = argmin C_i / T_i over resources `(n,)`; the lowest index wins ties; -1 if n = 0."""
    best = -1
    best_load = 0.0
    for i in range(total.shape[0]):
        current = load(float(allocated[i]), float(total[i]))
        if best < 0 or current < best_load:
            best = i
            best_load = current
    return best


@compiled
def node_load(nodes: NodeTable, pool: PoolTable, b: int, m: int) -> float:
    """Load of node `m`: its dominant share, the largest C/T over its kinds (0 to 1).

    With one kind on the node it is exactly C/T.
    """
    highest = 0.0
    for k in range(nodes.total.shape[0]):
        total = nodes.rows[m].capacity[k]
        if total > 0:
            current = load(float(total - pool.rows[b, m].free[k]), float(total))
            highest = max(highest, current)
    return highest


@compiled
def reserve_amount(requested: float, capacity: float, allocated: float) -> float:
    """R_reserve = max(R_req, R_max - R_alloc): everything unallocated, at least what is needed."""
    return max(requested, capacity - allocated)


@compiled
def priority(
    time_need: float, urgency: float, alpha: float, beta: float, wait: float, gamma: float
) -> float:
    """P_i = alpha * T_i + beta * E_i + gamma * wait_i; the highest goes first.

    Args:
        time_need: T_i, the task's time requirement.
        urgency: E_i.
        alpha: weight of T_i.
        beta: weight of E_i.
        wait: time in the queue so far, in the unit of T_i.
        gamma: aging weight; the seed has none (0).
    """
    return alpha * time_need + beta * urgency + gamma * wait
