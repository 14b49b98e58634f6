"""TaskQueue: everything that was submitted, and where each task is in its life."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import NamedTuple

from lepton_rl.core.clock import to_us
from lepton_rl.core.errors import StateError
from lepton_rl.core.intake import Intake
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.rules.queueing import enter_queue, enter_run, leave_run
from lepton_rl.core.tables import Ints, Records
from lepton_rl.core.tasks import Task, TaskState
from lepton_rl.system.state import Tables

__all__ = ["TaskQueue"]


class _Submission(NamedTuple):
    """A task that has been submitted; in this order they arrive."""

    submit_us: int
    serial: int  # order of submission
    task: Task
    record: Records  # (1,) what the rules see of it


class TaskQueue:
    """Tasks from submission to their end.

    A task is SUBMITTED until the clock reaches its submit time, then PENDING, RUNNING, COMPLETED.
    Rules and policies know it by its local index in the tables, which it gets when it arrives.

    Args:
        cluster: the tasks are checked against it.
        tables: where pending and running tasks have their rows.
        on_move: told the new local index of each old one whenever rows move.
    """

    def __init__(
        self, cluster: Cluster, tables: Tables, on_move: Callable[[Ints], None] | None = None
    ) -> None:
        self._intake, self._tables, self._on_move = Intake(cluster), tables, on_move
        self._arriving: list[_Submission] = []  # a heap
        self._states: dict[str, TaskState] = {}
        self._present: list[_Submission] = []  # by local index
        self._locals: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._states)

    @property
    def num_pending(self) -> int:
        """Tasks that wait for nodes."""
        return int(self._tables.view.status["num_pending"][0])

    @property
    def pending(self) -> tuple[Task, ...]:
        """The tasks that wait for nodes, in order of their submit times."""
        listed = self._tables.view.pending[0, : self.num_pending]
        return tuple(self._present[local].task for local in listed)

    @property
    def running(self) -> tuple[Task, ...]:
        """The tasks that run, in order of their expected ends."""
        view = self._tables.view
        listed = view.running[0, : view.status["num_running"][0]]
        return tuple(self._present[local].task for local in listed)

    def submit(self, task: Task) -> None:
        """Take in a task. Its submit time may lie ahead, or behind: then it arrives at once.

        Raises:
            StateError: a task of this id was submitted before.
            InfeasibleTaskError: the cluster can never hold it.
            ConfigError: a demand is not an amount of its kind.
        """
        if task.id in self._states:
            state = self._states[task.id].value
            raise StateError(
                f"task {task.id!r} was submitted before and is {state}; give each task its own id"
            )
        record = self._intake.table([task])
        submission = _Submission(int(to_us(task.submit_time_s)), len(self), task, record)
        heapq.heappush(self._arriving, submission)
        self._states[task.id] = TaskState.SUBMITTED

    def next_arrival_us(self) -> int | None:
        """The earliest submit time ahead, None if there is none."""
        return self._arriving[0].submit_us if self._arriving else None

    def receive(self, now_us: int) -> Task | None:
        """Let the next task whose submit time has come be pending; None if there is none."""
        if not self._arriving or self._arriving[0].submit_us > now_us:
            return None
        arrival = heapq.heappop(self._arriving)
        moved = self._tables.make_room(arrival.task.num_replicas)
        if moved is not None:
            self._follow(moved)
        local = self._tables.add(arrival.record)
        self._present.append(arrival)
        self._locals[arrival.task.id] = local
        enter_queue(self._tables.view, 0, local)
        self._states[arrival.task.id] = TaskState.PENDING
        return arrival.task

    def start(self, local: int) -> None:
        """A pending task, whose nodes have been allocated, runs from now on."""
        enter_run(self._tables.view, 0, local)
        self._states[self._present[local].task.id] = TaskState.RUNNING

    def finish(self, task_id: str) -> None:
        """A running task has completed; its nodes are free again.

        Raises:
            StateError: it is not running.
        """
        local = self.local_of(task_id)
        if self._states[task_id] is not TaskState.RUNNING:
            raise StateError(
                f"expected the end of a running task, got {task_id!r}, which is"
                f" {self._states[task_id].value}"
            )
        leave_run(self._tables.view, 0, local)
        self._tables.drop(local)
        del self._locals[task_id]
        self._states[task_id] = TaskState.COMPLETED

    def state_of(self, task_id: str) -> TaskState:
        """Where a task is in its life.

        Raises:
            StateError: no such task was submitted.
        """
        if task_id not in self._states:
            raise StateError(f"no task {task_id!r} was submitted")
        return self._states[task_id]

    def is_pending(self, local: int) -> bool:
        """Whether this is the local index of a pending task; any integer may be asked for."""
        if not 0 <= local < len(self._present):
            return False
        return self._states[self._present[local].task.id] is TaskState.PENDING

    def task_at(self, local: int) -> Task:
        """The task of a local index."""
        return self._present[local].task

    def local_of(self, task_id: str) -> int:
        """Local index of a pending or running task.

        Raises:
            StateError: it is neither.
        """
        if task_id not in self._locals:
            state = self.state_of(task_id).value
            raise StateError(f"expected a pending or running task, got {task_id!r}: {state}")
        return self._locals[task_id]

    def _follow(self, moved: Ints) -> None:
        kept = zip(self._present, moved.tolist(), strict=True)
        self._present = [submission for submission, local in kept if local >= 0]
        self._locals = {each.task.id: local for local, each in enumerate(self._present)}
        if self._on_move is not None:
            self._on_move(moved)
