"""Backfilling: who may start while the first task in order is blocked.

EASY (Mu'alem and Feitelson, "Utilization, predictability, workloads, and user runtime estimates in
scheduling the IBM SP2 with backfilling", TPDS 2001) protects the blocked task alone: its shadow
time is when it can start if every running task ends when it said it would. A task may start before
it if it ends by the shadow time, or if the blocked task still fits at the shadow time beside it.
Conservative backfilling protects all tasks ahead; see `conservative`.
"""

from __future__ import annotations

from enum import IntEnum

from lepton_rl.core.compiled import compiled
from lepton_rl.core.rules.allocation import give_back, retake
from lepton_rl.core.rules.fit import gang_capacity
from lepton_rl.core.rules.placement import (
    Place,
    add_up_free,
    asks_for_more,
    place_gang,
    take_nodes,
    undo_nodes,
)
from lepton_rl.core.rules.pools import copy_pool, keep_least
from lepton_rl.core.rules.scratch import Scratch
from lepton_rl.core.rules.shadow import shadow_pool
from lepton_rl.core.rules.times import expected_end_on_us, remaining_us
from lepton_rl.core.tables import NO_TASK, View

__all__ = [
    "Backfill",
    "choose_nodes",
    "easy_candidate",
    "expected_end_of_choice_us",
    "fixed_shadow_candidate",
    "take_chosen",
    "undo_choice",
]

_BEST_FIT = int(Place.BEST_FIT)
_UNKNOWN, _FOUND, _NONE = 0, 1, 2


class Backfill(IntEnum):
    """Which tasks may overtake a blocked one."""

    NONE = 0
    """nobody"""
    EASY = 1
    """whoever does not delay the blocked task, by the estimates"""
    FIXED_SHADOW = 2
    """whoever ends before a shadow time computed once, when the task blocked (RLScheduler)"""
    CONSERVATIVE = 3
    """whoever delays nobody who came before, by the estimates"""


@compiled
def easy_candidate(view: View, scratch: Scratch, b: int, head: int, place: int) -> int:
    """First task in FCFS order that may start although `head` is blocked, -1 if none.

    Its nodes are taken from the pool and written to `scratch.choice`. Where the nodes that the
    placement rule likes best would delay the head, the task may still take nodes that are free both
    now and at the shadow time beside the head.
    """
    shadow_us = shadow_pool(view, scratch, b, head)
    head_row = view.status[b].first_row + head
    spare = _UNKNOWN
    add_up_free(view, b, scratch)
    for position in range(view.status[b].num_pending):
        local = view.pending[b, position]
        if local == head or asks_for_more(view, b, local, scratch):
            continue
        if not choose_nodes(view, scratch, b, local, place):
            continue
        if expected_end_of_choice_us(view, scratch, b, local) <= shadow_us:
            return local
        row = view.status[b].first_row + local
        if _head_fits_beside(view, scratch, b, head_row, row):
            return local
        undo_choice(view, scratch, b, row)
        if spare == _UNKNOWN:
            has_others = view.nodes.rows.shape[0] > 1
            found = has_others and _find_spare(view, scratch, b, head, shadow_us)
            spare = _FOUND if found else _NONE
        if spare == _FOUND and _choose_spare_nodes(view, scratch, b, head_row, local, place):
            return local
    return NO_TASK


@compiled
def expected_end_of_choice_us(view: View, scratch: Scratch, b: int, local: int) -> int:
    """When a task would end that starts now on the nodes in `scratch.choice`."""
    latest_us = 0
    for replica in range(view.tasks[view.status[b].first_row + local].replicas):
        m = scratch.choice[b, replica].node
        latest_us = max(latest_us, expected_end_on_us(view, b, local, view.status[b].now_us, m))
    return latest_us


@compiled
def _head_fits_beside(view: View, scratch: Scratch, b: int, head_row: int, row: int) -> bool:
    """Whether the blocked task fits at the shadow time beside task `row` on its chosen nodes."""
    tasks, nodes, later = view.tasks, view.nodes, scratch.pool
    for replica in range(tasks[row].replicas):
        chosen = scratch.choice[b, replica]
        retake(tasks, nodes, later, b, row, chosen.node, chosen.cards)
    fits = gang_capacity(tasks, nodes, later, b, head_row) >= tasks[head_row].replicas
    for replica in range(tasks[row].replicas):
        chosen = scratch.choice[b, replica]
        give_back(tasks, nodes, later, b, row, chosen.node, chosen.cards)
    return fits


@compiled
def _find_spare(view: View, scratch: Scratch, b: int, head: int, shadow_us: int) -> bool:
    """What is free both now and at the shadow time beside the head, into `scratch.spare`."""
    later, row = scratch.pool, view.status[b].first_row + head
    if not place_gang(view, b, later, b, head, shadow_us, _BEST_FIT, scratch):
        return False
    copy_pool(view.nodes, view.pool, b, scratch.spare, b)
    keep_least(view.nodes, later, b, scratch.spare, b)
    undo_nodes(view, later, b, row, scratch.choice, b, view.tasks[row].replicas)
    return True


@compiled
def _choose_spare_nodes(
    view: View, scratch: Scratch, b: int, head_row: int, local: int, place: int
) -> bool:
    """Take nodes among what `_find_spare` found; False if the task does not fit there."""
    now_us, row = view.status[b].now_us, view.status[b].first_row + local
    if not place_gang(view, b, scratch.spare, b, local, now_us, place, scratch):
        return False
    undo_nodes(view, scratch.spare, b, row, scratch.choice, b, view.tasks[row].replicas)
    if take_nodes(view, b, view.pool, b, local, now_us, scratch.choice) >= 0:
        return False
    if _head_fits_beside(view, scratch, b, head_row, row):  # the cards may be others
        return True
    undo_choice(view, scratch, b, row)
    return False


@compiled
def undo_choice(view: View, scratch: Scratch, b: int, row: int) -> None:
    """Give back to the pool what `place_gang` just took for task `row`."""
    undo_nodes(view, view.pool, b, row, scratch.choice, b, view.tasks[row].replicas)


@compiled
def fixed_shadow_candidate(view: View, scratch: Scratch, b: int, place: int) -> int:
    """First task in FCFS order that fits and ends before `scratch.blocked.shadow_us`, -1 if none.

    The RLScheduler rule: the comparison is strict and spare processors do not count.
    """
    add_up_free(view, b, scratch)
    for position in range(view.status[b].num_pending):
        local = view.pending[b, position]
        ends_us = view.status[b].now_us + remaining_us(view, b, local)
        if local == scratch.blocked[b].task or ends_us >= scratch.blocked[b].shadow_us:
            continue
        if asks_for_more(view, b, local, scratch):
            continue
        if choose_nodes(view, scratch, b, local, place):
            return local
    return NO_TASK


@compiled
def take_chosen(view: View, scratch: Scratch, b: int, local: int) -> int:
    """Take for a task exactly the nodes that `scratch.choice` names; see `take_nodes`."""
    return take_nodes(view, b, view.pool, b, local, view.status[b].now_us, scratch.choice)


@compiled
def choose_nodes(view: View, scratch: Scratch, b: int, local: int, place: int) -> bool:
    """Take nodes for a task, into `scratch.choice`; False if it is blocked."""
    now_us = view.status[b].now_us
    return place_gang(view, b, view.pool, b, local, now_us, place, scratch)
