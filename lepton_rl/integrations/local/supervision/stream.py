"""The reading end of one output stream of a process."""

from __future__ import annotations

import os
from pathlib import Path

from lepton_rl.integrations.local.supervision.output import CappedOutput

__all__ = ["Stream"]

_CHUNK = 1 << 16
_LARGEST_PIPE = 1 << 20


class Stream:
    """Reads a pipe into a capped file.

    Args:
        fd: reading end of the pipe; owned from now on.
        path: file to write.
        limit: bytes to keep.

    Attributes:
        fd: to be read when it is readable.

    Raises:
        OSError: the file cannot be created; `fd` is closed then.
    """

    def __init__(self, fd: int, path: Path, limit: int) -> None:
        self.fd = fd
        try:
            self._output = CappedOutput(path, limit)
        except OSError:
            os.close(fd)
            raise
        os.set_blocking(fd, False)

    @property
    def problem(self) -> str:
        """Why output was lost, other than for the limit; "" if none was."""
        return self._output.problem

    def read(self) -> bool:
        """Take what is there, up to 64 KiB.

        Returns:
            Whether more may come; not once all writers have closed their ends.
        """
        return self._take() != b""

    def close(self) -> None:
        """Take what is left, and close.

        Should somebody unknown still write, no more is taken than a pipe can hold.
        """
        for _ in range(_LARGEST_PIPE // _CHUNK):
            if not self._take():
                break
        os.close(self.fd)
        self._output.finish()

    def _take(self) -> bytes | None:
        """The next bytes, which have been written; none at the end; None if there are none yet."""
        try:
            data = os.read(self.fd, _CHUNK)
        except BlockingIOError:
            return None
        self._output.write(data)
        return data
