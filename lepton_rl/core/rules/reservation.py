"""Reservation: hold the node set that frees first for a critical task that cannot start.

The Lepton reservation holds R_reserve = max(R_req, R_max - R_alloc) of a node
(`lepton.reserve_amount`): all that is unallocated there, at least what the task needs. So a held
node is drained: nothing new starts on it, unless it will end before the reservation begins.
"""

from __future__ import annotations

from lepton_rl.core.compiled import compiled
from lepton_rl.core.rules.backfill import Scratch, shadow_pool
from lepton_rl.core.rules.placement import Place, gang_capacity, give_back, place_gang
from lepton_rl.core.tables import NO_TASK, View

__all__ = ["reserve_for_critical"]

_BEST_FIT = int(Place.BEST_FIT)


@compiled
def reserve_for_critical(view: View, scratch: Scratch, b: int) -> int:
    """Renew the reservation: for the first critical task, in FCFS order, that cannot start now.

    Every driver calls it before every decision, so that policies see the nodes that are held. It
    costs nothing while no critical task is pending: nodes are held for pending tasks only.

    Returns:
        The local index of the task that cannot start now, -1 if none.
    """
    if view.status[b].num_critical == 0:
        return NO_TASK
    pool = view.pool
    for m in range(view.nodes.rows.shape[0]):
        pool.rows[b, m].held_by = NO_TASK
    for position in range(view.status[b].num_pending):
        local = view.pending[b, position]
        row = view.status[b].first_row + local
        if not view.tasks[row].critical:
            continue
        if gang_capacity(view.tasks, view.nodes, pool, b, row) < view.tasks[row].replicas:
            _hold(view, scratch, b, local, row)
            return local
    return NO_TASK


@compiled
def _hold(view: View, scratch: Scratch, b: int, local: int, row: int) -> None:
    """Hold the nodes on which the task fits first, if running tasks end when they said."""
    tasks, nodes, later = view.tasks, view.nodes, scratch.pool
    shadow_us = shadow_pool(view, scratch, b, local)
    for m in range(nodes.rows.shape[0]):
        later.rows[b, m].held_by = NO_TASK
    fits = place_gang(
        tasks,
        nodes,
        later,
        b,
        local,
        row,
        shadow_us,
        _BEST_FIT,
        scratch.choice,
    )
    if not fits:
        return
    for replica in range(tasks[row].replicas):
        m = scratch.choice[b, replica].node
        give_back(tasks, nodes, later, b, row, m, scratch.choice[b, replica].cards)
        view.pool.rows[b, m].held_by = local
        view.pool.rows[b, m].held_from_us = shadow_us
