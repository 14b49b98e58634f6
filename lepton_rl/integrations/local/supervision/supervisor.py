"""The supervisor of one attempt: starts its processes, holds its limits, records its end."""

from __future__ import annotations

import os
import resource
import select
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from lepton_rl.integrations.local.supervision.records import ExitStatus
from lepton_rl.integrations.local.supervision.replica import Replica
from lepton_rl.integrations.local.supervision.signals import STOP_SIGNAL, SignalPipe
from lepton_rl.integrations.local.supervision.stream import Stream
from lepton_rl.integrations.local.supervision.verdict import (
    COMPLETED,
    FAILED,
    STOPPED,
    TIMED_OUT,
    Verdict,
    exit_status,
    verdict_of,
)
from lepton_rl.integrations.local.supervision.wire import LaunchRequest

__all__ = ["Supervisor", "end_by_force"]

_RETRY_S = 0.02
"""How often leftover processes are killed again until none is left."""


class Supervisor:
    """Runs one attempt to its end.

    The task has ended when every process of it is gone: once the replicas have ended, whatever they
    left behind, in their process groups or outside, is killed. A gang fails with its first replica
    that fails; the others are stopped.

    Args:
        request: what to run, and how.
        signals: where the signals to this process come out.
    """

    def __init__(self, request: LaunchRequest, signals: SignalPipe) -> None:
        self._request, self._signals = request, signals
        self._replicas: list[Replica] = []
        self._alive: dict[int, Replica] = {}  # by process id, until it has been waited for
        self._is_childless = False
        self._verdict: Verdict | None = None
        limit_s = request.time_limit_s
        self._deadline = None if limit_s is None else time.monotonic() + limit_s
        self._kill_at: float | None = None
        self._poll = select.epoll()
        self._poll.register(signals.fd, select.EPOLLIN)
        self._readers: dict[int, Callable[[], None]] = {signals.fd: self._hear}

    def run(self) -> ExitStatus:
        """Start the replicas and stay until the last process is gone."""
        self._launch()
        self._bury()
        while self._alive or not self._is_childless:
            for fd, _ in self._poll.poll(self._patience_s()):
                self._readers[fd]()
            self._watch_the_clock()
        for replica in self._replicas:
            replica.close()
        return self._exit_status()

    def _launch(self) -> None:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # a gang has many pipes
        for index in range(len(self._request.replicas)):
            try:
                replica = Replica(self._request, index, (soft, hard))
            except OSError as error:
                self._decide(Verdict(FAILED, f"cannot start replica {index}: {error}"))
                return
            self._replicas.append(replica)
            self._alive[replica.pid] = replica
            for stream in replica.streams:
                self._poll.register(stream.fd, select.EPOLLIN)
                self._readers[stream.fd] = partial(self._take, stream)

    def _take(self, stream: Stream) -> None:
        if not stream.read():
            # Closing would not do: a replica that was just forked may still hold a copy.
            self._poll.unregister(stream.fd)

    def _hear(self) -> None:
        """Act on the signals that came."""
        heard = self._signals.heard()
        self._bury()
        if STOP_SIGNAL in heard:
            self._interrupt(Verdict(STOPPED, "stopped on request"))
        if signal.SIGTERM in heard:
            self._interrupt(Verdict(FAILED, "its supervisor was told to terminate (SIGTERM)"))

    def _bury(self) -> None:
        """Wait for children that have ended, ours and orphans alike."""
        while True:
            try:
                found = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            except ChildProcessError:
                self._is_childless = True
                return
            if found is None:
                break
            self._bury_one(found.si_pid)
        if not self._alive:
            _kill_children()

    def _bury_one(self, pid: int) -> None:
        replica = self._alive.pop(pid, None)
        if replica is not None:
            # Not waited for yet, so its id, which is that of its group, cannot be somebody else's.
            replica.signal(signal.SIGKILL)
        _, status = os.waitpid(pid, 0)
        if replica is not None:
            replica.exit_code = os.waitstatus_to_exitcode(status)
            verdict = verdict_of(replica, len(self._request.replicas))
            if verdict is not None:
                self._decide(verdict)

    def _interrupt(self, verdict: Verdict) -> None:
        """Have the task stopped, unless it has ended by itself and only leftovers remain."""
        if self._alive:
            self._decide(verdict)

    def _decide(self, verdict: Verdict) -> None:
        """The first cause is the one that counts; from then on the task is being stopped."""
        if self._verdict is None:
            self._verdict = verdict
            self._signal_all(signal.SIGTERM)
            self._signal_all(signal.SIGCONT)  # who is suspended cannot end in order
            self._kill_at = time.monotonic() + self._request.stop_grace_s

    def _signal_all(self, number: int) -> None:
        for replica in self._alive.values():
            replica.signal(number)

    def _patience_s(self) -> float | None:
        if not self._alive:
            return _RETRY_S
        times = [self._kill_at] if self._verdict is not None else [self._deadline]
        known = [each for each in times if each is not None]
        return max(0.0, min(known) - time.monotonic()) if known else None

    def _watch_the_clock(self) -> None:
        now = time.monotonic()
        if self._verdict is None and self._deadline is not None and now >= self._deadline:
            limit_s = self._request.time_limit_s
            self._interrupt(Verdict(TIMED_OUT, f"ran longer than its limit of {limit_s:g} s"))
        if self._kill_at is not None and now >= self._kill_at:
            self._signal_all(signal.SIGKILL)
            self._kill_at = None
        if not self._alive:
            self._bury()

    def _exit_status(self) -> ExitStatus:
        verdict = self._verdict or Verdict(COMPLETED)
        problems = {stream.problem for each in self._replicas for stream in each.streams}
        for problem in sorted(problems - {""}):
            so_far = f"{verdict.detail}; " if verdict.detail else ""
            verdict = verdict._replace(detail=f"{so_far}output was lost: {problem}")
        never_ran = len(self._request.replicas) - len(self._replicas)
        exit_codes = [replica.exit_code for replica in self._replicas]
        return exit_status(verdict, [*exit_codes, *[None] * never_ran])


def end_by_force() -> None:
    """Kill all descendants of this process and wait until they are gone."""
    while True:
        _kill_children()
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def _kill_children() -> None:
    """Kill all children of this process; they are not waited for, so their ids are their own."""
    me = os.getpid()
    try:
        children = Path(f"/proc/{me}/task/{me}/children").read_bytes().split()
    except OSError:
        return  # a kernel without this file: the process groups are gone, that must do
    for child in children:
        with suppress(PermissionError):  # it has become another user's
            os.kill(int(child), signal.SIGKILL)
