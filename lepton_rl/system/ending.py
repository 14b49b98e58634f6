"""Ending runs: stopping them, hearing of their ends, and what becomes of their tasks."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace

from lepton_rl.core.errors import ExecutorError, StateError
from lepton_rl.core.rules.signals import note_end
from lepton_rl.core.tasks import TaskState
from lepton_rl.system.executor import Completion, Outcome
from lepton_rl.system.life import Entry, StopReason, Verdict, kept_work_us, verdict
from lepton_rl.system.parts import EXECUTOR_ERROR, Parts

__all__ = ["EndingRuns"]

FOREIGN_COMPLETION = "foreign-completion"

_log = logging.getLogger("lepton_rl.system")


class EndingRuns(Parts):
    """What happens between the end of a run, or the wish for it, and a task that goes on."""

    def _stop_run(self, entry: Entry, why: StopReason, detail: str = "") -> None:
        """Have a running task stopped, unless it is being stopped already."""
        is_stopping = entry.stopping is not None
        if entry.stopping not in (StopReason.CANCEL, why) and why is not StopReason.CANCEL:
            self._recorder.stop_requested(entry, why, self.now_us)
        self.queue.stop(entry, why, detail)
        if not is_stopping:
            self._tell_to_stop(entry)

    def _tell_to_stop(self, entry: Entry) -> None:
        try:
            self._executor.stop(entry.task.id, self.now_us)
        except ExecutorError:
            pass  # it has just ended by itself; that end is told next
        except Exception as error:
            if self._strict:
                raise
            self.monitor.incident(EXECUTOR_ERROR)
            _log.warning("task %r could not be stopped: %s", entry.task.id, error)

    def _collect(self) -> None:
        """Hear from the executor which runs have ended; what it tells again is not news."""
        told: Sequence[Completion] = ()
        try:
            told = self._executor.completions(self.now_us)
        except Exception:
            if self._strict:
                raise
            self.monitor.incident(EXECUTOR_ERROR)
            _log.exception("the executor cannot tell what has ended")
        if not told and not self._ended:
            return
        self._acknowledge([each for each in told if self._was_settled(each)])
        self._ended += [each for each in told if not self._was_settled(each)]
        if not self._strict:
            self._ended = [each for each in self._ended if self._is_ours(each)]
        self._ended = [self._after_its_start(each) for each in self._ended]
        self._ended.sort(key=lambda each: (each.end_us, self.queue.local_of(each.task_id)))

    def _after_its_start(self, end: Completion) -> Completion:
        """No run ends before it began, whatever the clock of its executor says."""
        started_us = self.queue.entry(end.task_id).started_us
        return end if end.end_us >= started_us else replace(end, end_us=started_us)

    def _was_settled(self, end: Completion) -> bool:
        """Whether a run is over for us: an executor tells its end until that is acknowledged."""
        if end.attempt is None:
            return False
        entry = self.queue.find(end.task_id)
        if entry is None:
            ending = self.queue.ended.get(end.task_id)
            return ending is not None and end.attempt <= (ending.attempts or end.attempt)
        is_present = end.attempt == entry.attempts and entry.state.is_on_nodes
        return end.attempt <= entry.attempts and not is_present

    def _is_ours(self, end: Completion) -> bool:
        try:
            self._require_ours(end)
        except StateError as error:
            self.monitor.incident(FOREIGN_COMPLETION)
            _log.warning("ignored a completion: %s", error)
            return False
        return True

    def _require_ours(self, end: Completion) -> Entry:
        """The task whose present run has ended.

        Raises:
            StateError: there is no such run.
        """
        entry = self.queue.require_running(end.task_id)
        if end.attempt not in (None, entry.attempts):
            raise StateError(
                f"expected the end of attempt {entry.attempts} of task {end.task_id!r}, got that"
                f" of attempt {end.attempt}"
            )
        return entry

    def _acknowledge(self, ends: Sequence[Completion]) -> None:
        """Let the executor forget ends that are durable."""
        if not ends or self._resumable is None:
            return
        try:
            self._resumable.acknowledge(ends)
        except Exception:  # it tells them again
            if self._strict:
                raise
            self.monitor.incident(EXECUTOR_ERROR)
            _log.exception("the executor cannot forget what it has told")

    def _settle_stopped(self) -> None:
        """Complete the runs that have stopped on request; others wait for their turn."""
        self._collect()
        stopped = [each for each in self._ended if each.outcome is Outcome.STOPPED]
        self._ended = [each for each in self._ended if each.outcome is not Outcome.STOPPED]
        with self._recorder.batch():
            for each in stopped:
                self._settle(each)
        self._acknowledge(stopped)

    def _settle(self, end: Completion) -> None:
        """Let a task go on with its life after a run."""
        if not self._strict and not self._is_ours(end):
            return  # the executor told it twice
        entry = self._require_ours(end)
        found = verdict(entry, end)
        if end.outcome is not Outcome.STOPPED:
            note_end(self._tables.handle, 0, entry.local, end.outcome is not Outcome.COMPLETED)
        entry.failures += found.has_failed
        if found.state is TaskState.PENDING:
            self._interrupt(entry, found, end)
        else:
            entry.exit_code = end.exit_code
            self.queue.end(end.task_id, found.state, found.reason, end.end_us)

    def _interrupt(self, entry: Entry, found: Verdict, end: Completion) -> None:
        kept_us = kept_work_us(entry, end.end_us)
        stopping = None if found.has_failed else entry.stopping
        why = "failed" if stopping is None else stopping.value
        self._recorder.interrupted(entry, stopping, kept_us, end.exit_code, end.end_us)
        self.queue.requeue(entry.task.id, kept_us, resting=stopping is StopReason.PREEMPT)
        self.monitor.interrupted(entry.task.id, end.end_us, why, found.reason)
