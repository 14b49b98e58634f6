"""The run directory: where attempts keep their files, and who is responsible for them.

    RUN_DIR/.lock                        held by the one executor that uses the directory
    RUN_DIR/.active/GENERATION/TASK@N    claim of attempt N of a task whose end is not acknowledged
    RUN_DIR/TASK/N/                      stdout, stderr, exit_status of attempt N

Each executor has a generation of its own. Taking over moves the claims of older ones and removes
their folders, so a supervisor that is late (its executor is dead) can no longer claim anything.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import uuid
from pathlib import Path
from typing import NamedTuple

from lepton_rl.core.errors import ExecutorError
from lepton_rl.integrations.local.supervision.records import Claim, read_claim

__all__ = ["NewAttempt", "RunDirectory", "safe_name"]

_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_CLOSED = ".closed"


def safe_name(task_id: str) -> str:
    """A directory name for a task; different tasks have different ones.

    Up to 100 letters, digits, `.`, `_` and `-` stay as they are. Anything else gets a readable
    beginning, `~`, and a hash.
    """
    if _PLAIN.fullmatch(task_id):
        return task_id
    digest = hashlib.sha256(task_id.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    readable = re.sub(r"[^A-Za-z0-9._-]", "_", task_id[:40]).lstrip(".")
    return f"{readable}~{digest}"


class NewAttempt(NamedTuple):
    """Place for one more attempt at a task.

    Attributes:
        number: from 1.
        directory: new and empty.
        claim: file by which a supervisor claims it; not there yet.
    """

    number: int
    directory: Path
    claim: Path


class RunDirectory:
    """A run directory, locked for this process.

    Args:
        path: made if it is not there, for this user only.

    Raises:
        ExecutorError: it cannot be used, or another executor uses it.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).absolute()
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(self.path / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ExecutorError(
                f"cannot use run directory {self.path}: {error.strerror}"
            ) from error
        try:
            self._take_lock()
            self._generation = self.path / ".active" / uuid.uuid4().hex
            self._generation.mkdir(parents=True)
        except BaseException:
            os.close(self._lock)
            raise

    def take_over(self) -> list[tuple[Path, Claim]]:
        """Make the claims of earlier executors ours, unreadable ones (a power failure) forgotten.

        Returns:
            Claim files where they are now, and what they say.
        """
        for older in (self.path / ".active").iterdir():
            if older != self._generation:
                self._close_generation(older)
        found = []
        for path in self._generation.iterdir():
            try:
                found.append((path, read_claim(path)))
            except (OSError, ValueError):
                path.unlink(missing_ok=True)
        return found

    def new_attempt(self, task_id: str, at_least: int = 1) -> NewAttempt:
        """Make room for one more attempt at a task.

        Args:
            task_id: which.
            at_least: its number is this, or a larger one if there are attempts of such numbers.

        Raises:
            OSError: the disk is full, or the directory is gone.
        """
        name = safe_name(task_id)
        folder = self.path / name
        folder.mkdir(exist_ok=True)
        number = max(at_least, 1 + max(_attempts_in(folder), default=0))
        directory = folder / str(number)
        directory.mkdir()
        return NewAttempt(number, directory, self._generation / f"{name}@{number}")

    def attempts(self, task_id: str) -> list[Path]:
        """Directories of all attempts at a task, in order; none if there was none."""
        folder = self.path / safe_name(task_id)
        return [folder / str(number) for number in sorted(_attempts_in(folder))]

    def directory_of(self, claim: Claim) -> Path:
        """Where the attempt of a claim keeps its files."""
        return self.path / safe_name(claim.task_id) / str(claim.attempt)

    def close(self) -> None:
        """Let others use it."""
        os.close(self._lock)

    def _take_lock(self) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.pread(self._lock, 32, 0).decode(errors="replace").strip() or "?"
            raise ExecutorError(
                f"run directory {self.path} is in use by the executor of process {owner}; close"
                " that one, or choose another directory"
            ) from None
        os.ftruncate(self._lock, 0)
        os.pwrite(self._lock, f"{os.getpid()}\n".encode(), 0)

    def _close_generation(self, older: Path) -> None:
        """First out of the way of its supervisors, then emptied; a kill in between does no harm."""
        if older.suffix != _CLOSED:
            older = older.rename(older.with_suffix(_CLOSED))
        for claim in older.iterdir():
            claim.rename(self._generation / claim.name)
        older.rmdir()


def _attempts_in(folder: Path) -> list[int]:
    try:
        return [int(entry.name) for entry in folder.iterdir() if entry.name.isdecimal()]
    except FileNotFoundError:
        return []
