"""Who has a journal open for writing, and whether that process still lives."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

__all__ = ["Liveness", "Process", "liveness"]


class Liveness(Enum):
    """What can be said about a process from here."""

    ALIVE = "alive"
    DEAD = "dead"
    UNKNOWN = "unknown"
    """on another machine, or in another container"""


@dataclass(frozen=True, slots=True)
class Process:
    """One process, told apart from any other that has or had its number.

    Attributes:
        host: name of the machine, for messages.
        machine: boot of the kernel and space of process numbers, empty where the system does not
            tell. Only processes of the same `machine` can be looked up: a container may have the
            same host name and reuse the same numbers.
        pid: number of the process.
        start: when it started, in ticks since the boot, empty where the system does not tell.
    """

    host: str
    machine: str
    pid: int
    start: str

    @classmethod
    def current(cls) -> Process:
        """This one."""
        pid = os.getpid()
        return cls(platform.node()[:255], _machine(), pid, _start_of(pid) or "")

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"


def liveness(process: Process, observer: Process) -> Liveness:
    """Whether `process` lives, as far as `observer`, the current process, can tell."""
    if not observer.machine or process.machine != observer.machine:
        return Liveness.UNKNOWN
    try:
        os.kill(process.pid, 0)
    except ProcessLookupError:
        return Liveness.DEAD
    except PermissionError:
        pass  # it exists and belongs to somebody else
    start = _start_of(process.pid)
    # Not even listed, although it exists: hidden from us (hidepid), so it may well be the owner.
    return Liveness.DEAD if start is not None and start != process.start else Liveness.ALIVE


def _machine() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        space = Path("/proc/self/ns/pid").readlink()
    except OSError:
        return ""
    return f"{boot} {space}"


def _start_of(pid: int) -> str | None:
    """When a process started; None if it cannot be seen, empty if it is dead but not yet reaped."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    state, *rest = text.rpartition(")")[2].split()
    return "" if state in "ZX" else rest[18]
