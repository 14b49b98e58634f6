"""Starting runs: a task with its nodes goes to the executor."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from lepton_rl.core.errors import JournalError
from lepton_rl.core.policy import Start
from lepton_rl.core.tasks import Task, TaskState
from lepton_rl.system.life import Entry, failed, remaining_task
from lepton_rl.system.parts import EXECUTOR_ERROR, Parts

__all__ = ["StartingRuns"]

_log = logging.getLogger("lepton_rl.system")


class StartingRuns(Parts):
    """What happens between a decision and a task that runs."""

    def _launch(self, decision: Start) -> bool:
        """Start a task whose nodes are allocated."""
        entry = self.queue.entry_at(decision.task)
        assert entry is not None, "a decision that was not checked"
        speed = self.pool.speed_of(decision.task, list(decision.nodes))
        entry.attempts += 1
        try:
            self._recorder.starting(entry, decision.nodes, self.now_us)
            attempt = remaining_task(entry.task, entry.kept_us, speed)
            self._start_run(attempt, decision, entry.attempts)
        except JournalError:
            self.pool.undo(decision.task)
            entry.attempts -= 1  # it was not written, so its number is still the next
            raise
        except Exception as error:
            self.pool.undo(decision.task)
            if self._strict:
                self._recorder.not_started(entry, self.now_us)
                raise
            self._fail_to_start(entry, error)
            return False
        self.queue.start(decision.task, decision.nodes)
        self._recorder.started(entry, self.now_us)
        return True

    def _start_run(self, run: Task, decision: Start, attempt: int) -> None:
        """Tell the executor, as much as it wants to know."""
        more: dict[str, Any] = {}
        has_cards = self._tables.view.nodes.card_start[-1] > 0  # else there are none to hide
        if has_cards and self._uses_cards is not None and self._uses_cards.uses_cards:
            more["cards"] = self.pool.cards_held(decision.task)
        if self._resumable is not None:
            more["attempt"] = attempt
        start: Callable[..., None] = self._executor.start
        start(run, decision.nodes, self.now_us, **more)

    def _fail_to_start(self, entry: Entry, error: Exception) -> None:
        """The executor has refused a task: that is a failed attempt."""
        self.monitor.incident(EXECUTOR_ERROR)
        _log.warning("task %r could not be started: %s", entry.task.id, error)
        found = failed(entry, f"the executor could not start it: {error}")
        entry.failures += 1
        if found.state is TaskState.PENDING:
            self._recorder.not_started(entry, self.now_us, counts=True)
            self.monitor.interrupted(entry.task.id, self.now_us, "failed", found.reason)
            self.queue.rest(entry)
        else:
            self.queue.end(entry.task.id, found.state, found.reason, self.now_us)
