"""The launcher: a small process that forks a supervisor for each task.

It serves one executor and ends with it; the supervisors do not. `lepton_rl.integrations.local.
launcher` starts it.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
from contextlib import suppress

from lepton_rl.integrations.local.supervision.attempt import supervise
from lepton_rl.integrations.local.supervision.identity import boot_id
from lepton_rl.integrations.local.supervision.signals import SignalPipe
from lepton_rl.integrations.local.supervision.wire import send_message

__all__ = ["main"]


def main() -> None:
    """Serve the executor at the other end of standard input until it is gone."""
    control = socket.socket(fileno=os.dup(0))
    nowhere = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(nowhere, standard)
    os.close(nowhere)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    signals = SignalPipe()
    boot_id()  # looked up once, for all supervisors
    gc.disable()  # supervisors share this process's memory as long as nobody writes to it
    gc.freeze()
    _serve(control, signals)


def _serve(control: socket.socket, signals: SignalPipe) -> None:
    poll = select.poll()
    poll.register(control, select.POLLIN)
    poll.register(signals.fd, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            if fd == signals.fd:
                if signal.SIGTERM in signals.heard():
                    return
                _bury()
                continue
            data, channels, _, _ = socket.recv_fds(control, 1, 1)
            if not data:
                return
            for channel in channels:
                _launch(socket.socket(fileno=channel), control, signals)


def _bury() -> None:
    """Wait for the supervisors that have ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass


def _launch(channel: socket.socket, control: socket.socket, signals: SignalPipe) -> None:
    """Fork a supervisor, which then talks to the executor itself."""
    with channel:
        channel.set_inheritable(False)
        try:
            pid = os.fork()
        except OSError as error:
            with suppress(OSError):
                send_message(channel, {"error": f"cannot fork a supervisor: {error.strerror}"})
            return
        if pid == 0:
            try:
                own = signals.replace()
                os.setsid()
                control.close()
                supervise(channel, own)
            finally:
                os._exit(0)
