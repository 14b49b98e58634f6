"""Entering and leaving the queue and the running set.

Both are arrays kept in order (arrival, expected end), so that rules walk them without sorting.
"""

from __future__ import annotations

from lepton_rl.core.compiled import compiled
from lepton_rl.core.rules.placement import give_back
from lepton_rl.core.tables import NO_TASK, View

__all__ = ["enter_queue", "enter_run", "leave_queue", "leave_run"]


@compiled
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


@compiled
def leave_queue(view: View, b: int, local: int) -> bool:
    """Take a task out of the queue; False if it was not pending.

    Nodes held for it are held no longer.
    """
    position = 0
    count = view.status[b].num_pending
    while position < count and view.pending[b, position] != local:
        position += 1
    if position == count:
        return False
    for later in range(position + 1, count):
        view.pending[b, later - 1] = view.pending[b, later]
    view.status[b].num_pending = count - 1
    if view.tasks[view.status[b].first_row + local].critical:
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
    view.spans[b, local].start_us = view.status[b].now_us
    end_us = view.status[b].now_us + view.tasks[row].requested_us
    view.spans[b, local].expected_end_us = end_us
    position = view.status[b].num_running
    while position > 0 and _ends_after(view, b, view.running[b, position - 1], local):
        view.running[b, position] = view.running[b, position - 1]
        position -= 1
    view.running[b, position] = local
    view.status[b].num_running += 1


@compiled
def _ends_after(view: View, b: int, one: int, other: int) -> bool:
    """Order of the running set: by expected end, then by local index."""
    if view.spans[b, one].expected_end_us != view.spans[b, other].expected_end_us:
        return view.spans[b, one].expected_end_us > view.spans[b, other].expected_end_us
    return one > other


@compiled
def leave_run(view: View, b: int, local: int) -> bool:
    """Take a task out of the running set and give back its nodes; False if it was not running."""
    position = 0
    count = view.status[b].num_running
    while position < count and view.running[b, position] != local:
        position += 1
    if position == count:
        return False
    for later in range(position + 1, count):
        view.running[b, later - 1] = view.running[b, later]
    view.status[b].num_running = count - 1
    row = view.status[b].first_row + local
    for replica in range(view.tasks[row].replicas):
        give_back(
            view.tasks,
            view.nodes,
            view.pool,
            b,
            row,
            view.held[b, local, replica].node,
            view.held[b, local, replica].cards,
        )
    return True
