"""Entering and leaving the queue and the running set.

Both are arrays kept in order (arrival, expected end), so that rules walk them without sorting.
"""

from __future__ import annotations

from lepton_rl.core.compiled import compiled, inlined
from lepton_rl.core.rules.allocation import give_back_run
from lepton_rl.core.rules.signals import note_arrival, note_start
from lepton_rl.core.rules.tenants import hold_for_tenant
from lepton_rl.core.rules.times import corrected_us, duration_us, gang_speed, remaining_us
from lepton_rl.core.tables import NO_TASK, Ints, View

__all__ = ["arrive", "correct_outlived", "enter_queue", "enter_run", "leave_queue", "leave_run"]


@inlined
def arrive(view: View, b: int, local: int) -> None:
    """A task that nothing is known of yet becomes pending."""
    view.spans[b, local].kept_us = 0
    view.spans[b, local].served_us = 0
    view.spans[b, local].running = False
    view.spans[b, local].stopping = False
    note_arrival(view, b)
    enter_queue(view, b, local)


@inlined
def enter_queue(view: View, b: int, local: int) -> None:
    """Put a task among the pending ones, behind everything that was submitted no later."""
    first_row = view.status[b].first_row
    position = view.status[b].num_pending
    submit_us = view.tasks[first_row + local].submit_us
    while position > 0:
        ahead = view.pending[b, position - 1]
        if view.tasks[first_row + ahead].submit_us <= submit_us:
            break
        view.pending[b, position] = ahead
        position -= 1
    view.pending[b, position] = local
    view.status[b].num_pending += 1
    if view.tasks[first_row + local].critical:
        view.status[b].num_critical += 1


@inlined
def _take_out(listed: Ints, b: int, count: int, local: int) -> bool:
    """Take a task out of the first `count` of a row and close the gap; False if it is not there."""
    position = 0
    while position < count and listed[b, position] != local:
        position += 1
    for later in range(position + 1, count):
        listed[b, later - 1] = listed[b, later]
    return position < count


@inlined
def leave_queue(view: View, b: int, local: int) -> bool:
    """Take a task out of the queue; False if it was not pending.

    Nodes held for it are held no longer.
    """
    if not _take_out(view.pending, b, view.status[b].num_pending, local):
        return False
    view.status[b].num_pending -= 1
    if view.tasks[view.status[b].first_row + local].critical:  # nodes are held for no others
        view.status[b].num_critical -= 1
        for m in range(view.nodes.rows.shape[0]):
            if view.pool.rows[b, m].held_by == local:
                view.pool.rows[b, m].held_by = NO_TASK
    return True


@compiled
def enter_run(view: View, b: int, local: int) -> None:
    """Move a pending task, whose nodes are already taken, to the running set; it starts now."""
    row = view.status[b].first_row + local
    leave_queue(view, b, local)
    tasks, now_us = view.tasks, view.status[b].now_us
    speed = gang_speed(view.nodes, tasks[row].task_class, view.held, b, local, tasks[row].replicas)
    view.spans[b, local].speed = speed
    view.spans[b, local].start_us = now_us
    end_us = now_us + duration_us(remaining_us(view, b, local), speed)
    view.spans[b, local].expected_end_us = end_us
    view.spans[b, local].running = True
    view.spans[b, local].stopping = False
    hold_for_tenant(view, b, row, 1)
    note_start(view, b, row)
    _insert_by_end(view, b, local, view.status[b].num_running)
    view.status[b].num_running += 1


@compiled
def _insert_by_end(view: View, b: int, local: int, position: int) -> None:
    """Put a task into the running set; places from `position` on are free to write."""
    while position > 0 and _ends_after(view, b, view.running[b, position - 1], local):
        view.running[b, position] = view.running[b, position - 1]
        position -= 1
    view.running[b, position] = local


@compiled
def _ends_after(view: View, b: int, one: int, other: int) -> bool:
    """Order of the running set: by expected end, then by local index."""
    if view.spans[b, one].expected_end_us != view.spans[b, other].expected_end_us:
        return view.spans[b, one].expected_end_us > view.spans[b, other].expected_end_us
    return one > other


@compiled
def leave_run(view: View, b: int, local: int) -> bool:
    """Take a task out of the running set and give back its nodes; False if it was not running."""
    if not _take_out(view.running, b, view.status[b].num_running, local):
        return False
    view.status[b].num_running -= 1
    row = view.status[b].first_row + local
    view.spans[b, local].running = False
    view.spans[b, local].stopping = False
    view.spans[b, local].served_us += view.status[b].now_us - view.spans[b, local].start_us
    hold_for_tenant(view, b, row, -1)
    give_back_run(view, b, view.pool, b, local)
    return True


@inlined
def correct_outlived(view: View, b: int) -> None:
    """Raise the expected ends of tasks that outlive a prediction below what their users asked for.

    Every driver calls it when the clock has moved. Where estimates are the users' own, it changes
    nothing: a task that outlives its request is expected to end now.
    """
    position = 0
    while position < view.status[b].num_running:
        local = view.running[b, position]
        if view.spans[b, local].expected_end_us > view.status[b].now_us:
            return
        end_us = corrected_us(view, b, local)
        if end_us <= view.spans[b, local].expected_end_us:
            position += 1
            continue
        _take_out(view.running, b, view.status[b].num_running, local)
        view.spans[b, local].expected_end_us = end_us
        _insert_by_end(view, b, local, view.status[b].num_running - 1)
