"""The executor's side of the launcher process."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from lepton_rl.core.errors import ExecutorError
from lepton_rl.integrations.local.supervision.identity import ProcessIdentity, open_process
from lepton_rl.integrations.local.supervision.wire import (
    LAUNCHED,
    LaunchRequest,
    receive_message,
    send_message,
)

__all__ = ["Launcher"]

_PATIENCE_S = 30.0
"""Launching takes milliseconds; on a machine that needs longer, something is badly wrong."""

_ROOT = Path(__file__).resolve().parents[3]
_CODE = (
    "import sys; sys.path.append(sys.argv[1]);"
    "from lepton_rl.integrations.local.supervision.launcher_process import main; main()"
)


class Launcher:
    """Starts supervisors, through a small process that it starts when it is first needed."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def launch(self, request: LaunchRequest, know: Callable[[int], None]) -> None:
        """Start a supervisor.

        Args:
            request: what it is to run.
            know: called with its pidfd, which is then the callee's, before anything runs.

        Raises:
            ExecutorError: nothing was started.
            OSError: same.
        """
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                self._hand_over(theirs)
            ours.settimeout(_PATIENCE_S)
            try:
                send_message(ours, request._asdict())
                answer = receive_message(ours)
            except BrokenPipeError:
                answer = None
            if answer is None:
                raise ExecutorError("the launcher process ended while it started a task")
            if "error" in answer:
                raise ExecutorError(str(answer["error"]))
            pidfd = open_process(ProcessIdentity(**answer["supervisor"]))
            if pidfd is None:
                raise ExecutorError("the task's supervisor ended at once")
            know(pidfd)
            with suppress(OSError):  # should it be gone, its pidfd will tell
                send_message(ours, LAUNCHED)

    def close(self) -> None:
        """End the launcher process; supervisors go on."""
        if self._control is not None:
            self._control.close()
        if self._process is not None:
            self._process.terminate()  # a process that forked from ours may hold the socket open
            self._process.wait()
        self._control = self._process = None

    def _hand_over(self, channel: socket.socket) -> None:
        """Give the launcher its end of a channel; a launcher that has died is replaced once."""
        if self._control is not None:
            with suppress(BrokenPipeError, ConnectionResetError):
                socket.send_fds(self._control, [b"+"], [channel.fileno()])
                return
            self.close()
        self._control = self._begin()
        socket.send_fds(self._control, [b"+"], [channel.fileno()])

    def _begin(self) -> socket.socket:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                # Isolated and without site-packages: it starts quickly and stays small.
                self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and code
                    [sys.executable, "-I", "-S", "-X", "utf8", "-c", _CODE, os.fspath(_ROOT)],
                    stdin=theirs.fileno(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                raise
        return ours
