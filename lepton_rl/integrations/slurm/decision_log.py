"""What we did to Slurm's queue, written before it is done, as lines of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from lepton_rl.core.errors import JournalError
from lepton_rl.integrations.slurm.log_files import LogFiles

__all__ = ["DecisionLog", "Release"]

_NAME = "decisions"
_HEARTBEAT = "heartbeat"


@dataclass(frozen=True, slots=True)
class Release:
    """A job that we released to nodes.

    Attributes:
        at_s: Unix time.
        nodes: where it should start.
        required: nodes that its user had asked for, which it gets back if it is taken back.
        is_seen: whether Slurm has told of it as released since.
    """

    at_s: float
    nodes: tuple[str, ...]
    required: tuple[str, ...] = ()
    is_seen: bool = False


class DecisionLog:
    """The decisions of all attachments that have used one folder.

    What must be known after a crash is read back: the origin of the policies' clock, and the jobs
    that are released. Slurm itself knows all the rest.

    Args:
        folder: where the log and the heartbeat are; None keeps them in memory only.
        most_bytes: a larger file is put aside, and a new one begins with what must be known
            (twice that, if it is more).
        kept: files put aside that are kept.

    Attributes:
        released: job -> its release.
        origin_s: Unix time of 0 on the policies' clock; None before the first round.
        boot: of the slurmctld that we last heard of, "" before the first round.

    Raises:
        StateError: another attachment uses the folder.
        JournalError: the log cannot be read or written.
    """

    def __init__(
        self, folder: str | Path | None, *, most_bytes: int = 32 * 2**20, kept: int = 4
    ) -> None:
        self.released: dict[str, Release] = {}
        self.origin_s: float | None = None
        self.boot = ""
        self._most_bytes = self._limit_bytes = most_bytes
        self._folder = None if folder is None else Path(folder)
        self._files = None if self._folder is None else LogFiles(self._folder, _NAME, kept)
        try:
            self._replay()
        except BaseException:
            self.close()
            raise

    def _replay(self) -> None:
        if self._files is None:
            return
        for number, line in enumerate(self._files.lines(), start=1):
            try:
                self._apply(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                raise JournalError(
                    f"{self._files.path}, line {number}: expected a decision as JSON, got"
                    f" {line[:60]!r}; move the file away, then jobs that are released now count as"
                    " released by their users"
                ) from error

    def write(self, event: str, **details: Any) -> None:
        """Make an event durable, and act upon it here.

        Raises:
            JournalError: it cannot be written.
        """
        record = {"event": event, **details}
        if self._files is not None:
            self._files.append(_line(record))
        self._apply(record)
        if self._files is not None and self._files.size() > self._limit_bytes:
            self._files.begin_anew(map(_line, self._state()))
            self._limit_bytes = max(self._most_bytes, 2 * self._files.size())

    def _state(self) -> Iterator[dict[str, Any]]:
        """Events that lead to where we are: how a new file begins."""
        if self.origin_s is not None:
            yield {"event": "origin", "at_s": self.origin_s}
        if self.boot:
            yield {"event": "boot", "boot": self.boot}
        for job, each in self.released.items():
            told = {job: {"nodes": each.nodes, "required": each.required}}
            yield {"event": "release", "at_s": each.at_s, "jobs": told}
        if seen := [job for job, each in self.released.items() if each.is_seen]:
            yield {"event": "seen", "jobs": seen}

    def _apply(self, record: dict[str, Any]) -> None:
        event = record["event"]
        if event == "origin":
            self.origin_s = float(record["at_s"])
        elif event == "boot":
            self._forget_sightings(record["boot"])
        elif event == "release":
            for job, told in record["jobs"].items():
                required = tuple(told["required"])
                self.released[job] = Release(record["at_s"], tuple(told["nodes"]), required)
        elif event == "seen":
            for job in record["jobs"]:
                self.released[job] = replace(self.released[job], is_seen=True)
        elif event in {"take-back", "gone"}:
            for job in record["jobs"]:
                self.released.pop(job, None)

    def _forget_sightings(self, boot: str) -> None:
        """A slurmctld that was killed may have forgotten the last seconds, our releases too."""
        self.boot = boot
        for job, release in self.released.items():
            self.released[job] = replace(release, is_seen=False)

    def beat(self, now_s: float) -> None:
        """Tell `job_submit.lua` that somebody is there to release what it holds."""
        if self._folder is not None:
            part = self._folder / f"{_HEARTBEAT}.part"
            part.write_text(f"{int(now_s)}\n", encoding="utf-8")
            part.replace(self._folder / _HEARTBEAT)

    def close(self) -> None:
        """Let go of the folder; from now on new jobs are not held."""
        if self._files is not None and self._folder is not None:
            (self._folder / _HEARTBEAT).unlink(missing_ok=True)
            self._files.close()
            self._files = None


def _line(record: dict[str, Any]) -> str:
    return json.dumps(record, allow_nan=False)
