"""Reservation: hold the node set that frees first for a critical task that cannot start.

The Lepton reservation holds R_reserve = max(R_req, R_max - R_alloc) of a node
(`lepton.reserve_amount`): all that is unallocated there, at least what the task needs. So a held
node is drained: nothing new starts on it, unless it will end before the reservation begins. Once
the task fits, it starts at once, whatever the policy would do: a reservation is a promise.
"""

from __future__ import annotations

from lepton_rl.core.compiled import compiled
from lepton_rl.core.rules.allocation import give_back
from lepton_rl.core.rules.backfill import choose_nodes
from lepton_rl.core.rules.fit import gang_capacity
from lepton_rl.core.rules.placement import Place, place_gang
from lepton_rl.core.rules.queueing import correct_outlived
from lepton_rl.core.rules.scratch import Scratch
from lepton_rl.core.rules.shadow import shadow_pool
from lepton_rl.core.tables import NO_TASK, View

__all__ = ["reserve"]

_BEST_FIT = int(Place.BEST_FIT)


@compiled
def reserve(view: View, scratch: Scratch, b: int) -> int:
    """Renew expectations and the reservation; every driver calls it before every decision.

    Expected ends that have been outlived are corrected. Then nodes are held for the first critical
    task, in FCFS order, that cannot start now, so that policies see them; without a critical task
    pending that costs nothing.

    Returns:
        The local index of a task that nodes were held for and that fits now, NO_TASK if there is
        none. Its nodes are taken and written to `scratch.choice`: the driver starts it.
    """
    correct_outlived(view, b)
    if view.status[b].num_critical == 0:
        return NO_TASK
    pool = view.pool
    promised = NO_TASK
    for m in range(view.nodes.rows.shape[0]):
        if pool.rows[b, m].held_by != NO_TASK:
            promised = pool.rows[b, m].held_by
            pool.rows[b, m].held_by = NO_TASK
    if promised != NO_TASK and choose_nodes(view, scratch, b, promised, _BEST_FIT):
        return promised
    for position in range(view.status[b].num_pending):
        local = view.pending[b, position]
        row = view.status[b].first_row + local
        if not view.tasks[row].critical:
            continue
        if gang_capacity(view.tasks, view.nodes, pool, b, row) < view.tasks[row].replicas:
            _hold(view, scratch, b, local, row)
            return NO_TASK
    return NO_TASK


@compiled
def _hold(view: View, scratch: Scratch, b: int, local: int, row: int) -> None:
    """Hold the nodes on which the task fits first, if running tasks end when they said."""
    tasks, nodes, later = view.tasks, view.nodes, scratch.pool
    shadow_us = shadow_pool(view, scratch, b, local)
    if not place_gang(view, b, later, b, local, shadow_us, _BEST_FIT, scratch):
        return
    for replica in range(tasks[row].replicas):
        m = scratch.choice[b, replica].node
        give_back(tasks, nodes, later, b, row, m, scratch.choice[b, replica].cards)
        view.pool.rows[b, m].held_by = local
        view.pool.rows[b, m].held_from_us = shadow_us
