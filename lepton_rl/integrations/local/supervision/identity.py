"""Which process is meant: a process id alone may belong to somebody else by now."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from typing import NamedTuple

__all__ = ["ProcessIdentity", "boot_id", "identity_of", "open_process"]


class ProcessIdentity(NamedTuple):
    """One process, never mistaken for a later one of the same id.

    Attributes:
        pid: process id.
        start_ticks: when it began, in clock ticks since boot (field 22 of /proc/pid/stat).
        boot_id: of the boot that it belongs to.
    """

    pid: int
    start_ticks: int
    boot_id: str


@cache
def boot_id() -> str:
    """Name of the current boot of this machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_bytes().decode().strip()


def identity_of(pid: int) -> ProcessIdentity:
    """The process that has this id now.

    Raises:
        OSError: there is none.
    """
    stat = Path(f"/proc/{pid}/stat").read_bytes()
    after_name = stat[stat.rindex(b")") + 2 :].split()  # the name may hold blanks and brackets
    return ProcessIdentity(pid, int(after_name[19]), boot_id())


def open_process(identity: ProcessIdentity) -> int | None:
    """A pidfd of this very process, readable once it has ended; None if it is gone.

    Raises:
        OSError: out of file descriptors, or the kernel is too old (before Linux 5.3).
    """
    try:
        pidfd = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return None
    try:
        # From here on the pidfd stands for one process, so this comparison cannot go stale.
        if identity_of(identity.pid) == identity:
            return pidfd
    except (FileNotFoundError, ProcessLookupError):
        pass
    except OSError:
        os.close(pidfd)
        raise
    os.close(pidfd)
    return None
