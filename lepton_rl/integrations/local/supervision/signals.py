"""Signals as something that can be polled."""

from __future__ import annotations

import os
import signal

__all__ = ["STOP_SIGNAL", "SignalPipe"]

STOP_SIGNAL = signal.SIGUSR1
"""Tells a supervisor to stop its task."""


class SignalPipe:
    """From now on, the signals that concern launcher and supervisors end up in this pipe.

    Attributes:
        fd: readable when one has come.
    """

    def __init__(self) -> None:
        self.fd, self._writing = os.pipe()
        os.set_blocking(self.fd, False)
        os.set_blocking(self._writing, False)
        signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        for number in (signal.SIGCHLD, signal.SIGTERM, STOP_SIGNAL):
            signal.signal(number, _wake_up)

    def heard(self) -> bytes:
        """The numbers of the signals that came, one byte each; none if there are none."""
        try:
            return os.read(self.fd, 4096)
        except BlockingIOError:
            return b""

    def replace(self) -> SignalPipe:
        """A pipe of its own for a process that was forked; this one is closed there."""
        mine = SignalPipe()
        os.close(self.fd)
        os.close(self._writing)
        return mine


def _wake_up(number: int, frame: object) -> None:
    """Does nothing, but without a handler nothing is written to the pipe."""
