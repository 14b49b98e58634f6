"""One process of a task: how it is born, and what its supervisor knows of it."""

from __future__ import annotations

import os
import resource
import signal
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, NoReturn

from lepton_rl.integrations.local.supervision.prctl import die_with_parent
from lepton_rl.integrations.local.supervision.stream import Stream
from lepton_rl.integrations.local.supervision.wire import LaunchRequest

__all__ = ["CANNOT_RUN", "NOT_FOUND", "Replica"]

CANNOT_RUN = 126
"""Exit code of a process that could not become the command, as shells have it."""

NOT_FOUND = 127
"""Exit code where there is no such command, as shells have it."""

_CAUGHT_OR_IGNORED = (
    signal.SIGCHLD,
    signal.SIGINT,
    signal.SIGPIPE,
    signal.SIGTERM,
    signal.SIGUSR1,
    signal.SIGXFSZ,
)
"""Signals that Python or the supervisor handle, and a command must not inherit so."""


class Replica:
    """A process that runs the command of a task, leader of its own process group.

    Args:
        request: what to run.
        index: which of its replicas.
        open_files: limits (soft, hard) of open files to give it.

    Attributes:
        pid: its process id, also that of its group.
        exit_code: None while it runs; -n where signal n killed it.
        streams: its standard output and its standard error.

    Raises:
        OSError: no process, pipe or file can be had; nothing of it is left then.
    """

    def __init__(self, request: LaunchRequest, index: int, open_files: tuple[int, int]) -> None:
        self.index = index
        self.exit_code: int | None = None
        self.streams: list[Stream] = []
        self._trouble = -1
        writing: list[int] = []
        try:
            for name in ("stdout", "stderr"):
                path = Path(request.directory, name if index == 0 else f"{name}.{index}")
                self.streams.append(Stream(_pipe(writing), path, request.output_limit_bytes))
            self._trouble = _pipe(writing)
            self.pid = _fork(request, index, _Ends(*writing), open_files)
        except OSError:
            self.close()
            raise
        finally:
            for end in writing:
                os.close(end)

    def signal(self, number: int) -> None:
        """Send a signal to its group; only before it is waited for is the group surely its own."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, number)

    def trouble(self) -> str:
        """Why it could not run the command, "" if it could; to be asked after its end."""
        os.set_blocking(self._trouble, False)
        return os.read(self._trouble, 1 << 16).decode()

    def close(self) -> None:
        """Take what is left of its output, and close its pipes."""
        for stream in self.streams:
            stream.close()
        if self._trouble >= 0:
            os.close(self._trouble)
            self._trouble = -1


class _Ends(NamedTuple):
    """Writing ends of the pipes of a replica."""

    stdout: int
    stderr: int
    trouble: int


def _pipe(writing: list[int]) -> int:
    """A new pipe: its reading end; the other one is added to `writing`."""
    reading, end = os.pipe()
    writing.append(end)
    return reading


def _fork(request: LaunchRequest, index: int, ends: _Ends, open_files: tuple[int, int]) -> int:
    # No signal may come between fork and the reset of the handlers: the child would take it for
    # the supervisor.
    signal.pthread_sigmask(signal.SIG_BLOCK, _CAUGHT_OR_IGNORED)
    try:
        supervisor = os.getpid()
        pid = os.fork()
        if pid == 0:
            _become(request, index, ends, open_files, supervisor)
        with suppress(PermissionError, ProcessLookupError):  # the child was quicker
            os.setpgid(pid, pid)
        return pid
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _become(
    request: LaunchRequest,
    index: int,
    ends: _Ends,
    open_files: tuple[int, int],
    supervisor: int,
) -> NoReturn:
    """In the new process: turn into the command, or tell why that cannot be."""
    exit_code, doing = CANNOT_RUN, "cannot prepare its process"
    try:
        os.setpgid(0, 0)
        _reset_signals()
        die_with_parent(supervisor)
        os.dup2(ends.stdout, 1)
        os.dup2(ends.stderr, 2)
        replica = request.replicas[index]
        doing = f"cannot use CPUs {replica.cpus}"
        if replica.cpus:
            os.sched_setaffinity(0, replica.cpus)
        doing = f"cannot enter working directory {request.working_directory!r}"
        os.chdir(request.working_directory)
        doing = f"cannot set its limits (address space {request.address_space_bytes} bytes)"
        _limit(request.address_space_bytes, open_files)
        doing = f"cannot run {request.command[0]!r}"
        _execute(request.command, {**request.environment, **replica.environment})
    except FileNotFoundError as error:
        exit_code = NOT_FOUND if doing.startswith("cannot run") else CANNOT_RUN
        os.write(ends.trouble, _said(doing, error))
    except BaseException as error:
        os.write(ends.trouble, _said(doing, error))
    finally:
        os._exit(exit_code)


def _reset_signals() -> None:
    signal.set_wakeup_fd(-1)
    for number in _CAUGHT_OR_IGNORED:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())


def _limit(address_space_bytes: int | None, open_files: tuple[int, int]) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, open_files)
    if address_space_bytes is not None:
        _, most = resource.getrlimit(resource.RLIMIT_AS)
        if most != resource.RLIM_INFINITY:
            address_space_bytes = min(address_space_bytes, most)
        resource.setrlimit(resource.RLIMIT_AS, (address_space_bytes, address_space_bytes))


def _execute(command: list[str], environment: dict[str, str]) -> NoReturn:
    os.execvpe(command[0], command, environment)  # noqa: S606 - no shell is the point


def _said(doing: str, error: BaseException) -> bytes:
    cause = error.strerror if isinstance(error, OSError) else str(error) or type(error).__name__
    return f"{doing}: {cause}"[:4000].encode(errors="replace")
