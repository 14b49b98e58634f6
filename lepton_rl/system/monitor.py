"""Monitor: what happened, for reports and (later) for predictions."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

import numpy as np

from lepton_rl.core.intake import node_table
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.schedule import Schedule
from lepton_rl.core.tables import NO_NODE, Ints

__all__ = ["Monitor", "TaskRecord"]

_NOT_YET = -1


@dataclass(frozen=True, slots=True)
class TaskRecord:
    """What happened to one task.

    Attributes:
        task_id: which.
        submit_us: when it entered the queue.
        start_us: when it started, None if it has not.
        end_us: when it ended, None if it has not.
        nodes: index of the node of each replica; empty if it has not started.
    """

    task_id: str
    submit_us: int
    start_us: int | None = None
    end_us: int | None = None
    nodes: tuple[int, ...] = ()


class Monitor:
    """Records of tasks, counts of decisions and incidents, use of the cluster over time.

    Args:
        cluster: what utilisation is measured against.

    Attributes:
        decisions: "start", "wait" and "refused" -> how often the policy decided so.
        incidents: cause (a `Refusal`) -> how many decisions were ignored for it.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._kinds = cluster.schema.names
        self._total: list[int] = node_table(cluster).total.tolist()
        self._records: dict[str, TaskRecord] = {}  # in order of submission
        self._begin_us: int | None = None
        self._now_us = 0
        self._used = [0] * len(self._kinds)  # unit microseconds; Python integers never overflow
        self.decisions: Counter[str] = Counter(start=0, wait=0, refused=0)
        self.incidents: Counter[str] = Counter()

    @property
    def records(self) -> tuple[TaskRecord, ...]:
        """One for each task, in order of submission."""
        return tuple(self._records.values())

    def submitted(self, task_id: str, submit_us: int) -> None:
        """A task was submitted."""
        self._records[task_id] = TaskRecord(task_id, submit_us)

    def started(self, task_id: str, nodes: tuple[int, ...], now_us: int) -> None:
        """The policy decided to start a task, and it started."""
        self.decisions["start"] += 1
        self._records[task_id] = replace(self._records[task_id], start_us=now_us, nodes=nodes)

    def completed(self, task_id: str, end_us: int) -> None:
        """A task ended."""
        self._records[task_id] = replace(self._records[task_id], end_us=end_us)

    def waited(self) -> None:
        """The policy decided to start nothing."""
        self.decisions["wait"] += 1

    def refused(self, cause: str) -> None:
        """The policy decided something that cannot be done."""
        self.decisions["refused"] += 1
        self.incidents[cause] += 1

    def passed(self, now_us: int, allocated: Ints) -> None:
        """Time has passed up to `now_us`, during which `allocated` was in use.

        Args:
            now_us: not before the last call's.
            allocated: `(K,)` integer units over all nodes.
        """
        if self._begin_us is None:
            self._begin_us = self._now_us = now_us
        span_us = now_us - self._now_us
        self._used = [
            used + units * span_us
            for used, units in zip(self._used, allocated.tolist(), strict=True)
        ]
        self._now_us = now_us

    def utilisation(self) -> dict[str, float]:
        """Kind -> allocated over available resource-seconds, 0 to 1, from first event to last.

        All are 0 as long as no time has passed.
        """
        span_us = 0 if self._begin_us is None else self._now_us - self._begin_us
        return {
            name: used / (total * span_us) if span_us else 0.0
            for name, used, total in zip(self._kinds, self._used, self._total, strict=True)
        }

    def schedule(self) -> Schedule:
        """The records as arrays, tasks in order of submission."""
        records = self.records
        gang = max((len(record.nodes) for record in records), default=0)
        nodes = np.full((len(records), max(1, gang)), NO_NODE, np.int64)
        for row, record in enumerate(records):
            nodes[row, : len(record.nodes)] = record.nodes
        return Schedule(
            submit_us=np.array([record.submit_us for record in records], np.int64),
            start_us=np.array([_or_not_yet(record.start_us) for record in records], np.int64),
            end_us=np.array([_or_not_yet(record.end_us) for record in records], np.int64),
            nodes=nodes,
        )


def _or_not_yet(time_us: int | None) -> int:
    return _NOT_YET if time_us is None else time_us
