"""Entering and leaving the queue and the running set.

Both are arrays kept in order (arrival, expected end), so that rules walk them without sorting.
"""

from __future__ import annotations

from lepton_rl.core.compiled import compiled
from lepton_rl.core.rules.placement import give_back
from lepton_rl.core.tables import NO_NODE, QueueTable, RunTable, TaskTable, View

__all__ = ["enter_queue", "enter_run", "leave_queue", "leave_run"]


@compiled
def enter_queue(tasks: TaskTable, queue: QueueTable, b: int, local: int) -> None:
    """Put a task among the pending ones, behind everything that was submitted no later."""
    base = queue.first_row[b]
    position = queue.num_pending[b]
    submit_us = tasks.submit_us[base + local]
    while position > 0 and tasks.submit_us[base + queue.pending[b, position - 1]] > submit_us:
        queue.pending[b, position] = queue.pending[b, position - 1]
        position -= 1
    queue.pending[b, position] = local
    queue.num_pending[b] += 1


@compiled
def leave_queue(queue: QueueTable, b: int, local: int) -> bool:
    """Take a task out of the queue; False if it was not pending."""
    position = 0
    count = queue.num_pending[b]
    while position < count and queue.pending[b, position] != local:
        position += 1
    if position == count:
        return False
    for later in range(position + 1, count):
        queue.pending[b, later - 1] = queue.pending[b, later]
    queue.num_pending[b] = count - 1
    return True


@compiled
def enter_run(view: View, b: int, local: int) -> None:
    """Move a pending task, whose nodes are already taken, to the running set, at the clock's now.

    Nodes held for it are held no longer.
    """
    queue, run = view.queue, view.run
    row = queue.first_row[b] + local
    leave_queue(queue, b, local)
    run.start_us[b, local] = queue.now_us[b]
    end_us = queue.now_us[b] + view.tasks.requested_us[row]
    run.expected_end_us[b, local] = end_us
    position = run.num_running[b]
    while position > 0 and _ends_after(run, b, run.running[b, position - 1], local):
        run.running[b, position] = run.running[b, position - 1]
        position -= 1
    run.running[b, position] = local
    run.num_running[b] += 1
    for m in range(view.nodes.capacity.shape[0]):
        if view.pool.held_by[b, m] == local:
            view.pool.held_by[b, m] = NO_NODE


@compiled
def _ends_after(run: RunTable, b: int, one: int, other: int) -> bool:
    """Order of the running set: by expected end, then by local index."""
    if run.expected_end_us[b, one] != run.expected_end_us[b, other]:
        return run.expected_end_us[b, one] > run.expected_end_us[b, other]
    return one > other


@compiled
def leave_run(view: View, b: int, local: int) -> bool:
    """Take a task out of the running set and give back its nodes; False if it was not running."""
    run = view.run
    position = 0
    count = run.num_running[b]
    while position < count and run.running[b, position] != local:
        position += 1
    if position == count:
        return False
    for later in range(position + 1, count):
        run.running[b, later - 1] = run.running[b, later]
    run.num_running[b] = count - 1
    row = view.queue.first_row[b] + local
    for replica in range(view.tasks.replicas[row]):
        give_back(
            view.tasks,
            view.nodes,
            view.pool,
            b,
            row,
            run.nodes[b, local, replica],
            run.card_sets[b, local, replica],
        )
    return True
