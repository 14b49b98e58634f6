"""Processes of an attempt whose supervisor was killed."""

from __future__ import annotations

import os
import signal
from pathlib import Path

__all__ = ["kill_strays"]


def kill_strays(directory: Path) -> int:
    """Kill every process that was started for the attempt in this directory.

    They are known by the variable LEPTON_ATTEMPT_DIR in their environment, so none of another
    attempt, and none that merely has an old process id, can be hit.

    Returns:
        How many there were; they may take a moment to be gone.
    """
    marker = b"LEPTON_ATTEMPT_DIR=" + os.fsencode(directory)
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]
    return sum(_kill_if_marked(pid, marker) for pid in pids)


def _kill_if_marked(pid: int, marker: bytes) -> bool:
    try:
        pidfd = os.pidfd_open(pid)
    except (ProcessLookupError, OSError):
        return False
    try:
        # The pidfd was there first: if the environment is the right one, it is this process's.
        environment = Path(f"/proc/{pid}/environ").read_bytes()
        if marker not in environment.split(b"\0"):
            return False
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except OSError:  # it has ended, or is not ours to look at
        return False
    finally:
        os.close(pidfd)
    return True
