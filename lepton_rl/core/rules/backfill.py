"""Backfilling: who may start while the first task in order is blocked.

EASY (Mu'alem and Feitelson, "Utilization, predictability, workloads, and user runtime estimates in
scheduling the IBM SP2 with backfilling", TPDS 2001) protects the blocked task alone: its shadow
time is when it can start if every running task ends when it said it would. A task may start before
it if it ends by the shadow time, or if the blocked task still fits at the shadow time beside it.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np

from lepton_rl.core.compiled import compiled
from lepton_rl.core.rules.placement import (
    gang_capacity,
    give_back,
    place_gang,
    replica_capacity,
    retake,
)
from lepton_rl.core.tables import (
    NO_TASK,
    NodeTable,
    PoolTable,
    Records,
    View,
    empty_choice,
    empty_pool,
)

__all__ = [
    "Backfill",
    "Scratch",
    "choose_nodes",
    "easy_candidate",
    "empty_scratch",
    "fixed_shadow_candidate",
    "shadow_pool",
    "undo_choice",
]


class Backfill(IntEnum):
    """Which tasks may overtake a blocked one."""

    NONE = 0
    """nobody"""
    EASY = 1
    """whoever does not delay the blocked task, by the estimates"""
    FIXED_SHADOW = 2
    """whoever ends before a shadow time computed once, when the task blocked (RLScheduler)"""


_NEVER_US = int(np.iinfo(np.int64).max)


_BLOCKED_DTYPE = np.dtype([("task", np.int64), ("shadow_us", np.int64)], align=True)


class Scratch(NamedTuple):
    """Work space of the rules; never part of what a policy sees."""

    pool: PoolTable  # the pool as it will be at the shadow time
    choice: Records  # (B, G) nodes and cards of the decision just made
    blocked: Records  # (B,) the task that keeps the head (repo rules) and its fixed shadow time


def empty_scratch(nodes: NodeTable, batch: int, largest_gang: int) -> Scratch:
    """Work space for `batch` environments."""
    blocked = np.zeros(batch, _BLOCKED_DTYPE)
    blocked["task"] = NO_TASK
    return Scratch(
        pool=empty_pool(nodes, batch),
        choice=empty_choice((batch, largest_gang)),
        blocked=blocked,
    )


@compiled
def shadow_pool(view: View, scratch: Scratch, b: int, head: int) -> int:
    """Shadow time of the blocked task `head`, in us; leaves the pool at that time in `scratch`.

    Tasks that outlive their estimate are expected to end now. Releases are counted in order of
    (expected end, local index) up to the one that makes room for `head`; what is then free beyond
    its demand is spare. Further releases at that same instant are not counted, as in the published
    figures.
    """
    tasks, nodes, pool, later = view.tasks, view.nodes, view.pool, scratch.pool
    for m in range(nodes.rows.shape[0]):
        later.rows[b, m].replicas_on = pool.rows[b, m].replicas_on
        for k in range(nodes.total.shape[0]):
            later.rows[b, m].free[k] = pool.rows[b, m].free[k]
        for column in range(nodes.cards.shape[1]):
            later.card_free[b, m, column] = pool.card_free[b, m, column]
    head_row = view.status[b].first_row + head
    room = 0
    for m in range(nodes.rows.shape[0]):
        room += replica_capacity(tasks, nodes, later, b, head_row, m)
    for position in range(view.status[b].num_running):
        local = view.running[b, position]
        row = view.status[b].first_row + local
        for replica in range(tasks[row].replicas):
            held = view.held[b, local, replica]
            m = held.node
            room -= replica_capacity(tasks, nodes, later, b, head_row, m)
            give_back(tasks, nodes, later, b, row, m, held.cards)
            room += replica_capacity(tasks, nodes, later, b, head_row, m)
        if room >= tasks[head_row].replicas:
            return max(view.spans[b, local].expected_end_us, view.status[b].now_us)
    return _NEVER_US


@compiled
def easy_candidate(view: View, scratch: Scratch, b: int, head: int, place: int) -> int:
    """First task in FCFS order that may start although `head` is blocked, -1 if none.

    Its nodes are taken from the pool and written to `scratch.choice`.
    """
    shadow_us = shadow_pool(view, scratch, b, head)
    head_row = view.status[b].first_row + head
    for position in range(view.status[b].num_pending):
        local = view.pending[b, position]
        if local == head:
            continue
        row = view.status[b].first_row + local
        if not choose_nodes(view, scratch, b, local, place):
            continue
        if view.status[b].now_us + view.tasks[row].requested_us <= shadow_us:
            return local
        if _head_fits_beside(view, scratch, b, head_row, row):
            return local
        undo_choice(view, scratch, b, row)
    return -1


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
def undo_choice(view: View, scratch: Scratch, b: int, row: int) -> None:
    """Give back to the pool what `place_gang` just took for task `row`."""
    for replica in range(view.tasks[row].replicas):
        chosen = scratch.choice[b, replica]
        give_back(view.tasks, view.nodes, view.pool, b, row, chosen.node, chosen.cards)


@compiled
def fixed_shadow_candidate(view: View, scratch: Scratch, b: int, place: int) -> int:
    """First task in FCFS order that fits and ends before `scratch.blocked_shadow_us`, -1 if none.

    The RLScheduler rule: the comparison is strict and spare processors do not count.
    """
    for position in range(view.status[b].num_pending):
        local = view.pending[b, position]
        row = view.status[b].first_row + local
        ends_us = view.status[b].now_us + view.tasks[row].requested_us
        if local == scratch.blocked[b].task or ends_us >= scratch.blocked[b].shadow_us:
            continue
        if choose_nodes(view, scratch, b, local, place):
            return local
    return -1


@compiled
def choose_nodes(view: View, scratch: Scratch, b: int, local: int, place: int) -> bool:
    """Take nodes for a task, into `scratch.chosen` and `.card_sets`; False if it is blocked."""
    return place_gang(
        view.tasks,
        view.nodes,
        view.pool,
        b,
        local,
        view.status[b].first_row + local,
        view.status[b].now_us,
        place,
        scratch.choice,
    )
