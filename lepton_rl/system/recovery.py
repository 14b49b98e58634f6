"""Recovery: a scheduler that takes up its work from a journal.

What was pending is pending; what ran is adopted if the executor still knows it, and is pending
again if not; what was to be cancelled is cancelled.
"""

from __future__ import annotations

from lepton_rl.core.errors import StateError
from lepton_rl.core.nodes import NodeState
from lepton_rl.core.tasks import Task, TaskState
from lepton_rl.system.journal import Journal, Outcome, Phase, TaskLife
from lepton_rl.system.life import Entry, StopReason
from lepton_rl.system.operations import Operations

__all__ = ["ended_before", "recover"]

_FINAL = {
    Outcome.COMPLETED: TaskState.COMPLETED,
    Outcome.FAILED: TaskState.FAILED,
    Outcome.TIMED_OUT: TaskState.TIMED_OUT,
    Outcome.CANCELLED: TaskState.CANCELLED,
}
_US = 1e6


def ended_before(journal: Journal, task_id: str) -> tuple[Task, TaskState] | None:
    """A task that ended before this scheduler began, and how; None if there was none."""
    life = journal.find(task_id)
    if life is None or life.outcome is None:
        return None
    return life.task, _FINAL[life.outcome]


def recover(system: Operations, journal: Journal) -> None:
    """Let a new scheduler go on where the journal ends.

    Args:
        system: nothing has been submitted to it.
        journal: open for writing.

    Raises:
        StateError: a task runs on a node that is not in the cluster any more.
        InfeasibleTaskError: the cluster can never hold a task that was submitted.
    """
    state, slots = journal.recover(), system.pool.slots
    if state.pool != slots.present():
        system._recorder.pool_changed(slots.present(), 0)
    for name, node_state in state.nodes.items():
        if slots.knows(name):
            system.pool.set_state(slots.index_of(name), NodeState(node_state.value))
    alive = system._executor.running()
    together = {life.task.id for life in state.tasks}
    for life in state.tasks:
        system.queue.submit(life.task, together)
        system.monitor.restored(life.task.id, life.submit_us, life.first_start_us)
        entry = system.queue.entry(life.task.id)
        entry.attempts, entry.failures = life.attempt, life.failures
        entry.kept_us = round(life.kept_work_s * _US)
    now_us = max((life.start_us or life.first_start_us or 0 for life in state.tasks), default=0)
    for life in state.tasks:
        if life.phase in (Phase.STARTING, Phase.RUNNING):
            _resume(system, life, is_alive=life.task.id in alive)
    system._tables.view.status["now_us"] = now_us
    for life in state.tasks:
        _cancel_again(system, life)


def _resume(system: Operations, life: TaskLife, *, is_alive: bool) -> None:
    """A task ran, or was about to, when the journal ended."""
    entry = system.queue.entry(life.task.id)
    at_us = life.start_us or 0
    if not is_alive:
        if life.phase is Phase.STARTING:
            system._recorder.not_started(entry, at_us)
        else:
            system._recorder.lost(entry, at_us)
        return
    if life.phase is Phase.STARTING:
        system._recorder.started(entry, at_us)
    _adopt(system, entry, life, at_us)


def _adopt(system: Operations, entry: Entry, life: TaskLife, at_us: int) -> None:
    """Give a task that runs the very nodes and cards that it uses."""
    slots, task = system.pool.slots, entry.task
    missing = [name for name in life.nodes if not slots.knows(name)]
    if missing:
        raise StateError(
            f"task {task.id!r} still runs on node {missing[0]!r}, which is not in the cluster;"
            " describe that node, or stop the task first"
        )
    nodes = tuple(slots.index_of(name) for name in life.nodes)
    system._tables.view.status["now_us"] = at_us
    system.queue.admit(entry)
    system.pool.retake(entry.local, nodes, life.cards or [{}] * len(nodes))
    speed = system.pool.speed_of(nodes, getattr(task, "task_class", ""))
    system.queue.start(entry.local, speed, nodes)
    system.monitor.adopted(task.id, nodes, at_us)


def _cancel_again(system: Operations, life: TaskLife) -> None:
    entry = system.queue.entry(life.task.id)
    reason = "cancelled by a user"
    if not life.cancel_requested or entry.state.is_final:
        return
    if entry.state.is_on_nodes:
        system._stop_run(entry, StopReason.CANCEL, reason)
    else:
        system.queue.end(life.task.id, TaskState.CANCELLED, reason, system.now_us)
