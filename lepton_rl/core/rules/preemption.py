"""Preemption: which running tasks give way to a blocked one that comes before them."""

from __future__ import annotations

import math

from lepton_rl.core.compiled import compiled
from lepton_rl.core.rules.allocation import give_back_run, retake
from lepton_rl.core.rules.orders import PriorityWeights, score
from lepton_rl.core.rules.placement import has_room
from lepton_rl.core.rules.pools import copy_pool
from lepton_rl.core.rules.scratch import Scratch
from lepton_rl.core.tables import NO_TASK, View

__all__ = ["first_victim"]


@compiled
def first_victim(
    view: View, scratch: Scratch, b: int, head: int, order: int, weights: PriorityWeights
) -> int:
    """Running task to be stopped next so that the blocked task `head` can start, -1 if none.

    Only preemptible tasks with a higher score than the head's give way, the highest first (then the
    highest index), and none unless they make room together; one whose nodes do not help in the end
    is spared. Tasks that are being stopped already count as gone. Nodes held for a critical task
    are no room: whoever were stopped there for nothing would start again, and be stopped again.
    """
    copy_pool(view.nodes, view.pool, b, scratch.pool, b)
    for position in range(view.status[b].num_running):
        if view.spans[b, view.running[b, position]].stopping:
            give_back_run(view, b, scratch.pool, b, view.running[b, position])
    bound = score(order, view, b, head, weights)
    top, top_score = NO_TASK, math.inf
    while not has_room(view, b, scratch.pool, b, head):
        top, top_score = _highest_below(view, b, order, weights, bound, top, top_score)
        if top == NO_TASK:
            return NO_TASK
        give_back_run(view, b, scratch.pool, b, top)
    return _highest_needed(view, scratch, b, head, order, weights, top)


@compiled
def _may_stop(view: View, b: int, local: int) -> bool:
    row = view.status[b].first_row + local
    return view.tasks[row].preemptible and not view.spans[b, local].stopping


@compiled
def _highest_below(
    view: View,
    b: int,
    order: int,
    weights: PriorityWeights,
    bound: float,
    top: int,
    top_score: float,
) -> tuple[int, float]:
    """The task with the highest (score, index) below `top`'s and a score above `bound`.

    With `top` NO_TASK, the highest of all; NO_TASK if there is none.
    """
    best, best_score = NO_TASK, bound
    for position in range(view.status[b].num_running):
        local = view.running[b, position]
        if not _may_stop(view, b, local):
            continue
        current = score(order, view, b, local, weights)
        is_below = top == NO_TASK or current < top_score or (current == top_score and local < top)
        is_best = current > best_score or (
            best != NO_TASK and current == best_score and local > best
        )
        if is_below and is_best:
            best, best_score = local, current
    return best, best_score


@compiled
def _highest_needed(
    view: View,
    scratch: Scratch,
    b: int,
    head: int,
    order: int,
    weights: PriorityWeights,
    lowest: int,
) -> int:
    """Of the released tasks, `lowest` and all above it, the highest that cannot be spared."""
    found = NO_TASK
    lowest_score = score(order, view, b, lowest, weights) if lowest != NO_TASK else math.inf
    current, current_score = lowest, lowest_score
    while current != NO_TASK:
        _take_again(view, scratch, b, current)
        if not has_room(view, b, scratch.pool, b, head):
            give_back_run(view, b, scratch.pool, b, current)
            found = current
        current, current_score = _lowest_above(view, b, order, weights, current, current_score)
    return found


@compiled
def _lowest_above(
    view: View, b: int, order: int, weights: PriorityWeights, floor: int, floor_score: float
) -> tuple[int, float]:
    """The task with the lowest (score, index) above that of `floor`, NO_TASK if there is none."""
    best, best_score = NO_TASK, math.inf
    for position in range(view.status[b].num_running):
        local = view.running[b, position]
        if not _may_stop(view, b, local):
            continue
        current = score(order, view, b, local, weights)
        is_above = current > floor_score or (current == floor_score and local > floor)
        is_best = (
            best == NO_TASK or current < best_score or (current == best_score and local < best)
        )
        if is_above and is_best:
            best, best_score = local, current
    return best, best_score


@compiled
def _take_again(view: View, scratch: Scratch, b: int, local: int) -> None:
    """Undo `give_back_run` in `scratch.pool`."""
    row = view.status[b].first_row + local
    for replica in range(view.tasks[row].replicas):
        held = view.held[b, local, replica]
        retake(view.tasks, view.nodes, scratch.pool, b, row, held.node, held.cards)
