"""The next decision of order x placement x backfill x preemption.

`decide` is asked again and again at one instant until it answers WAIT. It keeps no memory between
calls, except where the published RLScheduler protocol needs one (`blocking`).
"""

from __future__ import annotations

from typing import NamedTuple

from lepton_rl.core.compiled import compiled, inlined
from lepton_rl.core.rules.backfill import (
    Backfill,
    choose_nodes,
    easy_candidate,
    fixed_shadow_candidate,
    undo_choice,
)
from lepton_rl.core.rules.conservative import conservative_candidate
from lepton_rl.core.rules.orders import Order, PriorityWeights, first_in_order
from lepton_rl.core.rules.placement import Place
from lepton_rl.core.rules.preemption import first_victim
from lepton_rl.core.rules.scratch import Scratch
from lepton_rl.core.rules.shadow import shadow_pool
from lepton_rl.core.tables import NO_TASK, View

__all__ = [
    "WAIT",
    "DispatchRule",
    "decide",
    "is_preemption",
    "propose",
    "propose_head",
    "start_head",
    "victim_of",
]

WAIT = -1
"""No task starts now; ask again after the next event."""


class DispatchRule(NamedTuple):
    """A heuristic: which task, on which nodes, who may overtake a blocked task, who gives way."""

    order: int = int(Order.FCFS)
    place: int = int(Place.FIRST_FIT)
    backfill: int = int(Backfill.NONE)
    weights: PriorityWeights = PriorityWeights()
    blocking: bool = False  # RLScheduler: the task that comes first stays first until it starts
    preempt: bool = False  # a blocked task may have preemptible tasks stopped that come after it


_EASY, _CONSERVATIVE = int(Backfill.EASY), int(Backfill.CONSERVATIVE)
_FIXED_SHADOW = int(Backfill.FIXED_SHADOW)


@compiled
def is_preemption(decision: int) -> bool:
    """Whether `decide` wants a task stopped."""
    return decision < WAIT


@compiled
def victim_of(decision: int) -> int:
    """The local index of the task that `decide` wants stopped; its own inverse."""
    return WAIT - 1 - decision


@inlined
def start_head(view: View, scratch: Scratch, b: int, head: int, place: int, backfill: int) -> int:
    """Start `head` if it fits, else whom `backfill` lets overtake it, else WAIT.

    Returns:
        Local index of the task that starts; its nodes are taken from the pool and written to
        `scratch.choice`.
    """
    if choose_nodes(view, scratch, b, head, place):
        return head
    if backfill == _EASY:
        return easy_candidate(view, scratch, b, head, place)
    if backfill == _CONSERVATIVE:
        return conservative_candidate(view, scratch, b, head, place)
    return WAIT


@compiled
def decide(view: View, scratch: Scratch, b: int, rule: DispatchRule) -> int:
    """The next decision of a heuristic.

    Returns:
        What `start_head` returns, or a preemption (`is_preemption`, `victim_of`).
    """
    if view.status[b].num_pending == 0:
        return WAIT
    if rule.blocking:
        return _decide_blocking(view, scratch, b, rule)
    head = first_in_order(view, b, rule.order, rule.weights)
    if rule.preempt and not choose_nodes(view, scratch, b, head, rule.place):
        victim = first_victim(view, scratch, b, head, rule.order, rule.weights)
        if victim != NO_TASK:
            return victim_of(victim)
    elif rule.preempt:
        return head
    return start_head(view, scratch, b, head, rule.place, rule.backfill)


@compiled
def propose(view: View, scratch: Scratch, b: int, rule: DispatchRule) -> int:
    """`decide`, with the pool as it was before: only `scratch.choice` names the nodes."""
    decision = decide(view, scratch, b, rule)
    if decision > WAIT:
        undo_choice(view, scratch, b, view.status[b].first_row + decision)
    return decision


@compiled
def propose_head(view: View, scratch: Scratch, b: int, head: int, place: int, backfill: int) -> int:
    """`start_head`, likewise."""
    local = start_head(view, scratch, b, head, place, backfill)
    if local != WAIT:
        undo_choice(view, scratch, b, view.status[b].first_row + local)
    return local


@compiled
def _decide_blocking(view: View, scratch: Scratch, b: int, rule: DispatchRule) -> int:
    newly_blocked = scratch.blocked[b].task == NO_TASK
    if newly_blocked:
        scratch.blocked[b].task = first_in_order(view, b, rule.order, rule.weights)
    head = scratch.blocked[b].task
    if choose_nodes(view, scratch, b, head, rule.place):
        scratch.blocked[b].task = NO_TASK
        return head
    if newly_blocked:
        scratch.blocked[b].shadow_us = shadow_pool(view, scratch, b, head)
    if rule.backfill == _FIXED_SHADOW:
        return fixed_shadow_candidate(view, scratch, b, rule.place)
    return WAIT
