"""What users and operators see of a scheduler at one moment."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from lepton_rl.core.errors import StateError
from lepton_rl.core.nodes import Node
from lepton_rl.core.tasks import Task, TaskState
from lepton_rl.system.life import Entry
from lepton_rl.system.monitor import TaskRecord
from lepton_rl.system.scheduler import Scheduler

__all__ = ["NodeStatus", "TaskStatus", "list_tasks", "node_statuses", "queue_status", "task_status"]


@dataclass(frozen=True, slots=True)
class TaskStatus:
    """Where a task is in its life.

    Attributes:
        id: which.
        state: where.
        reason: why, where it has ended; "" where there is nothing to say.
        task: as it was submitted; None once it has ended.
        record: what has happened to it; None where that is forgotten.
        nodes: names of the nodes that it holds, or held last.
    """

    id: str
    state: TaskState
    reason: str = ""
    task: Task | None = None
    record: TaskRecord | None = None
    nodes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """A node now.

    Attributes:
        node: which.
        state: up, draining or down.
        load: dominant share in use, 0 to 1.
        free: kind -> free amount, in its unit.
        held_for: id of the critical task it is reserved for, None if for nobody.
    """

    node: Node
    state: str
    load: float
    free: dict[str, float]
    held_for: str | None


def task_status(scheduler: Scheduler, task_id: str) -> TaskStatus:
    """Where a task is.

    Raises:
        StateError: no such task was submitted.
    """
    with scheduler._changed:
        entry = scheduler.queue.find(task_id)
        record = scheduler.monitor.record_of(task_id)
        if entry is not None:
            return _of_entry(scheduler, entry)
        state = scheduler.state_of(task_id)
        nodes = () if record is None else _names(scheduler, record.nodes)
        return TaskStatus(task_id, state, scheduler.reason_of(task_id), None, record, nodes)


def list_tasks(
    scheduler: Scheduler, state: TaskState | None, offset: int, limit: int
) -> tuple[list[TaskStatus], int]:
    """Unfinished tasks and those whose records are kept, in order of submission.

    Returns:
        A page of them, and how many there are.
    """
    with scheduler._changed:
        found = [
            record
            for record in scheduler.monitor.records
            if state is None or _state_of(scheduler, record) is state
        ]
        page = found[offset : offset + limit]
        return [task_status(scheduler, record.task_id) for record in page], len(found)


def queue_status(scheduler: Scheduler, most: int) -> tuple[list[TaskStatus], list[TaskStatus]]:
    """The first `most` pending tasks by arrival, and of those on nodes by their expected ends."""
    with scheduler._changed:
        queue = scheduler.queue
        waiting, running = queue.waiting()[:most], queue.on_nodes()[:most]
        return (
            [_of_entry(scheduler, entry) for entry in waiting],
            [_of_entry(scheduler, entry) for entry in running],
        )


def node_statuses(scheduler: Scheduler) -> list[NodeStatus]:
    """All nodes, in the order of the cluster."""
    with scheduler._changed:
        pool = scheduler.pool
        loads, free, states = pool.loads(), pool.free(), scheduler.node_states()
        held = scheduler.reservations()
        return [
            NodeStatus(node, str(states[node.name]), loads[node.name], free[node.name],
                       held.get(node.name))
            for node in pool.slots.present()
        ]  # fmt: skip


def _of_entry(scheduler: Scheduler, entry: Entry) -> TaskStatus:
    task = entry.task
    nodes = _names(scheduler, entry.nodes) if entry.state.is_on_nodes else ()
    record = scheduler.monitor.record_of(task.id)
    return TaskStatus(task.id, entry.state, entry.reason, task, record, nodes)


def _state_of(scheduler: Scheduler, record: TaskRecord) -> TaskState | None:
    if record.outcome is not None:
        return record.outcome
    try:
        return scheduler.queue.state_of(record.task_id)
    except StateError:  # it is just being submitted
        return None


def _names(scheduler: Scheduler, nodes: Iterable[int]) -> tuple[str, ...]:
    known = scheduler.pool.cluster.nodes
    return tuple(known[m].name for m in nodes)
