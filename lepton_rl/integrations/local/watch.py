"""Waiting for the ends of many supervisors at once."""

from __future__ import annotations

import math
import os
import select
import signal
import threading
from contextlib import suppress

from lepton_rl.integrations.local.attempts import Attempt

__all__ = ["Watch"]


class Watch:
    """Attempts whose supervisors are alive, as far as anybody has noticed.

    `wait` may be called by several threads at any time, the other methods by one at a time.
    """

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._closing = os.eventfd(0, os.EFD_CLOEXEC)
        self._poll.register(self._closing, select.EPOLLIN)
        self._attempts: dict[int, Attempt] = {}  # by pidfd
        self._turn = threading.Condition()
        self._waiting = 0
        self._is_closing = False

    def add(self, attempt: Attempt, pidfd: int) -> None:
        """Watch an attempt.

        Args:
            attempt: gets the pidfd.
            pidfd: of its supervisor; owned from now on.

        Raises:
            OSError: the kernel has no room; the pidfd is closed then.
        """
        try:
            self._poll.register(pidfd, select.EPOLLIN)
        except OSError:
            os.close(pidfd)
            raise
        self._attempts[pidfd], attempt.pidfd = attempt, pidfd

    def signal(self, attempt: Attempt, number: int) -> None:
        """Send a signal to the supervisor of an attempt; nothing happens if it has ended."""
        if attempt.pidfd is not None:
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(attempt.pidfd, number)

    def ended(self) -> list[Attempt]:
        """The attempts whose supervisors have ended, each told once; their pidfds are closed."""
        ready = self._poll.poll(0, maxevents=len(self._attempts) + 1)
        return [self._drop(pidfd) for pidfd, _ in ready if pidfd != self._closing]

    def wait(self, timeout_s: float) -> bool:
        """Block until a supervisor has ended that `ended` has not told; False if none does."""
        timeout = None if math.isinf(timeout_s) else max(0.0, timeout_s)
        with self._turn:
            if self._is_closing:
                return False
            self._waiting += 1
        try:
            ready = self._poll.poll(timeout, maxevents=2)
        finally:
            with self._turn:
                self._waiting -= 1
                self._turn.notify_all()
        return bool(ready) and not self._is_closing

    def close(self) -> None:
        """Let go of everything; who waits is woken up."""
        with self._turn:
            self._is_closing = True
            os.eventfd_write(self._closing, 1)
            # A file that is closed wakes nobody, so all must have noticed before that.
            self._turn.wait_for(lambda: self._waiting == 0)
        for pidfd in list(self._attempts):
            self._drop(pidfd)
        self._poll.close()
        os.close(self._closing)

    def _drop(self, pidfd: int) -> Attempt:
        attempt = self._attempts.pop(pidfd)
        self._poll.unregister(pidfd)
        os.close(pidfd)
        attempt.pidfd = None
        return attempt
