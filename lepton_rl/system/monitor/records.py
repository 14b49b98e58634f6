"""What happened to each task."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from lepton_rl.core.checks import require_count
from lepton_rl.core.tasks import TaskState

__all__ = ["Interruption", "Records", "TaskRecord"]

_MOST_KEPT = 10**9


@dataclass(frozen=True, slots=True)
class Interruption:
    """A run of a task that did not end it: the task was pending again.

    Attributes:
        start_us: when the run started.
        end_us: when it was over.
        nodes: index of the node of each replica.
        reason: why, in words.
    """

    start_us: int
    end_us: int
    nodes: tuple[int, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """What happened to one task.

    Attributes:
        task_id: which.
        submit_us: when it entered the queue.
        start_us: when it last started, None if it has not, or waits after an interruption.
        end_us: when it ended for good, None if it has not.
        nodes: index of the node of each replica of that run; empty if there is none.
        outcome: the final state it ended in; means nothing before.
        reason: why it ended so, "" where there is nothing to say.
        interruptions: its earlier runs.
    """

    task_id: str
    submit_us: int
    start_us: int | None = None
    end_us: int | None = None
    nodes: tuple[int, ...] = ()
    outcome: TaskState = TaskState.COMPLETED
    reason: str = ""
    interruptions: tuple[Interruption, ...] = ()

    def started(self, start_us: int, nodes: tuple[int, ...]) -> TaskRecord:
        """The record once the task has started (again)."""
        return TaskRecord(
            self.task_id, self.submit_us, start_us, nodes=nodes, interruptions=self.interruptions
        )

    def ended(self, end_us: int, outcome: TaskState, reason: str) -> TaskRecord:
        """The record once the task has ended for good."""
        return TaskRecord(
            self.task_id,
            self.submit_us,
            self.start_us,
            end_us,
            self.nodes,
            outcome,
            reason,
            self.interruptions,
        )

    @property
    def first_start_us(self) -> int | None:
        """When it first started (its wait ends there), None if it has not."""
        return self.interruptions[0].start_us if self.interruptions else self.start_us

    @property
    def on_nodes_us(self) -> int:
        """Time it has spent on nodes, all runs that are over together."""
        last = 0
        if self.start_us is not None and self.end_us is not None:
            last = self.end_us - self.start_us
        return last + sum(run.end_us - run.start_us for run in self.interruptions)


class Records:
    """Records by task, in order of submission.

    Args:
        keep_ended: how many records of tasks that have ended stay (>= 0); the one that ended first
            goes first. None keeps all. Those of unfinished tasks always stay.

    Attributes:
        forgotten: how many have gone.

    Raises:
        ConfigError: `keep_ended` is not such a number.
    """

    def __init__(self, keep_ended: int | None = None) -> None:
        if keep_ended is not None:
            require_count(keep_ended, "monitor: keep_ended", _MOST_KEPT, least=0)
        self._keep_ended = keep_ended
        self._by_id: dict[str, TaskRecord] = {}
        self._ended: deque[str] = deque()  # in order of their ends; empty if all are kept
        self.forgotten = 0

    @property
    def keep_ended(self) -> int | None:
        """How many of tasks that have ended stay."""
        return self._keep_ended

    def __getitem__(self, task_id: str) -> TaskRecord:
        return self._by_id[task_id]

    def find(self, task_id: str) -> TaskRecord | None:
        """The record of a task, None if there is none any more."""
        return self._by_id.get(task_id)

    def all(self) -> tuple[TaskRecord, ...]:
        """Those that are kept, in order of submission."""
        return tuple(self._by_id.values())

    def put(self, record: TaskRecord) -> None:
        """Take in a record, in the place of an earlier one of this task."""
        self._by_id[record.task_id] = record

    def end(self, record: TaskRecord) -> None:
        """Take in the last record of a task, and forget the oldest ones beyond the limit."""
        self.put(record)
        if self._keep_ended is None:
            return
        self._ended.append(record.task_id)
        while len(self._ended) > self._keep_ended:
            del self._by_id[self._ended.popleft()]
            self.forgotten += 1
