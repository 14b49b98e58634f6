"""Attempts that an executor answers for, and how their ends are found out."""

from __future__ import annotations

import select
import time
from dataclasses import dataclass
from pathlib import Path

from lepton_rl.integrations.local.strays import kill_strays
from lepton_rl.integrations.local.supervision.identity import boot_id
from lepton_rl.integrations.local.supervision.records import VOID, ExitStatus, read_exit_status
from lepton_rl.system.executor import Completion, Outcome

__all__ = ["Attempt", "completion_of", "end_of", "has_begun"]

_UNDECIDED_S = 5.0

_LOST = "its supervisor was killed, so its exit status is unknown; what was left of it was killed"


@dataclass(slots=True)
class Attempt:
    """One attempt at a task whose end has not been acknowledged.

    Attributes:
        task_id: whose.
        serial: order in which the executor got to know of them.
        start_us: when it was started, on the scheduler's clock.
        directory: where its files are.
        claim: file that keeps it from being forgotten.
        run: the scheduler's number of it, None if it gave none.
        pidfd: readable when its supervisor has ended; None once that has been noticed.
    """

    task_id: str
    serial: int
    start_us: int
    directory: Path
    claim: Path
    run: int | None = None
    pidfd: int | None = None


def has_begun(attempt: Attempt) -> bool:
    """Whether anything of it has run, or may have.

    The executor that launched it may have been killed in between; its supervisor makes up its mind
    within a few milliseconds and then either begins or ends.
    """
    give_up = time.monotonic() + _UNDECIDED_S
    ended = select.poll()
    if attempt.pidfd is not None:
        ended.register(attempt.pidfd, select.POLLIN)
    while attempt.pidfd is not None and time.monotonic() < give_up:
        if (attempt.directory / "stdout").exists():
            return True
        if ended.poll(1):
            break
    status = read_exit_status(attempt.directory)
    return status is None or status.outcome != VOID


def end_of(attempt: Attempt) -> ExitStatus | None:
    """How an attempt whose supervisor is gone has ended; None while something of it still runs."""
    status = read_exit_status(attempt.directory)
    if status is None and kill_strays(attempt.directory) == 0:
        status = ExitStatus(Outcome.FAILED, None, _LOST, [], _since_boot_us(), boot_id())
    return status


def completion_of(attempt: Attempt, status: ExitStatus, now_us: int) -> Completion | None:
    """An end as the scheduler is told it; None if nobody ever knew that it was started."""
    if status.outcome == VOID:
        return None
    # The scheduler's clock is its own affair, so only the age of the end is carried over.
    age_us = max(0, _since_boot_us() - status.ended_us) if status.boot_id == boot_id() else 0
    end_us = min(now_us, max(attempt.start_us, now_us - age_us))
    outcome = Outcome(status.outcome)
    run = attempt.run
    return Completion(attempt.task_id, end_us, outcome, status.exit_code, status.detail, run)


def _since_boot_us() -> int:
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
