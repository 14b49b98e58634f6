"""One output stream of a process, kept within a limit: its beginning and its end."""

from __future__ import annotations

import shutil
from io import FileIO
from pathlib import Path

__all__ = ["CappedOutput"]


class CappedOutput:
    """Writes a stream to a file; of a long one, the first and the last half of the limit.

    What comes after the first half goes to two files in turn (`NAME.tail`, `NAME.tail-before`), so
    it can be watched while it comes. `finish` joins them, with a line that says how much is
    missing. On disk it is never more than twice the limit.

    Args:
        path: created or emptied.
        limit: bytes to keep (>= 2).

    Attributes:
        problem: why output was lost, other than for the limit; "" if none was.

    Raises:
        OSError: the file cannot be created.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self._path = path
        self._tail = path.with_name(f"{path.name}.tail")
        self._tail_before = path.with_name(f"{path.name}.tail-before")
        self._tail_limit = limit - limit // 2
        self._file, self._room = FileIO(path, "w"), limit // 2
        self._in_tail = False
        self._after_head = 0  # bytes that came after the head
        self.problem = ""

    def write(self, data: bytes) -> None:
        """Keep or count the next bytes; a full disk is noted in `problem` and does not raise."""
        try:
            if not self._in_tail:
                head, data = data[: self._room], data[self._room :]
                self._put(head)
            self._after_head += len(data)
            self._put_in_tail(data[-self._tail_limit :])
        except OSError as error:
            self.problem = error.strerror or str(error)

    def finish(self) -> None:
        """Join head and tail and close."""
        try:
            self._file.close()
            if self._in_tail:
                self._join([part for part in (self._tail_before, self._tail) if part.exists()])
        except OSError as error:
            self.problem = error.strerror or str(error)

    def _put(self, data: bytes) -> None:
        while data:
            written = self._file.write(data) or 0
            self._room -= written
            data = data[written:]

    def _put_in_tail(self, data: bytes) -> None:
        while data:
            if self._room == 0:
                self._next_tail()
            part, data = data[: self._room], data[self._room :]
            self._put(part)

    def _next_tail(self) -> None:
        self._file.close()
        if self._in_tail:
            self._tail.replace(self._tail_before)
        self._file, self._room, self._in_tail = FileIO(self._tail, "w"), self._tail_limit, True

    def _join(self, parts: list[Path]) -> None:
        written = sum(part.stat().st_size for part in parts)
        skip = max(0, written - self._tail_limit)
        missing = self._after_head - (written - skip)
        with self._path.open("ab") as joined:
            if missing:
                joined.write(b"\n[... %d bytes left out ...]\n" % missing)
            for part in parts:
                with part.open("rb") as source:
                    skip -= source.seek(min(skip, part.stat().st_size))
                    shutil.copyfileobj(source, joined)
        for part in parts:
            part.unlink()
