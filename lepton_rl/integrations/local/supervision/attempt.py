"""The life of a supervisor: claim an attempt, run it, record its end."""

from __future__ import annotations

import errno
import os
import socket
import time
import traceback
from contextlib import suppress
from pathlib import Path

from lepton_rl.integrations.local.supervision.identity import identity_of
from lepton_rl.integrations.local.supervision.prctl import adopt_orphans
from lepton_rl.integrations.local.supervision.records import (
    VOID,
    Claim,
    ExitStatus,
    write_claim,
    write_exit_status,
)
from lepton_rl.integrations.local.supervision.signals import SignalPipe
from lepton_rl.integrations.local.supervision.supervisor import Supervisor, end_by_force
from lepton_rl.integrations.local.supervision.verdict import FAILED, Verdict, exit_status
from lepton_rl.integrations.local.supervision.wire import (
    LAUNCHED,
    LaunchRequest,
    receive_message,
    request_from,
    send_message,
)

__all__ = ["supervise"]

_RETRY_S = 1.0


def supervise(channel: socket.socket, signals: SignalPipe) -> None:
    """Run the attempt that the executor describes.

    Nothing runs before the attempt is claimed, and the executor has said that it knows of it. If
    the executor ends before that, the attempt never was.

    Args:
        channel: to the executor.
        signals: where the signals to this process come out.
    """
    adopt_orphans()
    with channel:
        message = receive_message(channel)
        if message is None:
            return
        request = request_from(message)
        if not _claim(request, channel):
            return
    _record(Path(request.directory), _run(request, signals))


def _claim(request: LaunchRequest, channel: socket.socket) -> bool:
    """Whether the attempt is ours and the executor wants it to run."""
    supervisor = identity_of(os.getpid())
    claim = Claim(request.task_id, request.attempt, request.start_us, supervisor, request.run)
    directory, path = Path(request.directory), Path(request.claim)
    try:
        write_claim(path, claim, directory)
    except OSError as error:
        with suppress(OSError):
            send_message(channel, {"error": f"cannot write {path}: {error.strerror}"})
        return False
    with suppress(OSError):
        send_message(channel, {"supervisor": supervisor._asdict()})
        if receive_message(channel) == LAUNCHED:
            return True
    with suppress(OSError):  # the next executor may have moved the claim: this tells it
        write_exit_status(directory, exit_status(Verdict(VOID, "the executor was gone"), []))
    path.unlink(missing_ok=True)
    return False


def _record(directory: Path, status: ExitStatus) -> None:
    """Write it down; where the disk is full, as soon as there is room."""
    while True:
        try:
            return write_exit_status(directory, status)
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
        time.sleep(_RETRY_S)


def _run(request: LaunchRequest, signals: SignalPipe) -> ExitStatus:
    try:
        return Supervisor(request, signals).run()
    except Exception:
        end_by_force()
        detail = f"its supervisor failed: {traceback.format_exc(limit=-3)}"
        return exit_status(Verdict(FAILED, detail), [None] * len(request.replicas))
