"""One run of a task: its replicas, and what has become of them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lepton_rl.integrations.ray.replica import NOT_EXECUTABLE, NOT_FOUND
from lepton_rl.system.executor import Completion, Outcome

__all__ = ["Gang", "completion_of"]

_WORDS = {NOT_FOUND: "its command was not found", NOT_EXECUTABLE: "its command cannot be run"}


@dataclass(slots=True, eq=False)
class Gang:
    """One run.

    Attributes:
        task_id: whose.
        serial: order of the starts.
        start_us: on the scheduler's clock.
        actors: handle of each replica.
        runs: what each replica is doing: a promise of its exit code.
        codes: exit codes of those that have ended; None where the replica was lost.
        cause: why the others were stopped, "" if nobody was; what ended first counts.
        code: exit code of who ended first badly.
        is_stopped: on request.
    """

    task_id: str
    serial: int
    start_us: int
    actors: list[Any]
    runs: list[Any]
    codes: dict[int, int | None] = field(default_factory=dict)
    cause: str = ""
    code: int | None = None
    is_stopped: bool = False

    @property
    def is_over(self) -> bool:
        """Whether all its replicas have ended."""
        return len(self.codes) == len(self.runs)

    def ended(self, replica: int, code: int | None, why: str) -> bool:
        """A replica has ended.

        Args:
            replica: its index.
            code: its exit code, None where it was lost.
            why: it was lost, "" otherwise.

        Returns:
            Whether the others must be stopped: it is the first to end badly.
        """
        self.codes[replica] = code
        if code == 0 or self.cause or self.is_stopped:
            return False
        self.code = code
        self.cause = why or f"replica {replica}: {_WORDS.get(code or 0, f'exit code {code}')}"
        return True


def completion_of(gang: Gang, now_us: int) -> Completion:
    """What to tell of a gang that is over."""
    end_us = max(gang.start_us, now_us)
    if gang.cause:
        return Completion(gang.task_id, end_us, Outcome.FAILED, gang.code, gang.cause)
    if gang.is_stopped and any(gang.codes.values()):
        code = next(code for code in gang.codes.values() if code)
        return Completion(gang.task_id, end_us, Outcome.STOPPED, code, "stopped on request")
    return Completion(gang.task_id, end_us, Outcome.COMPLETED, 0)
