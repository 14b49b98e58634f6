"""The life of one task: its states, what ends them, and what it keeps when it is interrupted."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import StrEnum

from lepton_rl.core.clock import MICROSECOND, to_us
from lepton_rl.core.rules import times
from lepton_rl.core.rules.times import duration_us
from lepton_rl.core.tables import Records
from lepton_rl.core.tasks import Task, TaskState
from lepton_rl.system.executor import Completion, Outcome

__all__ = [
    "NO_ROW",
    "Entry",
    "StopReason",
    "Verdict",
    "failed",
    "kept_work_us",
    "remaining_task",
    "verdict",
]

NO_ROW = -1


class StopReason(StrEnum):
    """Why a running task is being stopped."""

    CANCEL = "cancel"
    """a user does not want it any more"""
    PREEMPT = "preempt"
    """the policy wants its nodes for others"""
    NODE_LOST = "node-lost"
    """a node under it went down"""
    SHUTDOWN = "shutdown"
    """the scheduler stops"""


@dataclass(slots=True, eq=False)
class Entry:
    """What the queue knows of a task.

    Attributes:
        task: as it was submitted.
        serial: order of submission.
        submit_us: its submit time.
        record: `(1,)` what the rules see of it.
        state: where it is in its life.
        reason: why it is in its final state, "" where there is nothing to say.
        local: its row in the tables, NO_ROW before it arrives and after its end.
        needs: tasks it depends on that have not completed.
        withheld: it is pending, but no policy sees it now.
        resting: it is withheld because it was stopped at this very instant.
        attempts: how often it was started.
        failures: how many of its attempts failed.
        kept_us: work that its last checkpoint keeps, in us of its run time.
        started_us: when its last attempt started.
        speed: how fast its last attempt runs (1: as its times say).
        nodes: index of the node of each replica of its last attempt.
        exit_code: of the program that ended its last run, None where nobody knows.
        stopping: why it is being stopped, None if it is not.
        stop_detail: the same in words.
    """

    task: Task
    serial: int
    submit_us: int
    record: Records
    state: TaskState = TaskState.SUBMITTED
    reason: str = ""
    local: int = NO_ROW
    needs: set[str] = field(default_factory=set)
    withheld: bool = False
    resting: bool = False
    attempts: int = 0
    failures: int = 0
    kept_us: int = 0
    started_us: int = 0
    speed: float = 1.0
    nodes: tuple[int, ...] = ()
    exit_code: int | None = None
    stopping: StopReason | None = None
    stop_detail: str = ""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a task whose run has ended.

    Attributes:
        state: a final state, or PENDING.
        reason: why, in words; "" for a success.
        has_failed: whether the run counts as a failure of the task.
    """

    state: TaskState
    reason: str = ""
    has_failed: bool = False


def verdict(entry: Entry, end: Completion) -> Verdict:
    """What becomes of a task after this end of a run.

    What happened goes before what was asked for: a task that completed before it could be stopped
    has completed. A run that was lost with its node costs no retry.
    """
    stopping, detail = entry.stopping, end.detail
    if end.outcome is Outcome.COMPLETED:
        return Verdict(TaskState.COMPLETED)
    if stopping is StopReason.CANCEL:
        return Verdict(TaskState.CANCELLED, entry.stop_detail or "cancelled")
    if end.outcome is Outcome.TIMED_OUT:
        return Verdict(TaskState.TIMED_OUT, detail or "it reached its time limit")
    if stopping in (StopReason.NODE_LOST, StopReason.SHUTDOWN):
        return Verdict(TaskState.PENDING, entry.stop_detail)
    if stopping is StopReason.PREEMPT and end.outcome is Outcome.STOPPED:
        return Verdict(TaskState.PENDING, "preempted")
    detail = detail or ("it failed" if end.outcome is Outcome.FAILED else "somebody stopped it")
    if end.exit_code is not None:
        detail = f"{detail} (exit code {end.exit_code})"
    return failed(entry, detail)


def failed(entry: Entry, detail: str) -> Verdict:
    """What becomes of a task whose run has failed: pending while retries remain."""
    if entry.failures < entry.task.max_retries:
        return Verdict(TaskState.PENDING, detail, has_failed=True)
    return Verdict(TaskState.FAILED, detail, has_failed=True)


def kept_work_us(entry: Entry, end_us: int) -> int:
    """Work of a task, in us of its run time, that survives when its run is cut off at `end_us`.

    A simulated task always has something left to run; see `core.rules.times.kept_work_us`.
    """
    interval_s = entry.task.checkpoint_interval_s
    interval_us = 0 if interval_s is None else max(1, int(to_us(interval_s)))
    ran_us = end_us - entry.started_us
    kept_us = int(times.kept_work_us(entry.kept_us, ran_us, entry.speed, interval_us))
    if entry.task.run_time_s is not None:
        kept_us = min(kept_us, max(0, int(to_us(entry.task.run_time_s)) - 1))
    return kept_us


def remaining_task(task: Task, kept_us: int, speed: float) -> Task:
    """The task as it is left to run: its times less the work it kept, on nodes of this speed."""
    if kept_us == 0 and speed == 1.0:
        return task
    run_s = task.run_time_s
    return replace(
        task,
        requested_time_s=_remaining_s(task.requested_time_s, kept_us, speed),
        run_time_s=None if run_s is None else _remaining_s(run_s, kept_us, speed),
    )


def _remaining_s(seconds: float, kept_us: int, speed: float) -> float:
    return int(duration_us(int(to_us(seconds)) - kept_us, speed)) / MICROSECOND
