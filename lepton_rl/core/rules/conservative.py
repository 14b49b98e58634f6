"""Conservative backfilling: every task ahead keeps the start that it was promised.

Mu'alem and Feitelson (TPDS 2001). The plan is a list of segments of time with what is free in each,
by the estimates of what runs. The head, then the other tasks in FCFS order, get the earliest start
at which they fit for as long as they will run; whoever gets "now" starts. The plan is made anew at
each decision, so early ends are used at once; it looks no further than `PLAN_DEPTH` tasks, as
Slurm's bf_max_job_test does.
"""

from __future__ import annotations

from lepton_rl.core.compiled import compiled
from lepton_rl.core.rules.allocation import give_back_run, retake
from lepton_rl.core.rules.fit import gang_capacity
from lepton_rl.core.rules.placement import place_gang, take_nodes, undo_nodes
from lepton_rl.core.rules.pools import copy_pool, keep_least
from lepton_rl.core.rules.scratch import Scratch
from lepton_rl.core.rules.times import duration_us, expected_end_on_us, remaining_us
from lepton_rl.core.tables import NO_TASK, View

__all__ = ["PLAN_DEPTH", "conservative_candidate", "plan_segments"]

PLAN_DEPTH = 256
"""Pending tasks that are planned; Slurm's default is 500."""


def plan_segments(num_running: int) -> int:
    """Segments that a plan may need while so many tasks run."""
    return num_running + PLAN_DEPTH + 2


@compiled
def conservative_candidate(view: View, scratch: Scratch, b: int, head: int, place: int) -> int:
    """First task in FCFS order that may start although `head` is blocked, -1 if none.

    Its nodes are taken from the pool and written to `scratch.choice`. Nothing can start once the
    scratch has too few segments for the plan.
    """
    count = _plan_releases(view, scratch, b)
    count = _plan_task(view, scratch, b, head, place, count)
    if count == _STARTS_NOW:
        return head
    for position in range(min(view.status[b].num_pending, PLAN_DEPTH)):
        local = view.pending[b, position]
        if local == head:
            continue
        if count < 0:
            return NO_TASK
        count = _plan_task(view, scratch, b, local, place, count)
        if count == _STARTS_NOW:
            return local
    return NO_TASK


_STARTS_NOW = -2
_NO_ROOM = -1


@compiled
def _plan_releases(view: View, scratch: Scratch, b: int) -> int:
    """Segments between the expected ends of what runs; returns how many there are.

    Tasks that outlive their estimate hold their nodes for one more microsecond.
    """
    plan, nodes = scratch.plan, view.nodes
    copy_pool(nodes, view.pool, b, plan.pool, 0)
    plan.begin_us[0] = view.status[b].now_us
    plan.following[0] = -1
    count = 1
    for position in range(view.status[b].num_running):
        local = view.running[b, position]
        end_us = max(view.spans[b, local].expected_end_us, view.status[b].now_us + 1)
        if plan.begin_us[count - 1] != end_us:
            copy_pool(nodes, plan.pool, count - 1, plan.pool, count)
            plan.begin_us[count] = end_us
            plan.following[count - 1] = count
            plan.following[count] = -1
            count += 1
        give_back_run(view, b, plan.pool, count - 1, local)
    return count


@compiled
def _plan_task(view: View, scratch: Scratch, b: int, local: int, place: int, count: int) -> int:
    """Give a task its earliest start.

    Returns:
        How many segments there are then, _NO_ROOM if the scratch has too few, or _STARTS_NOW; then
        its nodes are taken from the view's pool and named in `scratch.choice`.
    """
    plan, tasks = scratch.plan, view.tasks
    row = view.status[b].first_row + local
    segment = 0
    while segment >= 0:
        if _fits_from(view, scratch, b, local, row, segment, place):
            undo_nodes(view, scratch.pool, b, row, scratch.choice, b, tasks[row].replicas)
            if segment == 0:
                now_us = view.status[b].now_us
                if take_nodes(view, b, view.pool, b, local, now_us, scratch.choice) < 0:
                    return _STARTS_NOW
            if count + 1 > plan.begin_us.shape[0]:
                return _NO_ROOM
            return _promise(view, scratch, b, local, row, segment, count)
        segment = plan.following[segment]
    return count


@compiled
def _fits_from(
    view: View, scratch: Scratch, b: int, local: int, row: int, first: int, place: int
) -> bool:
    """Whether a task fits from the beginning of a segment on for as long as it will run.

    What it takes is then taken from `scratch.pool`, and named in `scratch.choice`.
    """
    plan, nodes, least = scratch.plan, view.nodes, scratch.pool
    if gang_capacity(view.tasks, nodes, plan.pool, first, row) < view.tasks[row].replicas:
        return False
    start_us = plan.begin_us[first]
    copy_pool(nodes, plan.pool, first, least, b)
    end_us = start_us + _longest_us(view, b, local, row)
    segment = plan.following[first]
    while segment >= 0 and plan.begin_us[segment] < end_us:
        keep_least(nodes, plan.pool, segment, least, b)
        segment = plan.following[segment]
    return place_gang(view, b, least, b, local, start_us, place, scratch)


@compiled
def _longest_us(view: View, b: int, local: int, row: int) -> int:
    """How long a task would run on the slowest node there is for it."""
    slowest = view.nodes.speed[0, view.tasks[row].task_class]
    for m in range(1, view.nodes.rows.shape[0]):
        slowest = min(slowest, view.nodes.speed[m, view.tasks[row].task_class])
    return duration_us(remaining_us(view, b, local), slowest)


@compiled
def _promise(
    view: View, scratch: Scratch, b: int, local: int, row: int, first: int, count: int
) -> int:
    """Take the chosen nodes from all segments while the task will run; how many there are then."""
    plan, nodes = scratch.plan, view.nodes
    end_us = plan.begin_us[first]
    for replica in range(view.tasks[row].replicas):
        m = scratch.choice[b, replica].node
        end_us = max(end_us, expected_end_on_us(view, b, local, plan.begin_us[first], m))
    segment = first
    while segment >= 0 and plan.begin_us[segment] < end_us:
        after = plan.following[segment]
        if after < 0 or plan.begin_us[after] > end_us:
            copy_pool(nodes, plan.pool, segment, plan.pool, count)
            plan.begin_us[count] = end_us
            plan.following[count] = after
            plan.following[segment] = count
            count += 1
        for replica in range(view.tasks[row].replicas):
            chosen = scratch.choice[b, replica]
            retake(view.tasks, nodes, plan.pool, segment, row, chosen.node, chosen.cards)
        segment = plan.following[segment]
    return count
