"""A live scheduler: a thread that lets things happen as time passes in the world."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from lepton_rl.core.errors import JournalError, StateError
from lepton_rl.core.tasks import TaskState
from lepton_rl.system.clocks import MonotonicClock
from lepton_rl.system.life import StopReason
from lepton_rl.system.operations import Operations, locked

__all__ = ["Live"]

INTERNAL_ERROR = "internal-error"
_LONGEST_SLEEP_S = 1.0
_EXECUTOR_POLL_S = 0.2
_MICROS = 1e6

_log = logging.getLogger("lepton_rl.system")


class Live(Operations):
    """Time: the simulated one, from event to event, or the world's.

    While it is live, one thread owns the course of events; all public methods may be called from
    any thread. A second thread waits for the executor, so that ends are acted upon at once.
    """

    _clock: MonotonicClock | None
    _error: BaseException | None

    def _prepare_live(self) -> None:
        self._clock, self._error = None, None
        self._dates = False  # the clock shows Unix time
        self._is_closing = self._is_stopping = self._has_stopped = self._is_paused = False
        self._heard = threading.Event()  # the scheduler has looked at what the executor told
        self._threads: list[threading.Thread] = []

    @property
    def is_live(self) -> bool:
        """Whether time is the world's."""
        return self._clock is not None and not self._has_stopped

    @property
    def failure(self) -> BaseException | None:
        """What ended its thread; None if nothing has."""
        return self._error

    @locked
    def start(self, clock: MonotonicClock | None = None) -> None:
        """Go live: from now on time passes as in the world, and tasks start as soon as they can.

        What strict mode would raise is counted as an incident from now on.

        Args:
            clock: None for one that goes on from the scheduler's time; with a journal it shows Unix
                time, so that the time between two schedulers counts.

        Raises:
            StateError: it was started before.
        """
        if self._clock is not None:
            raise StateError("the scheduler was started before; make a new one")
        if clock is None:
            since_1970_us = time.time_ns() // 1000 if self._dates else 0
            clock = MonotonicClock(max(self.now_us, since_1970_us))
        self._clock = clock
        self._strict = False
        for work, name in ((self._live, "scheduler"), (self._listen, "executor")):
            self._threads.append(threading.Thread(target=work, name=f"lepton-{name}", daemon=True))
        for thread in self._threads:
            thread.start()

    def stop(
        self, drain: bool = True, timeout_s: float | None = None, *, stop_running: bool = True
    ) -> bool:
        """End a live scheduler; it takes no more tasks, and cannot be started again.

        Args:
            drain: let all tasks that were submitted end first. Otherwise pending tasks stay
                pending.
            timeout_s: how long to wait for tasks to end, or to stop; None for as long as it takes.
            stop_running: without `drain`, stop what runs; those tasks are pending again, with
                their work up to the last checkpoint. Otherwise they are left to the executor.

        Returns:
            False if the time was over before all had ended or stopped.

        Raises:
            StateError: it was never started.
            LeptonError: what ended its thread.
        """
        if self._clock is None:
            raise StateError("the scheduler was not started; there is nothing to stop")
        with self._changed:
            self._is_closing = True
        try:
            is_done = self.join(timeout_s) if drain else self._stop_running(stop_running, timeout_s)
        finally:
            self._finish(stop_running)
        self._raise_error()
        return is_done

    def _finish(self, stop_running: bool) -> None:
        """End the threads and let go of the executor."""
        with self._changed:
            self._is_stopping = True
            self._changed.notify_all()
        self._heard.set()
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join()
        with self._changed:
            if not self._has_stopped:
                self._has_stopped = True
                # After an error nothing may be done that is not written down.
                self._executor.close(stop_running and self._error is None)
                if self._error is None:
                    self._recorder.close()

    def wait(self, task_id: str, timeout_s: float | None = None) -> TaskState:
        """Wait until a task has ended.

        Returns:
            Its final state, or the one it is in when the time is over.

        Raises:
            StateError: no such task was submitted, or the scheduler is not live.
            LeptonError: what ended the scheduler's thread.
        """
        with self._changed:
            self._wait_until(lambda: self.queue.state_of(task_id).is_final, timeout_s)
            return self.queue.state_of(task_id)

    def join(self, timeout_s: float | None = None) -> bool:
        """Wait until all tasks submitted so far have ended; False if the time is over.

        Raises:
            StateError: the scheduler is not live.
            LeptonError: what ended the scheduler's thread.
        """
        return self._wait_until(lambda: self.queue.num_unfinished == 0, timeout_s)

    def _wait_until(self, is_met: Callable[[], bool], timeout_s: float | None) -> bool:
        """Wait for something that the scheduler's thread brings about."""
        with self._changed:
            if not is_met() and self._clock is None:
                raise StateError(
                    "the scheduler is not live, so nothing happens; start it, or run()"
                )
            self._changed.wait_for(
                lambda: is_met() or self._error is not None or self._has_stopped, timeout_s
            )
            self._raise_error()
            return is_met()

    def _raise_error(self) -> None:
        if self._error is not None:
            raise self._error

    def _stop_running(self, stop_running: bool, timeout_s: float | None) -> bool:
        """Have all running tasks stopped, where that is wanted."""
        if not stop_running:
            return True
        with self._changed:
            self._is_paused = True
            for entry in self.queue.on_nodes():
                self._stop_run(entry, StopReason.SHUTDOWN, "the scheduler was stopped")
            self._is_due = True
            self._changed.notify_all()
        return self._wait_until(lambda: not self.queue.on_nodes(), timeout_s)

    def _live(self) -> None:
        """The thread that owns the course of events."""
        with self._changed:
            while not self._is_stopping:
                try:
                    self._advance()
                    self._changed.notify_all()
                    self._changed.wait(self._idle_s())
                except JournalError as error:
                    # What is not written down must not happen.
                    self._error = error
                    _log.critical("the scheduler stops: %s", error)
                    break
                except Exception:
                    self.monitor.incident(INTERNAL_ERROR)
                    _log.exception("the scheduler goes on after an error")
                    self._changed.wait(_LONGEST_SLEEP_S)
            self._changed.notify_all()

    def _advance(self) -> None:
        """Let everything happen that is due by now."""
        self._is_due = False
        self._catch_up()
        self._let_happen()
        self._heard.set()
        if not self._is_paused:
            self._decide()
        self._recorder.beat()

    def _idle_s(self) -> float:
        """How long nothing will happen, as far as anybody knows."""
        next_us = self._next_event_us()
        if next_us is None or self._clock is None:
            return _LONGEST_SLEEP_S
        return min(_LONGEST_SLEEP_S, max(0.0, (next_us - self._clock.now_us()) / _MICROS))

    def _listen(self) -> None:
        """The thread that waits for the executor, and wakes the other one."""
        while not self._is_stopping and self._error is None:
            try:
                has_news = self._executor.wait(_EXECUTOR_POLL_S)
            except Exception:
                _log.exception("waiting for the executor failed")
                has_news = False
                time.sleep(_EXECUTOR_POLL_S)
            if has_news and not self._is_stopping:
                self._heard.clear()
                with self._changed:
                    self._is_due = True
                    self._changed.notify_all()
                self._heard.wait(_LONGEST_SLEEP_S)

    def _catch_up(self) -> None:
        if self._clock is not None and not self._has_stopped:
            self._move_clock(max(self.now_us, self._clock.now_us()))

    def _let_happen(self) -> None:
        """Everything of this instant."""
        self.receive()
        self.complete()
        next_us = self.queue.next_arrival_us()
        if next_us is not None and next_us <= self.now_us:
            self.receive()  # tasks that waited for what has just completed

    def _next_event_us(self) -> int | None:
        """When something happens next, as far as anybody knows."""
        if self._is_due:
            return self.now_us
        times = [self.queue.next_arrival_us(), self._executor.next_completion_us()]
        times += [each.end_us for each in self._ended[:1]]
        if self.queue.has_resting:
            times.append(self.now_us + 1)
        known = [time_us for time_us in times if time_us is not None]
        return max(self.now_us, min(known)) if known else None

    def _require_open(self) -> None:
        self._raise_error()
        if self._is_closing:
            raise StateError("the scheduler is stopping and takes no more tasks")

    def _require_not_live(self) -> None:
        if self._clock is not None:
            raise StateError("the scheduler is live: time passes by itself; use wait() or join()")
