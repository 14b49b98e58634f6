"""LocalExecutor: tasks as processes of this machine."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from lepton_rl.core.errors import ExecutorError
from lepton_rl.core.tasks import Task
from lepton_rl.integrations.local.attempts import Attempt, completion_of, end_of, has_begun
from lepton_rl.integrations.local.directories import NewAttempt, RunDirectory
from lepton_rl.integrations.local.launcher import Launcher
from lepton_rl.integrations.local.requests import launch_request
from lepton_rl.integrations.local.settings import LocalSettings
from lepton_rl.integrations.local.supervision.identity import open_process
from lepton_rl.integrations.local.supervision.records import Claim
from lepton_rl.integrations.local.supervision.signals import STOP_SIGNAL
from lepton_rl.integrations.local.supervision.wire import LaunchRequest
from lepton_rl.integrations.local.watch import Watch
from lepton_rl.system.executor import Cards, Completion

__all__ = ["LocalExecutor"]

_FORCE_S = 10.0
"""How long processes may take to be gone after SIGKILL."""

_STRAYS_S = 0.01
"""Between two looks at what a killed supervisor has left behind."""


class LocalExecutor:
    """Runs the command of each task on this machine (Linux 5.3 or later); see docs/executors.md.

    Every task has a supervisor, a process of its own that does not depend on this one. If this
    process is killed, tasks go on, and the next LocalExecutor on the same run directory answers
    for them: for those that still run, and those whose end has not been acknowledged. `acknowledge`
    does that, and a new `start` of the same task.

    All methods may be called from several threads.

    Args:
        run_dir: keeps output and exit status of every attempt, on a local disk. One executor at a
            time uses it.
        settings: limits; None for the defaults.

    Raises:
        ExecutorError: the run directory cannot be used, or another executor uses it.
    """

    uses_cards = True

    def __init__(self, run_dir: str | Path, settings: LocalSettings | None = None) -> None:
        self._settings = settings if settings is not None else LocalSettings()
        self._lock = threading.RLock()
        self._is_closed = False
        self._serials = itertools.count()
        self._attempts: dict[str, Attempt] = {}  # by task; not told yet
        self._told: dict[str, Attempt] = {}  # by task; not acknowledged yet
        self._directory = RunDirectory(run_dir)
        self._launcher, self._watch = Launcher(), Watch()
        try:
            self._adopt()
        except BaseException:
            self._release()
            raise

    def start(
        self,
        task: Task,
        nodes: Sequence[int],
        now_us: int,
        *,
        attempt: int | None = None,
        cards: Sequence[Cards] | None = None,
    ) -> None:
        """Start all replicas of a task.

        A command that cannot be run (not found, not executable, no such working directory) does not
        raise: the task has started and FAILED.

        Args:
            task: what to run.
            nodes: index of the node of each replica.
            now_us: the scheduler's clock.
            attempt: the scheduler's number of this run, from 1; None where nobody counts.
            cards: the cards of each replica; all others are hidden from it. None leaves what it
                sees alone.

        Raises:
            ExecutorError: it runs already, its last end has not been told, it has no command, or
                no process can be had; nothing of it runs then.
        """
        with self._lock:
            self._require_open()
            if task.id in self._attempts:
                raise ExecutorError(
                    f"task {task.id!r} still runs, or its end has not been told; start it again"
                    " after its completion"
                )
            self._forget(task.id)
            try:
                new = self._directory.new_attempt(task.id, attempt or 1)
            except OSError as error:
                raise _cannot_start(task, error) from error
            try:
                request = launch_request(task, nodes, cards, now_us, new, self._settings, attempt)
                self._launch(request, new)
            except OSError as error:
                _discard(new)
                raise _cannot_start(task, error) from error
            except BaseException:
                _discard(new)
                raise

    def stop(self, task_id: str, now_us: int) -> None:
        """Ask a task to end: SIGTERM, and after the grace period SIGKILL, to all its processes.

        Its completion follows: STOPPED, or what it came to by itself if it was quicker. Asking
        again changes nothing.

        Args:
            task_id: which.
            now_us: the scheduler's clock.

        Raises:
            ExecutorError: no such task runs.
        """
        with self._lock:
            self._require_open()
            if task_id not in self._attempts:
                raise ExecutorError(f"expected a running task to stop, got {task_id!r}")
            self._watch.signal(self._attempts[task_id], STOP_SIGNAL)

    def next_completion_us(self) -> int | None:
        """None: nobody knows when a process will end. Use `wait`."""
        return None

    def completions(self, now_us: int) -> list[Completion]:
        """The tasks that have ended, by end, then in the order in which they began.

        This executor tells each end once; the next one on this run directory tells those again
        that have not been acknowledged.

        Args:
            now_us: the scheduler's clock; ends are placed on it by how long ago they were, never
                before the start of the task and never in the future.
        """
        with self._lock:
            self._require_open()
            self._watch.ended()
            over = [each for each in self._attempts.values() if each.pidfd is None]
            told = [(self._tell(each, now_us), each.serial) for each in over]
            ends = [(each, serial) for each, serial in told if each is not None]
            ends.sort(key=lambda end: (end[0].end_us, end[1]))
            return [each for each, _ in ends]

    def known_runs(self) -> Mapping[str, int | None]:
        """Task -> the scheduler's number of its run, None if it gave none.

        Of each run that is alive, or whose end has not been acknowledged.
        """
        with self._lock:
            known = {**self._told, **self._attempts}
            return {task_id: attempt.run for task_id, attempt in known.items()}

    def acknowledge(self, ends: Sequence[Completion]) -> None:
        """Forget runs whose ends this executor has told; the next one does not tell them again."""
        with self._lock:
            for end in ends:
                told = self._told.get(end.task_id)
                if told is not None and told.run == end.attempt:
                    self._forget(end.task_id)

    def running(self) -> frozenset[str]:
        """Tasks that are alive or whose end has not been told, whoever started them."""
        with self._lock:
            return frozenset(self._attempts)

    def wait(self, timeout_s: float) -> bool:
        """Block until an end may be ready.

        Args:
            timeout_s: at most so long (>= 0); infinity for as long as it takes.

        Returns:
            False if the time was over, or the executor was closed, before that.
        """
        with self._lock:
            if self._is_closed:
                return False
            is_over = any(each.pidfd is None for each in self._attempts.values())
        if is_over:
            time.sleep(min(_STRAYS_S, max(0.0, timeout_s)))
            return True
        return self._watch.wait(timeout_s)

    def close(self, stop_running: bool) -> None:
        """Let go of the run directory; a second call does nothing.

        Args:
            stop_running: stop all tasks and wait for their ends, which the next executor on this
                run directory tells. Otherwise they go on.

        Raises:
            ExecutorError: some did not end, even by force. It is closed all the same.
        """
        with self._lock:
            if self._is_closed:
                return
            try:
                if stop_running:
                    self._stop_all()
            finally:
                self._release()

    def attempts(self, task_id: str) -> list[Path]:
        """Directories of all attempts at a task, the last one last.

        Each holds `stdout` and `stderr` (`stdout.1` and so on for further replicas) and, after the
        end, `exit_status`.
        """
        return self._directory.attempts(task_id)

    def _adopt(self) -> None:
        """Answer for what executors before this one have left: of each task, its last attempt."""
        claims = sorted(self._directory.take_over(), key=lambda each: each[1].attempt)
        latest = {claim.task_id: path for path, claim in claims}
        for path, claim in sorted(claims, key=lambda each: each[1].start_us):
            if latest[claim.task_id] == path:
                self._adopt_one(path, claim)
            else:
                path.unlink(missing_ok=True)  # a later start has acknowledged it

    def _adopt_one(self, path: Path, claim: Claim) -> None:
        directory = self._directory.directory_of(claim)
        serial = next(self._serials)
        attempt = Attempt(claim.task_id, serial, claim.start_us, directory, path, claim.run)
        pidfd = open_process(claim.supervisor)
        if pidfd is not None:
            self._watch.add(attempt, pidfd)
        if has_begun(attempt):
            self._attempts[claim.task_id] = attempt
        else:
            path.unlink(missing_ok=True)

    def _launch(self, request: LaunchRequest, new: NewAttempt) -> None:
        name, start_us, serial = request.task_id, request.start_us, next(self._serials)
        attempt = Attempt(name, serial, start_us, new.directory, new.claim, request.run)
        self._launcher.launch(request, lambda pidfd: self._watch.add(attempt, pidfd))
        self._attempts[name] = attempt

    def _tell(self, attempt: Attempt, now_us: int) -> Completion | None:
        status = end_of(attempt)
        if status is None:
            return None
        del self._attempts[attempt.task_id]
        self._told[attempt.task_id] = attempt
        return completion_of(attempt, status, now_us)

    def _forget(self, task_id: str) -> None:
        """Whoever was told of the end of its last run has acted upon it."""
        attempt = self._told.pop(task_id, None)
        if attempt is not None:
            attempt.claim.unlink(missing_ok=True)

    def _stop_all(self) -> None:
        for attempt in self._attempts.values():
            self._watch.signal(attempt, STOP_SIGNAL)
        give_up = time.monotonic() + self._settings.stop_grace_s + _FORCE_S
        left = list(self._attempts.values())
        while left and time.monotonic() < give_up:
            self._watch.wait(_STRAYS_S)
            self._watch.ended()
            left = [each for each in left if each.pidfd is not None or end_of(each) is None]
        if left:
            names = ", ".join(repr(each.task_id) for each in left[:5])
            raise ExecutorError(f"{len(left)} tasks do not end, even by force: {names}")

    def _release(self) -> None:
        self._is_closed = True
        self._watch.close()
        self._launcher.close()
        self._directory.close()

    def _require_open(self) -> None:
        if self._is_closed:
            raise ExecutorError("this executor is closed; make a new one on its run directory")


def _discard(new: NewAttempt) -> None:
    """Forget an attempt that was not launched."""
    new.claim.unlink(missing_ok=True)
    with suppress(OSError):  # its supervisor has left a word in it
        new.directory.rmdir()


def _cannot_start(task: Task, error: OSError) -> ExecutorError:
    return ExecutorError(f"task {task.id!r} cannot be started: {error.strerror or error}")
