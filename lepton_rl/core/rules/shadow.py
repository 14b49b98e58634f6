"""Shadow time: when a blocked task can start, if what runs ends when it said it would."""

from __future__ import annotations

from lepton_rl.core.compiled import compiled
from lepton_rl.core.rules.allocation import give_back
from lepton_rl.core.rules.fit import held_from_us, replica_capacity
from lepton_rl.core.rules.pools import copy_pool
from lepton_rl.core.rules.scratch import Scratch
from lepton_rl.core.rules.times import remaining_us
from lepton_rl.core.tables import NEVER_US, View

__all__ = ["shadow_pool"]


@compiled
def shadow_pool(view: View, scratch: Scratch, b: int, head: int) -> int:
    """Shadow time of the blocked task `head`, in us; leaves the pool at that time in `scratch`.

    Tasks that outlive their estimate are expected to end now. Releases are counted in order of
    (expected end, local index) up to the one that makes room for `head`; what is then free beyond
    its demand is spare. Further releases at that same instant are not counted, as in the published
    figures.

    A head that has room, but only on nodes held for a critical task, waits for that one to end.
    """
    tasks, nodes, later = view.tasks, view.nodes, scratch.pool
    copy_pool(nodes, view.pool, b, later, b)
    row = view.status[b].first_row + head
    room = 0
    for m in range(nodes.rows.shape[0]):
        room += replica_capacity(tasks, nodes, later, b, row, m)
    if room >= tasks[row].replicas:
        return _end_of_holder_us(view, b, head)
    for position in range(view.status[b].num_running):
        local = view.running[b, position]
        room += _release(view, scratch, b, local, row)
        if room >= tasks[row].replicas:
            return max(view.spans[b, local].expected_end_us, view.status[b].now_us)
    return NEVER_US


@compiled
def _release(view: View, scratch: Scratch, b: int, local: int, head_row: int) -> int:
    """Give back in `scratch.pool` what a running task holds; how many replicas of the head more."""
    tasks, nodes, later = view.tasks, view.nodes, scratch.pool
    row = view.status[b].first_row + local
    gained = 0
    for replica in range(tasks[row].replicas):
        held = view.held[b, local, replica]
        gained -= replica_capacity(tasks, nodes, later, b, head_row, held.node)
        give_back(tasks, nodes, later, b, row, held.node, held.cards)
        gained += replica_capacity(tasks, nodes, later, b, head_row, held.node)
    return gained


@compiled
def _end_of_holder_us(view: View, b: int, head: int) -> int:
    """When the critical task will end that nodes are held for; NEVER_US if there is none."""
    for m in range(view.nodes.rows.shape[0]):
        from_us = held_from_us(view.pool, b, m, head)
        if from_us != NEVER_US:
            holder = view.pool.rows[b, m].held_by
            return max(from_us, view.status[b].now_us) + remaining_us(view, b, holder)
    return NEVER_US
