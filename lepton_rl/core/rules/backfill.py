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
    NO_NODE,
    Indices,
    Ints,
    NodeTable,
    PoolTable,
    View,
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


class Scratch(NamedTuple):
    """Work space of the rules; never part of what a policy sees."""

    pool: PoolTable  # the pool as it will be at the shadow time
    chosen: Indices  # (B, G) nodes of the decision just made
    card_sets: Ints  # (B, G) card bits of the decision just made
    blocked: Indices  # (B,) local index of the task that keeps the head (repo rules), or -1
    blocked_shadow_us: Ints  # (B,) its shadow time, fixed when it blocked


def empty_scratch(nodes: NodeTable, batch: int, largest_gang: int) -> Scratch:
    """Work space for `batch` environments."""
    return Scratch(
        pool=empty_pool(nodes, batch),
        chosen=np.full((batch, largest_gang), NO_NODE, np.int32),
        card_sets=np.zeros((batch, largest_gang), np.int64),
        blocked=np.full(batch, NO_NODE, np.int32),
        blocked_shadow_us=np.zeros(batch, np.int64),
    )


@compiled
def shadow_pool(view: View, scratch: Scratch, b: int, head: int) -> int:
    """Shadow time of the blocked task `head`, in us; leaves the pool at that time in `scratch`.

    Tasks that outlive their estimate are expected to end now. Releases are counted in order of
    (expected end, local index) up to the one that makes room for `head`; what is then free beyond
    its demand is spare. Further releases at that same instant are not counted, as in the published
    figures.
    """
    tasks, nodes, pool, run, later = view.tasks, view.nodes, view.pool, view.run, scratch.pool
    for m in range(nodes.capacity.shape[0]):
        later.replicas_on[b, m] = pool.replicas_on[b, m]
        for k in range(nodes.capacity.shape[1]):
            later.free[b, m, k] = pool.free[b, m, k]
        for column in range(nodes.cards.shape[1]):
            later.card_free[b, m, column] = pool.card_free[b, m, column]
    head_row = view.queue.first_row[b] + head
    room = 0
    for m in range(nodes.capacity.shape[0]):
        room += replica_capacity(tasks, nodes, later, b, head_row, m)
    for position in range(run.num_running[b]):
        local = run.running[b, position]
        row = view.queue.first_row[b] + local
        for replica in range(tasks.replicas[row]):
            m = run.nodes[b, local, replica]
            room -= replica_capacity(tasks, nodes, later, b, head_row, m)
            give_back(tasks, nodes, later, b, row, m, run.card_sets[b, local, replica])
            room += replica_capacity(tasks, nodes, later, b, head_row, m)
        if room >= tasks.replicas[head_row]:
            return max(run.expected_end_us[b, local], view.queue.now_us[b])
    return _NEVER_US


@compiled
def easy_candidate(view: View, scratch: Scratch, b: int, head: int, place: int) -> int:
    """First task in FCFS order that may start although `head` is blocked, -1 if none.

    Its nodes are taken from the pool and written to `scratch.chosen` and `scratch.card_sets`.
    """
    queue = view.queue
    shadow_us = shadow_pool(view, scratch, b, head)
    head_row = queue.first_row[b] + head
    for position in range(queue.num_pending[b]):
        local = queue.pending[b, position]
        if local == head:
            continue
        row = queue.first_row[b] + local
        if not choose_nodes(view, scratch, b, local, place):
            continue
        if queue.now_us[b] + view.tasks.requested_us[row] <= shadow_us:
            return local
        if _head_fits_beside(view, scratch, b, head_row, row):
            return local
        undo_choice(view, scratch, b, row)
    return -1


@compiled
def _head_fits_beside(view: View, scratch: Scratch, b: int, head_row: int, row: int) -> bool:
    """Whether the blocked task fits at the shadow time beside task `row` on its chosen nodes."""
    tasks, nodes, later = view.tasks, view.nodes, scratch.pool
    for replica in range(tasks.replicas[row]):
        m, cards = scratch.chosen[b, replica], scratch.card_sets[b, replica]
        retake(tasks, nodes, later, b, row, m, cards)
    fits = gang_capacity(tasks, nodes, later, b, head_row) >= tasks.replicas[head_row]
    for replica in range(tasks.replicas[row]):
        m, cards = scratch.chosen[b, replica], scratch.card_sets[b, replica]
        give_back(tasks, nodes, later, b, row, m, cards)
    return fits


@compiled
def undo_choice(view: View, scratch: Scratch, b: int, row: int) -> None:
    """Give back to the pool what `place_gang` just took for task `row`."""
    for replica in range(view.tasks.replicas[row]):
        m, cards = scratch.chosen[b, replica], scratch.card_sets[b, replica]
        give_back(view.tasks, view.nodes, view.pool, b, row, m, cards)


@compiled
def fixed_shadow_candidate(view: View, scratch: Scratch, b: int, place: int) -> int:
    """First task in FCFS order that fits and ends before `scratch.blocked_shadow_us`, -1 if none.

    The RLScheduler rule: the comparison is strict and spare processors do not count.
    """
    queue = view.queue
    for position in range(queue.num_pending[b]):
        local = queue.pending[b, position]
        row = queue.first_row[b] + local
        ends_us = queue.now_us[b] + view.tasks.requested_us[row]
        if local == scratch.blocked[b] or ends_us >= scratch.blocked_shadow_us[b]:
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
        view.queue.first_row[b] + local,
        place,
        scratch.chosen,
        scratch.card_sets,
    )
