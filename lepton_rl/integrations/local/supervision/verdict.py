"""What a supervisor concludes from the ends of its processes."""

from __future__ import annotations

import signal
import time
from collections.abc import Sequence
from typing import NamedTuple

from lepton_rl.integrations.local.supervision.identity import boot_id
from lepton_rl.integrations.local.supervision.records import ExitStatus
from lepton_rl.integrations.local.supervision.replica import Replica

__all__ = ["COMPLETED", "FAILED", "STOPPED", "TIMED_OUT", "Verdict", "exit_status", "verdict_of"]

# Values of `Outcome`, whose module is too large for a supervisor to import.
COMPLETED = "completed"
FAILED = "failed"
TIMED_OUT = "timed_out"
STOPPED = "stopped"


class Verdict(NamedTuple):
    """Why a task ends.

    Attributes:
        outcome: one of the values above.
        detail: the cause in words.
        exit_code: of the replica that decided it; None if none did.
    """

    outcome: str
    detail: str = ""
    exit_code: int | None = None


def verdict_of(replica: Replica, num_replicas: int) -> Verdict | None:
    """What the end of one replica means for its task; None for a success."""
    code, trouble = replica.exit_code, replica.trouble()
    if not code and not trouble:
        return None
    is_gang = num_replicas > 1
    others = "; the other replicas were stopped" if is_gang else ""
    who = f"replica {replica.index}: " if is_gang else ""
    return Verdict(FAILED, f"{who}{trouble or _end_in_words(code or 0)}{others}", code)


def exit_status(verdict: Verdict, exit_codes: Sequence[int | None]) -> ExitStatus:
    """The verdict as it is recorded, with the present as the time of the end.

    Args:
        verdict: why it ended. Where it names no exit code, that of the first replica which was not
            successful is taken, else 0.
        exit_codes: of all replicas; None for those that never ran.
    """
    code = verdict.exit_code
    if code is None:
        known = [each for each in exit_codes if each is not None]
        code = next((each for each in known if each), 0 if known else None)
    ended_us = time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000
    codes = list(exit_codes)
    return ExitStatus(verdict.outcome, code, verdict.detail, codes, ended_us, boot_id())


def _end_in_words(exit_code: int) -> str:
    if exit_code >= 0:
        return f"exited with {exit_code}"
    try:
        return f"killed by {signal.Signals(-exit_code).name}"
    except ValueError:  # a real-time signal
        return f"killed by signal {-exit_code}"
