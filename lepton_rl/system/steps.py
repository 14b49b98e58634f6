"""The seven steps of the Lepton system, and the loop that asks the policy.

receive, assess, balance, reserve, execute, feed back and complete are methods of these names.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from lepton_rl.core.checks import shown
from lepton_rl.core.clock import to_seconds
from lepton_rl.core.errors import (
    ExecutorError,
    InfeasibleDecisionError,
    JournalError,
    StateError,
)
from lepton_rl.core.policy import Decision, Policy, Preempt, Start, Wait
from lepton_rl.core.rules.signals import note_end, pass_time
from lepton_rl.core.tables import View
from lepton_rl.core.tasks import Task, TaskState
from lepton_rl.system.executor import Completion, Executor, Outcome, Resumable, UsesCards
from lepton_rl.system.life import (
    Entry,
    StopReason,
    Verdict,
    failed,
    kept_work_us,
    remaining_task,
    verdict,
)
from lepton_rl.system.monitor import Monitor
from lepton_rl.system.pool import Refusal, ResourcePool
from lepton_rl.system.queue import TaskQueue
from lepton_rl.system.quotas import Quotas
from lepton_rl.system.recording import Recorder
from lepton_rl.system.state import Tables

__all__ = ["POLICY_ERROR", "Steps"]

POLICY_ERROR = "policy-error"
EXECUTOR_ERROR = "executor-error"
FOREIGN_COMPLETION = "foreign-completion"

_log = logging.getLogger("lepton_rl.system")


class Steps:
    """What a scheduler does at one instant; `Scheduler` is its public face and sets these up."""

    queue: TaskQueue
    pool: ResourcePool
    monitor: Monitor
    _tables: Tables
    _policy: Policy
    _executor: Executor
    _recorder: Recorder
    _quotas: Quotas
    _strict: bool
    _falls_back: bool  # the policy has raised at this instant
    _ended: list[Completion]  # have ended, but their turn has not come yet

    @property
    def now_us(self) -> int:
        """The clock, in us; 0 before the first event."""
        return int(self._tables.view.status["now_us"][0])

    @property
    def now_s(self) -> float:
        """The clock, in seconds."""
        return float(to_seconds(self.now_us))

    def receive(self, limit: int | None = None) -> int:
        """Step 1: tasks whose time has come become pending.

        Args:
            limit: take at most this many.

        Returns:
            How many did.
        """
        count = 0
        while count != limit and self.queue.receive(self.now_us) is not None:
            count += 1
        return count

    def assess(self) -> View:
        """Step 2: what the policy may look at: queue, nodes, running tasks, reservations, clock."""
        return self._tables.view

    def balance(self, decision: Start | Preempt) -> Start | Preempt:
        """Step 3: a task without nodes gets the least loaded ones, R_min = argmin C_i / T_i.

        Raises:
            InfeasibleDecisionError: the task does not fit now.
        """
        if isinstance(decision, Preempt) or len(decision.nodes) > 0:
            return decision
        return replace(decision, nodes=self.pool.least_loaded(decision.task))

    def reserve(self) -> Start | None:
        """Step 4: hold nodes for the first critical task that cannot start, and for no other.

        Returns:
            The start of a task that had a reservation and fits now; None if there is none.
        """
        promised = self.pool.reserve()
        return None if promised is None else Start(*promised)

    def execute(self, decision: Start | Preempt) -> bool:
        """Step 5: allocate the nodes and start the task on them; all of it happens or nothing.

        A preempted task is told to stop; it gives back its nodes once it has.

        Returns:
            Whether it is done; False if the executor failed, which counts as a failure of the task.

        Raises:
            InfeasibleDecisionError: these nodes cannot be had.
            LeptonError: the executor cannot start it (strict mode).
        """
        if isinstance(decision, Preempt):
            entry = self.queue.entry_at(decision.task)
            assert entry is not None, "a decision that was not checked"
            self._stop_run(entry, StopReason.PREEMPT)
            self._settle_stopped()
            return True
        self.pool.allocate(decision.task, decision.nodes)
        return self._launch(decision)

    def feed_back(self, decision: Decision, refused: InfeasibleDecisionError | None = None) -> None:
        """Step 6: tell the monitor what was decided, and what became of it."""
        if refused is not None:
            self.monitor.refused(refused.cause or Refusal.NOT_A_DECISION)
        elif isinstance(decision, Start):
            task = self.queue.task_at(decision.task)
            self.monitor.started(task.id, decision.nodes, self.now_us)
        elif isinstance(decision, Preempt):
            self.monitor.preempted()
        else:
            self.monitor.waited()

    def complete(self, limit: int | None = None) -> int:
        """Step 7: runs that have ended give back their nodes, by end, then in order of arrival.

        Args:
            limit: take at most this many; the others wait for the next call.

        Returns:
            How many did.

        Raises:
            StateError: the executor tells the end of a task that is not running (strict mode).
        """
        self._collect()
        settled: list[Completion] = []
        with self._recorder.batch():
            while self._ended and len(settled) != limit:
                settled.append(self._ended.pop(0))
                self._settle(settled[-1])
        self._acknowledge(settled)
        return len(settled)

    def _launch(self, decision: Start) -> bool:
        """Start a task whose nodes are allocated."""
        entry = self.queue.entry_at(decision.task)
        assert entry is not None, "a decision that was not checked"
        speed = self.pool.speed_of(decision.task, list(decision.nodes))
        entry.attempts += 1
        try:
            self._recorder.starting(entry, decision.nodes, self.now_us)
            attempt = remaining_task(entry.task, entry.kept_us, speed)
            self._start_run(attempt, decision)
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

    def _start_run(self, run: Task, decision: Start) -> None:
        """Tell the executor, as much as it wants to know."""
        more: dict[str, Any] = {}
        has_cards = self._tables.view.nodes.card_start[-1] > 0  # else there are none to hide
        if has_cards and isinstance(self._executor, UsesCards) and self._executor.uses_cards:
            more["cards"] = self.pool.cards_held(decision.task)
        if isinstance(self._executor, Resumable):
            more["attempt"] = self.queue.entry(run.id).attempts
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
        try:
            entry = self.queue.entry(end.task_id)
        except StateError:
            return self.queue.find_ended(end.task_id) is not None
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
        if not ends or not isinstance(self._executor, Resumable):
            return
        try:
            self._executor.acknowledge(ends)
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
            note_end(self._tables.view, 0, entry.local, end.outcome is not Outcome.COMPLETED)
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

    def _move_clock(self, now_us: int) -> None:
        """The only place where time passes."""
        changed = self.pool.slots.has_changed
        available = self.pool.available_units() if changed else None
        allocated = self.pool.allocated_units()
        self.monitor.passed(now_us, allocated, available, self.pool.watts())
        if self.queue.has_resting and now_us > self.now_us:
            self.queue.wake()
        pass_time(self._tables.view, 0, now_us)

    def _decide(self) -> None:
        """Ask the policy until it waits."""
        self._falls_back = False
        going = self._has_pending()
        if not going:
            self.reserve()  # renews what is expected of running tasks, here as in the simulator
        while going and self._has_pending():
            promised = self.reserve()
            going = self._decide_once() if promised is None else self._keep_promise(promised)

    def _keep_promise(self, decision: Start) -> bool:
        """Start a task that had a reservation, without asking the policy."""
        if self.execute(decision):
            self.feed_back(decision)
        return True

    def _has_pending(self) -> bool:
        if self._quotas:
            self._quotas.apply(self.queue)
        return self.queue.num_pending > 0

    def _decide_once(self) -> bool:
        """Ask the policy and do what it says; False if it waits, or decided what cannot be done."""
        asked: object = None
        try:
            asked = self._ask()
            if isinstance(asked, Wait):
                self.feed_back(asked)
                return False
            decision = self.balance(self._checked(asked))
            is_done = self.execute(decision)
        except InfeasibleDecisionError as error:
            if self._strict:
                raise self._explained(asked, error) from None
            self.feed_back(Wait(), error)
            return False
        if is_done:
            self.feed_back(decision)
        return True

    def _ask(self) -> object:
        """The policy's decision; where it raises and may, that of first come, first served."""
        if not self._falls_back:
            try:
                return self._timed_decision()
            except InfeasibleDecisionError:
                raise
            except Exception:
                if self._strict:
                    raise
                self.monitor.incident(POLICY_ERROR)
                _log.exception("policy %r failed; first come, first served", self._policy.name)
                self._falls_back = True
        head = int(self._tables.view.pending[0, 0])
        try:
            return Start(head, self.pool.least_loaded(head))
        except InfeasibleDecisionError:
            return Wait()

    def _timed_decision(self) -> object:
        """The policy's decision; how long it took is told to the monitor, also where it raises."""
        asked_ns = time.perf_counter_ns()
        try:
            return self._policy.decide(self.assess())
        finally:
            self.monitor.decided_in(time.perf_counter_ns() - asked_ns)

    def _checked(self, decision: object) -> Start | Preempt:
        """`decision` about a task that it can be made about, in plain integers."""
        if isinstance(decision, Preempt):
            return self._checked_preemption(decision)
        if not isinstance(decision, Start):
            raise InfeasibleDecisionError(
                "expected Start or Wait of lepton_rl.core.policy", Refusal.NOT_A_DECISION
            )
        local = decision.task
        if not isinstance(local, int | np.integer) or not self.queue.is_pending(int(local)):
            raise InfeasibleDecisionError(
                f"expected the local index of a pending task (an entry of view.pending), got"
                f" {local!r}",
                Refusal.NOT_PENDING,
            )
        nodes = (m.item() if isinstance(m, np.generic) else m for m in decision.nodes)
        return Start(int(local), tuple(nodes))

    def _checked_preemption(self, decision: Preempt) -> Preempt:
        local = decision.task
        entry = self.queue.entry_at(int(local)) if isinstance(local, int | np.integer) else None
        if entry is None or entry.state is not TaskState.RUNNING or entry.stopping is not None:
            raise InfeasibleDecisionError(
                "expected the local index of a running task (an entry of view.running) that is not"
                f" being stopped, got {local!r}",
                Refusal.NOT_RUNNING,
            )
        if not entry.task.preemptible:
            raise InfeasibleDecisionError(
                "expected a task that is preemptible", Refusal.NOT_PREEMPTIBLE
            )
        return Preempt(int(local))

    def _explained(self, asked: object, error: InfeasibleDecisionError) -> Exception:
        """The error with who decided what, and when; the policy's own errors say it themselves."""
        if not error.cause:
            return error
        what = shown(asked)
        has_task = error.cause not in (Refusal.NOT_PENDING, Refusal.NOT_RUNNING)
        if isinstance(asked, Start | Preempt) and has_task:
            what += f" (task {self.queue.task_at(asked.task).id!r})"
        return InfeasibleDecisionError(
            f"policy {self._policy.name!r} at {self.now_s:g} s decided {what}: {error}", error.cause
        )
