"""What we did to Slurm's queue, written before it is done, as lines of JSON."""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

from lepton_rl.core.errors import JournalError, StateError

__all__ = ["DecisionLog", "Release"]

_FILE = "decisions.jsonl"
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

    Attributes:
        released: job -> its release.
        origin_s: Unix time of 0 on the policies' clock; None before the first round.
        boot: of the slurmctld that we last heard of, "" before the first round.

    Raises:
        StateError: another attachment uses the folder.
        JournalError: the log cannot be read or written.
    """

    def __init__(self, folder: str | Path | None) -> None:
        self.released: dict[str, Release] = {}
        self.origin_s: float | None = None
        self.boot = ""
        self._folder = None if folder is None else Path(folder)
        self._file = None if self._folder is None else self._open(self._folder)

    def _open(self, folder: Path) -> IO[str]:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            file = (folder / _FILE).open("a+", encoding="utf-8")
        except OSError as error:
            raise JournalError(f"cannot write {folder / _FILE}: {error.strerror}") from error
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.close()
            raise StateError(
                f"another attachment uses {folder}; stop it, or give this one its own folder"
            ) from error
        try:
            file.seek(0)
            self._replay(file.read().split("\n"))
        except BaseException:
            file.close()
            raise
        return file

    def _replay(self, lines: list[str]) -> None:
        """A last line without an end was cut off by a crash: what it says was not yet done."""
        for number, line in enumerate(lines[:-1], start=1):
            try:
                self._apply(json.loads(line))
            except (ValueError, KeyError, TypeError) as error:
                if not line.startswith("{") or line.endswith("}"):
                    where = f"{self._folder}/{_FILE}, line {number}"
                    raise JournalError(
                        f"{where}: expected a decision as JSON, got {line[:60]!r}; move the file"
                        " away, then jobs that are released now count as released by their users"
                    ) from error

    def write(self, event: str, **details: Any) -> None:
        """Make an event durable, and act upon it here.

        Raises:
            JournalError: it cannot be written.
        """
        record = {"event": event, **details}
        if self._file is not None:
            try:
                self._file.write(json.dumps(record, allow_nan=False) + "\n")
                self._file.flush()
                os.fsync(self._file.fileno())
            except OSError as error:
                raise JournalError(f"cannot write {self._folder}: {error.strerror}") from error
        self._apply(record)

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
        if self._file is not None and self._folder is not None:
            (self._folder / _HEARTBEAT).unlink(missing_ok=True)
            self._file.close()
            self._file = None
