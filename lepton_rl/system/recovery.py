"""Recovery: a scheduler that takes up its work from a journal.

What was pending is pending; what ran is adopted if the executor still knows it, and is pending
again if not; what was to be cancelled is cancelled.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from lepton_rl.core.errors import StateError
from lepton_rl.core.nodes import NodeState
from lepton_rl.core.tasks import TaskState
from lepton_rl.system.ended import Ending
from lepton_rl.system.executor import Executor, Resumable
from lepton_rl.system.journal import Journal, Outcome, Phase, Recovered, TaskLife
from lepton_rl.system.life import Entry, StopReason
from lepton_rl.system.operations import Operations

__all__ = ["ended_before", "recover"]

_FINAL = {
    Outcome.COMPLETED: TaskState.COMPLETED,
    Outcome.FAILED: TaskState.FAILED,
    Outcome.TIMED_OUT: TaskState.TIMED_OUT,
    Outcome.CANCELLED: TaskState.CANCELLED,
}
_CANCELLED = "cancelled by a user"
_DETAIL = {
    StopReason.PREEMPT: "preempted",
    StopReason.NODE_LOST: "a node under it went down",
    StopReason.SHUTDOWN: "the scheduler was stopped",
}
_US = 1e6


def ended_before(journal: Journal, task_id: str) -> Ending | None:
    """How a task ended, perhaps before this scheduler began; None if there was none.

    Of a task that the journal keeps no longer in full, only the final state is known.
    """
    outcome = journal.outcome_of(task_id)
    if outcome is None:
        return None
    life = journal.find(task_id)
    if life is None:
        return Ending(_FINAL[outcome])
    return Ending(_FINAL[outcome], life.detail, life.exit_code)


def recover(system: Operations, journal: Journal) -> None:
    """Let a new scheduler go on where the journal ends.

    Args:
        system: nothing has been submitted to it.
        journal: open for writing. What recovery finds is one batch there, all of it or nothing, so
            that it may be killed and done again at any point.

    Raises:
        StateError: a task runs on a node that is not in the cluster any more.
        InfeasibleTaskError: the cluster can never hold a task that was submitted.
    """
    state = journal.recover()
    _set_nodes(system, state)
    _submit(system, state.tasks)
    alive = _alive(system._executor, state.tasks)
    _require_nodes(system, [life for life in state.tasks if life.task.id in alive])
    # Nothing is written before this point, and nobody is told anything before its end.
    with system._recorder.batch():
        if state.pool != system.pool.slots.present():
            system._recorder.pool_changed(system.pool.slots.present(), state.latest_us)
        for life in state.tasks:
            if life.phase in (Phase.STARTING, Phase.RUNNING):
                _resume(system, life, is_alive=life.task.id in alive)
        system._tables.view.status["now_us"] = _now_us(state)
        stopping = [entry for life in state.tasks if (entry := _stop_again(system, life))]
        for life in state.tasks:
            system.queue.cancel_if_doomed(life.task.id, system.now_us)
    for entry in stopping:
        system._tell_to_stop(entry)


def _now_us(state: Recovered) -> int:
    """When the clock goes on: it never goes back, wherever the time of day has gone."""
    return max(state.latest_us, *(life.start_us or 0 for life in state.tasks), 0)


def _set_nodes(system: Operations, state: Recovered) -> None:
    slots = system.pool.slots
    for name, node_state in state.nodes.items():
        if slots.knows(name):
            system.pool.set_state(slots.index_of(name), NodeState(node_state.value))


def _submit(system: Operations, tasks: Sequence[TaskLife]) -> None:
    """Take in what was submitted, as far as it had come."""
    together = {life.task.id for life in tasks}
    for life in tasks:
        system.queue.submit(life.task, together)
        system.monitor.restored(life.task.id, life.submit_us, life.first_start_us)
        entry = system.queue.entry(life.task.id)
        entry.attempts, entry.failures = life.attempt, life.failures
        entry.kept_us = round(life.kept_work_s * _US)


def _alive(executor: Executor, tasks: Iterable[TaskLife]) -> set[str]:
    """Tasks whose present run the executor knows: it goes on, or its end is still to be told."""
    if isinstance(executor, Resumable):
        known = executor.known_runs()
    else:
        known = dict.fromkeys(executor.running())
    return {
        life.task.id
        for life in tasks
        if life.phase in (Phase.STARTING, Phase.RUNNING)
        and known.get(life.task.id, 0) in (None, life.attempt)
    }


def _require_nodes(system: Operations, tasks: Iterable[TaskLife]) -> None:
    """The nodes of what runs must be there.

    Raises:
        StateError: one is not.
    """
    for life in tasks:
        missing = [name for name in life.nodes if not system.pool.slots.knows(name)]
        if missing:
            raise StateError(
                f"task {life.task.id!r} still runs on node {missing[0]!r}, which is not in the"
                " cluster; describe that node, or stop the task first"
            )


def _resume(system: Operations, life: TaskLife, *, is_alive: bool) -> None:
    """A task ran, or was about to, when the journal ended."""
    entry = system.queue.entry(life.task.id)
    at_us = life.start_us or 0
    if is_alive and life.phase is Phase.STARTING:
        system._recorder.started(entry, at_us)
    if is_alive:
        _adopt(system, entry, life, at_us)
    elif life.phase is Phase.STARTING:
        system._recorder.not_started(entry, at_us)
    else:
        system._recorder.lost(entry, at_us)


def _adopt(system: Operations, entry: Entry, life: TaskLife, at_us: int) -> None:
    """Give a task that runs the very nodes and cards that it uses."""
    slots, task = system.pool.slots, entry.task
    nodes = tuple(slots.index_of(name) for name in life.nodes)
    system._tables.view.status["now_us"] = at_us
    system.queue.admit(entry)
    system.pool.retake(entry.local, nodes, life.cards or [{}] * len(nodes))
    system.queue.start(entry.local, nodes)
    system.monitor.adopted(task.id, nodes, at_us)


def _stop_again(system: Operations, life: TaskLife) -> Entry | None:
    """Take up what was to be stopped; returns the task if the executor must be told so again."""
    entry = system.queue.find(life.task.id)
    if entry is None:
        return None  # what it depends on has just been cancelled
    if not entry.state.is_on_nodes:
        if life.cancel_requested:
            system.queue.end(life.task.id, TaskState.CANCELLED, _CANCELLED, system.now_us)
        return None
    if life.cancel_requested:
        system.queue.stop(entry, StopReason.CANCEL, _CANCELLED)
    elif life.stopping is not None:
        why = StopReason(life.stopping.value)
        system.queue.stop(entry, why, _DETAIL[why])
    elif any(system.pool.slots.states[m] is NodeState.DOWN for m in entry.nodes):
        system._recorder.stop_requested(entry, StopReason.NODE_LOST, system.now_us)
        system.queue.stop(entry, StopReason.NODE_LOST, _DETAIL[StopReason.NODE_LOST])
    return entry if entry.stopping is not None else None
