"""The monitor: records, counts, distributions, and use over time."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Protocol

import numpy as np

from lepton_rl.core.clock import MICROSECOND
from lepton_rl.core.errors import StateError
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.schedule import Schedule
from lepton_rl.core.tables import NO_NODE, Ints
from lepton_rl.core.tasks import TaskState
from lepton_rl.system.life import StopReason
from lepton_rl.system.monitor.histogram import (
    LATENCY_BUCKETS_S,
    SLOWDOWN_BUCKETS,
    TIME_BUCKETS_S,
    Histogram,
)
from lepton_rl.system.monitor.records import Interruption, Records, TaskRecord
from lepton_rl.system.monitor.usage import Usage

__all__ = ["BOUND_US", "OTHER", "Listener", "Monitor"]

BOUND_US = 10 * MICROSECOND
"""Shortest run time that bounded slowdown divides by (tau of Feitelson and Rudolph, 1998)."""

OTHER = "other"
"""Counts causes beyond the first `_MOST_CAUSES`: a policy may name what it likes as a cause."""

_MOST_CAUSES = 64
_NOT_YET = -1
_JOULES_PER_KWH = 3.6e6
_NANOSECOND = 1_000_000_000


class Listener(Protocol):
    """Is told of each event as it happens."""

    def __call__(self, event: str, now_us: int, **figures: object) -> None:
        """An event of the scheduler at `now_us` on its clock."""
        ...


class Monitor:
    """What happened on a cluster; the scheduler tells it.

    Counts, sums and distributions are of everything since the monitor began, whatever records it
    has forgotten.

    Args:
        cluster: what utilisation is measured against.
        keep_ended: how many records of tasks that have ended it keeps, the latest; None for all.
            A scheduler that lives for long should have a limit.
        on_event: is told of each event, e.g. an `EventLog`; None for nobody.

    Attributes:
        num_submitted: tasks taken in.
        decisions: "start", "preempt", "wait" and "refused" -> how often the policy decided so.
        incidents: cause (a `Refusal`, or what failed) -> how often it happened and was survived.
        outcomes: final state -> tasks that ended so.
        interruptions: why ("failed", or a `StopReason`) -> runs after which a task was pending
            again.
        waits: first start - submit, in s, of tasks that have started.
        run_times: time on nodes, in s, all runs of a task together; like the next three of tasks
            that have completed.
        turnarounds: end - submit, in s.
        slowdowns: turnaround / run time.
        bounded_slowdowns: max(1, turnaround / max(run time, 10 s)).
        decision_times: what the policy took for each decision, in s of real time.

    Raises:
        ConfigError: `keep_ended` is not a whole number >= 0.
    """

    def __init__(
        self,
        cluster: Cluster,
        *,
        keep_ended: int | None = None,
        on_event: Listener | None = None,
    ) -> None:
        self._records, self.usage = Records(keep_ended), Usage(cluster)
        self._on_event = on_event
        self.num_submitted = 0
        self.decisions: Counter[str] = Counter(start=0, wait=0, refused=0)
        self.incidents: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.interruptions: Counter[str] = Counter()
        self.waits, self.run_times, self.turnarounds = (Histogram(TIME_BUCKETS_S) for _ in range(3))
        self.slowdowns, self.bounded_slowdowns = (Histogram(SLOWDOWN_BUCKETS) for _ in range(2))
        self.decision_times = Histogram(LATENCY_BUCKETS_S, _NANOSECOND)

    @property
    def records(self) -> tuple[TaskRecord, ...]:
        """One for each task that is not forgotten, in order of submission."""
        return self._records.all()

    def record_of(self, task_id: str) -> TaskRecord | None:
        """What has happened to a task; None if it was not submitted, or is forgotten."""
        return self._records.find(task_id)

    @property
    def keep_ended(self) -> int | None:
        """How many records of tasks that have ended it keeps; None for all."""
        return self._records.keep_ended

    @property
    def num_forgotten(self) -> int:
        """Tasks that have ended and whose records are not kept any more."""
        return self._records.forgotten

    def submitted(self, task_id: str, submit_us: int) -> None:
        """A task was submitted."""
        self.num_submitted += 1
        self._records.put(TaskRecord(task_id, submit_us))
        self._tell("submitted", self.usage.now_us, task=task_id)

    def restored(self, task_id: str, submit_us: int, first_start_us: int | None) -> None:
        """A task was submitted, and perhaps ran, before this monitor began."""
        record = TaskRecord(task_id, submit_us)
        if first_start_us is not None:
            run = Interruption(first_start_us, first_start_us, (), "the scheduler was restarted")
            record = replace(record, interruptions=(run,))
        self._records.put(record)

    def started(self, task_id: str, nodes: tuple[int, ...], now_us: int) -> None:
        """The policy decided to start a task, and it started."""
        self.decisions["start"] += 1
        self._starts(task_id, nodes, now_us)
        self._tell("started", now_us, task=task_id, nodes=nodes)

    def adopted(self, task_id: str, nodes: tuple[int, ...], start_us: int) -> None:
        """A task is running that was started before this monitor began."""
        self._starts(task_id, nodes, start_us)

    def completed(self, task_id: str, end_us: int) -> None:
        """A task completed."""
        self.ended(task_id, end_us, TaskState.COMPLETED)

    def ended(self, task_id: str, end_us: int, outcome: TaskState, reason: str = "") -> None:
        """A task reached a final state."""
        self.outcomes[outcome.value] += 1
        record = self._records[task_id].ended(end_us, outcome, reason)
        self._records.end(record)
        if outcome is TaskState.COMPLETED:
            self._measure(record, end_us)
        self._tell("ended", end_us, task=task_id, outcome=outcome.value, reason=reason)

    def interrupted(self, task_id: str, end_us: int, why: str, reason: str) -> None:
        """A run of a task is over and the task is pending again.

        Args:
            task_id: which.
            end_us: when the run ended.
            why: to count by.
            reason: in words.
        """
        self._count(self.interruptions, why)
        record = self._records[task_id]
        start_us = end_us if record.start_us is None else record.start_us
        if record.first_start_us is None:  # the executor could not start it
            self.waits.observe(start_us - record.submit_us)
        run = Interruption(start_us, end_us, record.nodes, reason)
        runs = (*record.interruptions, run)
        self._records.put(replace(record, start_us=None, nodes=(), interruptions=runs))
        self._tell("interrupted", end_us, task=task_id, cause=why, reason=reason)

    def preempted(self) -> None:
        """The policy decided to stop a task for others."""
        self.decisions["preempt"] += 1

    def incident(self, cause: str) -> None:
        """Something failed and was survived."""
        self._count(self.incidents, cause)
        self._tell("incident", self.usage.now_us, cause=cause)

    def waited(self) -> None:
        """The policy decided to start nothing."""
        self.decisions["wait"] += 1

    def refused(self, cause: str) -> None:
        """The policy decided something that cannot be done."""
        self.decisions["refused"] += 1
        self.incident(cause)

    def decided_in(self, nanoseconds: int) -> None:
        """The policy has answered, or raised, after this much real time."""
        self.decision_times.observe(nanoseconds)

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
        self.usage.passed(now_us, allocated, available, watts)

    @property
    def energy_kwh(self) -> float:
        """Energy drawn from the first event to the last; 0 where nodes do not say their watts."""
        return self.usage.energy_joules / _JOULES_PER_KWH

    def utilisation(self) -> dict[str, float]:
        """Kind -> allocated over available resource-seconds, 0 to 1, from first event to last.

        What nodes offered while they were down or not there does not count as available. All are 0
        as long as no time has passed.
        """
        return self.usage.utilisation()

    def schedule(self) -> Schedule:
        """The records as arrays, tasks in order of submission.

        A task that was interrupted starts when it first started; one that never ran does not end.

        Raises:
            StateError: records were forgotten, so it would not be whole.
        """
        if self.num_forgotten:
            raise StateError(
                f"the monitor has forgotten {self.num_forgotten} tasks, so there is no whole"
                " schedule; use a Monitor with keep_ended=None, or its distributions"
            )
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
            num_preemptions=self.interruptions[StopReason.PREEMPT.value],
        )

    def _starts(self, task_id: str, nodes: tuple[int, ...], start_us: int) -> None:
        record = self._records[task_id]
        if record.first_start_us is None:
            self.waits.observe(start_us - record.submit_us)
        self._records.put(record.started(start_us, nodes))

    def _measure(self, record: TaskRecord, end_us: int) -> None:
        """Take in the figures of a task that has completed."""
        run_us, turnaround_us = record.on_nodes_us, end_us - record.submit_us
        self.run_times.observe(run_us)
        self.turnarounds.observe(turnaround_us)
        self.slowdowns.observe(_millionths(turnaround_us / max(1, run_us)))
        self.bounded_slowdowns.observe(_millionths(max(1.0, turnaround_us / max(BOUND_US, run_us))))

    def _count(self, counter: Counter[str], cause: str) -> None:
        counter[cause if cause in counter or len(counter) < _MOST_CAUSES else OTHER] += 1

    def _tell(self, event: str, now_us: int, **figures: object) -> None:
        if self._on_event is not None:
            self._on_event(event, now_us, **figures)


def _millionths(ratio: float) -> int:
    return round(ratio * MICROSECOND)


def _or_not_yet(time_us: int | None) -> int:
    return _NOT_YET if time_us is None else time_us


def _end_of_runs(record: TaskRecord) -> int:
    return _NOT_YET if record.first_start_us is None else _or_not_yet(record.end_us)
