"""Monitor: what happened, for reports and (later) for predictions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from lepton_rl.core.intake import node_table
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.schedule import Schedule
from lepton_rl.core.tables import NO_NODE, Ints
from lepton_rl.core.tasks import TaskState

__all__ = ["Interruption", "Monitor", "TaskRecord"]

_NOT_YET = -1
_MICROJOULES_PER_KWH = 3.6e12


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

    @property
    def first_start_us(self) -> int | None:
        """When it first started (its wait ends there), None if it has not."""
        return self.interruptions[0].start_us if self.interruptions else self.start_us


class Monitor:
    """Records of tasks, counts of decisions and incidents, use of the cluster over time.

    Args:
        cluster: what utilisation is measured against.

    Attributes:
        decisions: "start", "preempt", "wait" and "refused" -> how often the policy decided so.
        incidents: cause (a `Refusal`, or what failed) -> how often it happened and was survived.
        outcomes: final state -> tasks that ended so.
        interruptions: why ("failed", or a `StopReason`) -> runs after which a task was pending
            again.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._kinds = cluster.schema.names
        self._total: list[int] = node_table(cluster).total.tolist()
        self._records: dict[str, TaskRecord] = {}  # in order of submission
        self._begin_us: int | None = None
        self._now_us = 0
        self._used = [0] * len(self._kinds)  # unit microseconds; Python integers never overflow
        self._offered = [0] * len(self._kinds)
        self._microjoules = 0.0
        self.decisions: Counter[str] = Counter(start=0, wait=0, refused=0)
        self.incidents: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.interruptions: Counter[str] = Counter()

    @property
    def records(self) -> tuple[TaskRecord, ...]:
        """One for each task, in order of submission."""
        return tuple(self._records.values())

    def submitted(self, task_id: str, submit_us: int) -> None:
        """A task was submitted."""
        self._records[task_id] = TaskRecord(task_id, submit_us)

    def restored(self, task_id: str, submit_us: int, first_start_us: int | None) -> None:
        """A task was submitted, and perhaps ran, before this monitor began."""
        self.submitted(task_id, submit_us)
        if first_start_us is not None:
            run = Interruption(first_start_us, first_start_us, (), "the scheduler was restarted")
            self._records[task_id] = TaskRecord(task_id, submit_us, interruptions=(run,))

    def started(self, task_id: str, nodes: tuple[int, ...], now_us: int) -> None:
        """The policy decided to start a task, and it started."""
        self.decisions["start"] += 1
        self._records[task_id] = replace(self._records[task_id], start_us=now_us, nodes=nodes)

    def completed(self, task_id: str, end_us: int) -> None:
        """A task completed."""
        self.ended(task_id, end_us, TaskState.COMPLETED)

    def ended(self, task_id: str, end_us: int, outcome: TaskState, reason: str = "") -> None:
        """A task reached a final state."""
        self.outcomes[outcome.value] += 1
        self._records[task_id] = replace(
            self._records[task_id], end_us=end_us, outcome=outcome, reason=reason
        )

    def interrupted(self, task_id: str, end_us: int, why: str, reason: str) -> None:
        """A run of a task is over and the task is pending again.

        Args:
            task_id: which.
            end_us: when the run ended.
            why: to count by.
            reason: in words.
        """
        self.interruptions[why] += 1
        record = self._records[task_id]
        start_us = end_us if record.start_us is None else record.start_us
        run = Interruption(start_us, end_us, record.nodes, reason)
        runs = (*record.interruptions, run)
        self._records[task_id] = replace(record, start_us=None, nodes=(), interruptions=runs)

    def preempted(self) -> None:
        """The policy decided to stop a task for others."""
        self.decisions["preempt"] += 1

    def incident(self, cause: str) -> None:
        """Something failed and was survived."""
        self.incidents[cause] += 1

    def waited(self) -> None:
        """The policy decided to start nothing."""
        self.decisions["wait"] += 1

    def refused(self, cause: str) -> None:
        """The policy decided something that cannot be done."""
        self.decisions["refused"] += 1
        self.incidents[cause] += 1

    def passed(
        self, now_us: int, allocated: Ints, available: Ints | None = None, watts: float = 0.0
    ) -> None:
        """Time has passed up to `now_us`, during which `allocated` was in use.

        Args:
            now_us: not before the last call's.
            allocated: `(K,)` integer units over all nodes.
            available: `(K,)` integer units that could be; None for the whole cluster.
            watts: power drawn.
        """
        if self._begin_us is None:
            self._begin_us = self._now_us = now_us
        span_us = now_us - self._now_us
        self._used = [
            used + units * span_us
            for used, units in zip(self._used, allocated.tolist(), strict=True)
        ]
        offered = self._total if available is None else available.tolist()
        self._offered = [
            sum_ + units * span_us for sum_, units in zip(self._offered, offered, strict=True)
        ]
        self._microjoules += watts * span_us
        self._now_us = now_us

    @property
    def energy_kwh(self) -> float:
        """Energy drawn from the first event to the last; 0 where nodes do not say their watts."""
        return self._microjoules / _MICROJOULES_PER_KWH

    def utilisation(self) -> dict[str, float]:
        """Kind -> allocated over available resource-seconds, 0 to 1, from first event to last.

        What nodes offered while they were down or not there does not count as available. All are 0
        as long as no time has passed.
        """
        sums = zip(self._kinds, self._used, self._offered, strict=True)
        return {name: used / offered if offered else 0.0 for name, used, offered in sums}

    def schedule(self) -> Schedule:
        """The records as arrays, tasks in order of submission.

        A task that was interrupted starts when it first started; one that never ran does not end.
        """
        records = self.records
        gang = max((len(record.nodes) for record in records), default=0)
        nodes = np.full((len(records), max(1, gang)), NO_NODE, np.int64)
        for row, record in enumerate(records):
            nodes[row, : len(record.nodes)] = record.nodes
        return Schedule(
            submit_us=np.array([record.submit_us for record in records], np.int64),
            start_us=np.array([_or_not_yet(record.first_start_us) for record in records], np.int64),
            end_us=np.array([_end_of_runs(record) for record in records], np.int64),
            nodes=nodes,
        )


def _or_not_yet(time_us: int | None) -> int:
    return _NOT_YET if time_us is None else time_us


def _end_of_runs(record: TaskRecord) -> int:
    return _NOT_YET if record.first_start_us is None else _or_not_yet(record.end_us)
