"""A file of lines that does not fill the disk."""

from __future__ import annotations

from pathlib import Path

__all__ = ["BoundedLines"]


class BoundedLines:
    """Appends lines; a full file is kept as `NAME.1`, in the place of the one before.

    Args:
        path: of the file; what it has already stays.
        most_bytes: of one file (>= 1), so both together have at most twice as many.

    Raises:
        OSError: it cannot be opened.
    """

    def __init__(self, path: Path, most_bytes: int) -> None:
        self._path, self._most = path, most_bytes
        self._open()

    def _open(self) -> None:
        self._file = self._path.open("a", encoding="utf-8")
        self._size = self._file.tell()

    def write(self, line: str) -> None:
        """Append a line, which ends with a line break.

        Raises:
            OSError: the file cannot be written, or not exchanged.
        """
        size = len(line.encode())
        if self._size and self._size + size > self._most:
            self._file.close()
            try:
                self._path.replace(self._path.with_name(f"{self._path.name}.1"))
            finally:
                self._open()
        self._file.write(line)
        self._size += size

    def flush(self) -> None:
        """Hand what was written to the operating system.

        Raises:
            OSError: it cannot be written.
        """
        self._file.flush()

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()
