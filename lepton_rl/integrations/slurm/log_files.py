"""Lines that are on the disk once they are written, in a file that does not grow for ever."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from lepton_rl.core.errors import JournalError, StateError

__all__ = ["LogFiles"]

_LOCK = "lock"


class LogFiles:
    """A log `NAME.jsonl`, and its predecessors `NAME.1.jsonl` (the latest), `NAME.2.jsonl`, ...

    Args:
        folder: one process at a time uses it.
        name: of the files.
        kept: predecessors that are kept.

    Attributes:
        path: of the present file.

    Raises:
        StateError: another process uses the folder.
        JournalError: a file cannot be read or written.
    """

    def __init__(self, folder: Path, name: str, kept: int) -> None:
        self.path = folder / f"{name}.jsonl"
        self._kept = kept
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = (folder / _LOCK).open("a")
        except OSError as error:
            raise JournalError(f"cannot write {folder / _LOCK}: {error.strerror}") from error
        try:
            self._take_lock(folder)
            self._file = self._opened()
        except BaseException:
            self._lock.close()
            raise

    def _take_lock(self, folder: Path) -> None:
        """The lock is a file of its own, because the log's file is replaced now and then."""
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise StateError(
                f"another attachment uses {folder}; stop it, or give this one its own folder"
            ) from error

    def _opened(self) -> IO[str]:
        """A last line without an end was cut off by a crash, before what it says was done."""
        try:
            content = self.path.read_bytes() if self.path.exists() else b""
            if whole := content.rfind(b"\n") + 1:
                os.truncate(self.path, whole)
            elif content:
                os.truncate(self.path, 0)
            return self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise JournalError(f"cannot write {self.path}: {error.strerror}") from error

    def lines(self) -> list[str]:
        """What the present file says."""
        return self.path.read_text(encoding="utf-8", errors="replace").splitlines()

    def size(self) -> int:
        """Bytes of the present file."""
        return self._file.tell()

    def append(self, line: str) -> None:
        """Make a line durable.

        Raises:
            JournalError: it cannot be written.
        """
        try:
            _write(self._file, [line])
        except OSError as error:
            raise JournalError(f"cannot write {self.path}: {error.strerror}") from error

    def begin_anew(self, lines: Iterable[str]) -> None:
        """Go on in a new file that begins with these lines; the old one becomes a predecessor.

        A crash leaves the old file or the new one in place, whole.

        Raises:
            JournalError: it cannot be done; the present file goes on.
        """
        part = self.path.with_suffix(".part")
        try:
            with part.open("w", encoding="utf-8") as file:
                _write(file, lines)
            self._shift()
            part.replace(self.path)
            self._file.close()
            self._file = self.path.open("a", encoding="utf-8")
        except OSError as error:
            raise JournalError(f"cannot write {part}: {error.strerror}") from error

    def _shift(self) -> None:
        """The present file stays where it is, and gets its next name besides."""
        names = [self.path.with_suffix(f".{n}.jsonl") for n in range(1, self._kept + 1)]
        for older, newer in zip(reversed(names), reversed(names[:-1]), strict=False):
            if newer.exists():
                newer.replace(older)
        if names:
            names[0].unlink(missing_ok=True)
            os.link(self.path, names[0])

    def close(self) -> None:
        """Let go of the folder."""
        self._file.close()
        self._lock.close()


def _write(file: IO[str], lines: Iterable[str]) -> None:
    file.writelines(f"{line}\n" for line in lines)
    file.flush()
    os.fsync(file.fileno())
