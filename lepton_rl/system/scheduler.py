"""Scheduler: submit -> TaskQueue -> Scheduler(policy) -> ResourcePool -> Executor -> Monitor.

The seven steps of the Lepton system are methods of these names: receive, assess, balance, reserve,
execute, feed_back, complete (`lepton_rl.system.steps`). Time either goes from event to event
(`run`, `step`), or it is the world's (`start`).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterable, Mapping
from dataclasses import replace
from enum import StrEnum
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from lepton_rl.core.clock import to_seconds, to_us
from lepton_rl.core.errors import ConfigError, JournalError, LeptonError, StateError
from lepton_rl.core.intake import node_table
from lepton_rl.core.naming import did_you_mean
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.policy import Policy, RemembersTasks
from lepton_rl.core.schedule import Schedule
from lepton_rl.core.tables import Ints, Records
from lepton_rl.core.tasks import Task, TaskState
from lepton_rl.system.demands import Demands
from lepton_rl.system.dependencies import require_acyclic
from lepton_rl.system.estimates import PREDICTION_ERROR, Estimator, RunTimeEstimates
from lepton_rl.system.executor import Executor
from lepton_rl.system.life import Entry
from lepton_rl.system.live import Live
from lepton_rl.system.monitor import Monitor, TaskRecord
from lepton_rl.system.operations import locked
from lepton_rl.system.pool import ResourcePool
from lepton_rl.system.queue import TaskQueue
from lepton_rl.system.quotas import Quotas
from lepton_rl.system.recording import Recorder
from lepton_rl.system.simulated import SimulatedExecutor
from lepton_rl.system.source import RecordedTasks, estimates_of, tasks_from
from lepton_rl.system.state import Tables

if TYPE_CHECKING:
    from lepton_rl.system.journal import Journal

__all__ = ["EventBatching", "Scheduler"]

_SUBMITTED_TOGETHER = 1000
"""Tasks of a list that share one wait for the journal's disk."""
_log = logging.getLogger("lepton_rl.system")


class EventBatching(StrEnum):
    """How much happens before the policy is asked again."""

    INSTANT = "instant"
    """everything of one instant"""
    SINGLE = "single"
    """one event, an arrival before a completion at the same instant (the RLScheduler protocol)"""


class Scheduler(Live):
    """Runs tasks on a cluster as a policy decides.

    At each event the policy is asked again and again until it waits. Before each decision nodes
    are reserved for the first critical task that cannot start.

    Args:
        cluster: starts idle, all nodes up.
        policy: decides; it is reset here.
        executor: runs the tasks; None simulates them.
        monitor: is told what happens; None for a new one.
        strict: whether an infeasible decision, or an exception of the policy or the executor,
            raises. Otherwise it is counted as an incident: an infeasible decision is ignored and
            the policy asked again at the next event, a policy that raises is replaced by first
            come, first served for this instant, a task that the executor cannot start has failed.
            A live scheduler is never strict.
        event_batching: an `EventBatching` or its name.
        quotas: tenant -> dominant share of the cluster, above 0 and at most 1, that its running
            tasks may hold together; others have no limit.
        journal: everything is written there before it happens, and what it holds is taken up here
            (`lepton_rl.system.recovery`). None keeps nothing.
        typical: what tasks usually ask for (`core.typical`), by which fragmentation is measured;
            None learns it from what is submitted.
        prediction: predicts the run times that policies see, and learns from each end, e.g. a
            `lepton_rl.prediction.LiveEstimates`; None leaves them what users ask for.
        keep_ended: of how many tasks that have ended, the latest, queue and monitor keep what
            happened; None for all. A scheduler that lives for long should have a limit. With a
            `monitor` of yours it is the monitor's.

    Attributes:
        queue: pending and running tasks, and where each task is in its life.
        pool: nodes, loads and reservations.
        monitor: records, counts, utilisation, energy.

    Raises:
        ConfigError: an unknown `event_batching`, a quota that is no share, a `keep_ended` that is
            no whole number >= 0, or one beside a monitor that has another.
    """

    def __init__(
        self,
        cluster: Cluster,
        policy: Policy,
        executor: Executor | None = None,
        monitor: Monitor | None = None,
        *,
        strict: bool = True,
        event_batching: EventBatching | str = EventBatching.INSTANT,
        quotas: Mapping[str, float] | None = None,
        journal: Journal | None = None,
        typical: Records | None = None,
        prediction: RunTimeEstimates | None = None,
        keep_ended: int | None = None,
    ) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._batching = _batching(event_batching)
        self._strict = strict
        self._follow_policy(policy)
        self._employ(executor if executor is not None else SimulatedExecutor())
        self._tables = Tables(node_table(cluster))
        self.monitor = _monitor(cluster, monitor, keep_ended)
        self.queue = TaskQueue(
            cluster,
            self._tables,
            self._reindex_policy,
            self._task_ended,
            self.monitor.keep_ended,
        )
        self._estimator = Estimator(prediction, self._prediction_failed)
        self.queue.on_arrival = self._estimator.arriving
        self.pool = ResourcePool(cluster, self._tables)
        self._quotas = Quotas(quotas or {}, self._tables)
        self._recorder = Recorder()
        self._demands = Demands() if typical is None else None
        if typical is not None:
            self._tables.set_typical(typical)
        self._ended = []
        self._is_due = self._falls_back = False
        self._prepare_live()
        policy.reset()
        if journal is not None:
            self._write_into(journal)

    @property
    def records(self) -> tuple[TaskRecord, ...]:
        """What has happened to each task so far, in order of submission."""
        return self.monitor.records

    def schedule(self) -> Schedule:
        """The records as arrays, tasks in order of submission.

        Raises:
            StateError: the monitor has forgotten some.
        """
        return self.monitor.schedule()

    def state_of(self, task_id: str) -> TaskState:
        """Where a task is in its life.

        Raises:
            StateError: no such task was submitted.
        """
        with self._changed:
            return self.queue.state_of(task_id)

    def reason_of(self, task_id: str) -> str:
        """Why a task is in its final state, "" where there is nothing to say.

        Nobody knows any more of a task that ended before the last `keep_ended`, unless there is a
        journal.

        Raises:
            StateError: no such task was submitted.
        """
        with self._changed:
            return self.queue.reason_of(task_id)

    @locked
    def reservations(self) -> dict[str, str]:
        """Node name -> id of the critical task it is held for."""
        return {name: self.queue.task_at(local).id for name, local in self.pool.holders().items()}

    @locked
    def shares(self) -> dict[str, float]:
        """Tenant with a quota -> dominant share of the cluster that it holds now, 0 to 1."""
        return self._quotas.shares(self.queue)

    @locked
    def submit(self, task: Task) -> None:
        """Take in a task; it arrives when the clock reaches its submit time.

        While the scheduler is live, a submit time that has passed becomes now.

        Raises:
            StateError: a task of this id was submitted before, or the scheduler takes no more.
            InfeasibleTaskError: the cluster can never hold it, or its tenant's quota.
            ConfigError: a demand is not an amount of its kind, or `depends_on` names a task that
                was not submitted.
        """
        self._require_open()
        self._catch_up()
        self._submit([self._stamped(task)])

    @locked
    def submit_all(self, tasks: RecordedTasks | Iterable[Task]) -> None:
        """Take in the tasks of a workload, or of a list, in their order.

        Tasks may depend on each other in any order; then all are taken in or none.

        Raises:
            LeptonError: as `submit` does, at the first bad task; those before it stay submitted
                (unless tasks depend on each other).
            ConfigError: tasks depend on each other in a circle.
        """
        self._require_open()
        self._catch_up()
        if not isinstance(tasks, RecordedTasks):
            tasks = [self._stamped(task) for task in tasks]
            if any(task.depends_on for task in tasks):
                self._submit(tasks)
                return
        self._estimator.expect(estimates_of(tasks))
        source = tasks_from(tasks)
        while group := list(islice(source, _SUBMITTED_TOGETHER)):
            self._submit_group(group)

    def run(self) -> None:
        """Go on until every submitted task has ended.

        Raises:
            StateError: a task is pending and nothing can ever happen.
            InfeasibleDecisionError: in strict mode, a decision that the rules forbid.
        """
        while self.step():
            pass

    def run_until(self, time_s: float) -> None:
        """Go on up to a time, which is then the clock's; raises as `run` does."""
        until_us = int(to_us(time_s))
        while True:
            next_us = self._next_event_us()
            if next_us is None or next_us > until_us:
                break
            self.step()
        with self._changed:
            if until_us > self.now_us:
                self._move_clock(until_us)

    @locked
    def step(self) -> bool:
        """Go to the next instant (or event), let it happen, and decide until the policy waits.

        Returns:
            Whether there was one.

        Raises:
            StateError: as `run` does, or the scheduler is live.
            InfeasibleDecisionError: as `run` does; the decision has changed nothing.
        """
        self._require_not_live()
        next_us = self._next_event_us()
        if next_us is None:
            self._refuse_to_wait_forever()
            return False
        self._is_due = False
        self._move_clock(next_us)
        if self._batching is EventBatching.SINGLE:
            if self.receive(limit=1) == 0:
                self.complete(limit=1)
        else:
            self._let_happen()
        self._decide()
        return True

    def _write_into(self, journal: Journal) -> None:
        """Go on where a journal ends, and write it on."""
        from lepton_rl.system.journaling import JournalRecorder
        from lepton_rl.system.recovery import ended_before, recover

        self._recorder = JournalRecorder(journal, self.pool)
        self.queue.ended.find = partial(ended_before, journal)
        self._dates = True
        recover(self, journal)
        self._is_due = self.queue.num_unfinished > 0

    def _submit_group(self, tasks: list[Task]) -> None:
        """Take in independent tasks: at once, or, where one of them is bad, all before it."""
        try:
            self._submit(tasks)
        except JournalError:
            raise
        except LeptonError:
            for task in tasks:
                self._submit([task])

    def _submit(self, tasks: list[Task]) -> None:
        """Take in tasks that may depend on each other: all or none."""
        together = {task.id: task for task in tasks}
        if len(together) < len(tasks):
            twice = next(task.id for task in tasks if together[task.id] is not task)
            raise StateError(f"task {twice!r} is there twice; give each task its own id")
        require_acyclic(together)
        records = self.queue.check(tasks, together)
        for task, record in zip(tasks, records, strict=True):
            self._quotas.require_possible(task, record)
        self._recorder.submitted(tasks, self.now_us)
        for task, record in zip(tasks, records, strict=True):
            self.queue.submit(task, together, record)
            self.monitor.submitted(task.id, int(record["submit_us"][0]))
        self._learn_demands(records)
        for task in tasks:
            self.queue.cancel_if_doomed(task.id, self.now_us)

    def _learn_demands(self, records: Iterable[Records]) -> None:
        if self._demands is None:
            return
        for record in records:
            if self._demands.add(record):
                self._tables.set_typical(self._demands.typical(self._tables.view.nodes))

    def _stamped(self, task: Task) -> Task:
        """The task with a submit time that does not lie in a live scheduler's past."""
        if not self.is_live or to_us(task.submit_time_s) >= self.now_us:
            return task
        return replace(task, submit_time_s=float(to_seconds(self.now_us)))

    def _task_ended(self, entry: Entry, end_us: int) -> None:
        self._recorder.ended(entry, end_us)
        self.monitor.ended(entry.task.id, end_us, entry.state, entry.reason)
        self._estimator.ended(entry, end_us)

    def _prediction_failed(self, error: Exception) -> None:
        if self._strict:
            raise error
        self.monitor.incident(PREDICTION_ERROR)
        _log.warning("run times cannot be predicted: %s", error)

    def _reindex_policy(self, moved: Ints) -> None:
        if isinstance(self._policy, RemembersTasks):
            self._policy.reindex(moved)

    def _refuse_to_wait_forever(self) -> None:
        waiting = self.queue.waiting()
        if waiting and not self.queue.on_nodes():
            seen = self.queue.pending
            first = seen[0].id if seen else waiting[0].task.id
            raise StateError(
                f"task {first!r} is pending, but policy {self._policy.name!r} waits, nothing runs"
                f" and nothing is to come, so it would wait forever"
                f" ({len(waiting)} tasks are pending)"
            )


def _monitor(cluster: Cluster, monitor: Monitor | None, keep_ended: int | None) -> Monitor:
    if monitor is None:
        return Monitor(cluster, keep_ended=keep_ended)
    if keep_ended not in (None, monitor.keep_ended):
        raise ConfigError(
            f"keep_ended: the monitor keeps {monitor.keep_ended} and the scheduler was told"
            f" {keep_ended}; say it once, Monitor(cluster, keep_ended=...)"
        )
    return monitor


def _batching(value: EventBatching | str) -> EventBatching:
    try:
        return EventBatching(value)
    except ValueError:
        known = [str(each) for each in EventBatching]
        hint = did_you_mean(str(value), known)
        raise ConfigError(f"event_batching: unknown name {value!r}; {hint}") from None
