"""Scheduler: submit -> TaskQueue -> Scheduler(policy) -> ResourcePool -> Executor -> Monitor.

The seven steps of the Lepton system are methods of these names: receive, assess, balance, reserve,
execute, feed_back, complete.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from enum import StrEnum

import numpy as np

from lepton_rl.core.checks import shown
from lepton_rl.core.clock import to_seconds, to_us
from lepton_rl.core.errors import ConfigError, InfeasibleDecisionError, StateError
from lepton_rl.core.intake import node_table
from lepton_rl.core.naming import did_you_mean
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.policy import Decision, Policy, RemembersTasks, Start, Wait
from lepton_rl.core.schedule import Schedule
from lepton_rl.core.tables import Ints, View
from lepton_rl.core.tasks import Task, TaskState
from lepton_rl.system.executor import Completion, Executor, SimulatedExecutor
from lepton_rl.system.monitor import Monitor, TaskRecord
from lepton_rl.system.pool import Refusal, ResourcePool
from lepton_rl.system.queue import TaskQueue
from lepton_rl.system.source import RecordedTasks, tasks_from
from lepton_rl.system.state import Tables

__all__ = ["EventBatching", "Scheduler"]


class EventBatching(StrEnum):
    """How much happens before the policy is asked again."""

    INSTANT = "instant"
    """everything of one instant"""
    SINGLE = "single"
    """one event, an arrival before a completion at the same instant (the RLScheduler protocol)"""


class Scheduler:
    """Runs tasks on a cluster as a policy decides.

    At each event the policy is asked again and again until it waits. Before each decision nodes
    are reserved for the first critical task that cannot start.

    Args:
        cluster: starts idle.
        policy: decides; it is reset here.
        executor: runs the tasks; None simulates them.
        monitor: is told what happens; None for a new one.
        strict: whether an infeasible decision raises. Otherwise it is counted as an incident and
            ignored, and the policy is asked again at the next event.
        event_batching: an `EventBatching` or its name.

    Attributes:
        queue: pending and running tasks, and where each task is in its life.
        pool: nodes, loads and reservations.
        monitor: records, counts, utilisation.

    Raises:
        ConfigError: an unknown `event_batching`.
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
    ) -> None:
        self._batching = _batching(event_batching)
        self._policy, self._strict = policy, strict
        self._executor: Executor = executor if executor is not None else SimulatedExecutor()
        self._tables = Tables(node_table(cluster))
        self.queue = TaskQueue(cluster, self._tables, self._reindex_policy)
        self.pool = ResourcePool(cluster, self._tables)
        self.monitor = monitor if monitor is not None else Monitor(cluster)
        self._ended: list[Completion] = []  # have ended, but their turn has not come yet
        policy.reset()

    @property
    def now_us(self) -> int:
        """The clock, in us; 0 before the first event."""
        return int(self._tables.view.status["now_us"][0])

    @property
    def now_s(self) -> float:
        """The clock, in seconds."""
        return float(to_seconds(self.now_us))

    @property
    def records(self) -> tuple[TaskRecord, ...]:
        """What has happened to each task so far, in order of submission."""
        return self.monitor.records

    def schedule(self) -> Schedule:
        """The records as arrays, tasks in order of submission."""
        return self.monitor.schedule()

    def state_of(self, task_id: str) -> TaskState:
        """Where a task is in its life.

        Raises:
            StateError: no such task was submitted.
        """
        return self.queue.state_of(task_id)

    def reservations(self) -> dict[str, str]:
        """Node name -> id of the critical task it is held for."""
        return {name: self.queue.task_at(local).id for name, local in self.pool.holders().items()}

    def submit(self, task: Task) -> None:
        """Take in a task; it arrives when the clock reaches its submit time.

        Raises:
            StateError: a task of this id was submitted before.
            InfeasibleTaskError: the cluster can never hold it.
            ConfigError: a demand is not an amount of its kind.
        """
        self.queue.submit(task)
        self.monitor.submitted(task.id, int(to_us(task.submit_time_s)))

    def submit_all(self, tasks: RecordedTasks | Iterable[Task]) -> None:
        """Take in the tasks of a workload, or of a list, in their order.

        Raises:
            LeptonError: as `submit` does, at the first bad task; those before it stay submitted.
        """
        for task in tasks_from(tasks):
            self.submit(task)

    def run(self) -> None:
        """Go on until every submitted task has ended.

        Raises:
            StateError: a task is pending and nothing can ever happen.
            InfeasibleDecisionError: in strict mode, a decision that the rules forbid.
        """
        while self.step():
            pass

    def step(self) -> bool:
        """Go to the next instant (or event), let it happen, and decide until the policy waits.

        Returns:
            Whether there was one.

        Raises:
            StateError: as `run` does.
            InfeasibleDecisionError: as `run` does; the decision has changed nothing.
        """
        next_us = self._next_event_us()
        if next_us is None:
            self._refuse_to_wait_forever()
            return False
        self._move_clock(next_us)
        if self._batching is EventBatching.INSTANT:
            self.receive()
            self.complete()
        elif self.receive(limit=1) == 0:
            self.complete(limit=1)
        self._decide()
        return True

    def receive(self, limit: int | None = None) -> int:
        """Step 1: tasks whose submit time has come become pending.

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

    def balance(self, decision: Start) -> Start:
        """Step 3: a task without nodes gets the least loaded ones, R_min = argmin C_i / T_i.

        Raises:
            InfeasibleDecisionError: the task does not fit now.
        """
        if len(decision.nodes) > 0:
            return decision
        return replace(decision, nodes=self.pool.least_loaded(decision.task))

    def reserve(self) -> None:
        """Step 4: hold nodes for the first critical task that cannot start, and for no other."""
        self.pool.hold_for_critical()

    def execute(self, decision: Start) -> None:
        """Step 5: allocate the nodes and start the task on them; all of it happens or nothing.

        Raises:
            InfeasibleDecisionError: these nodes cannot be had.
            LeptonError: the executor cannot start it.
        """
        self.pool.allocate(decision.task, decision.nodes)
        task = self.queue.task_at(decision.task)
        try:
            self._executor.start(task, decision.nodes, self.now_us)
        except BaseException:
            self.pool.undo(decision.task)
            raise
        self.queue.start(decision.task)

    def feed_back(self, decision: Decision, refused: InfeasibleDecisionError | None = None) -> None:
        """Step 6: tell the monitor what was decided, and what became of it."""
        if refused is not None:
            self.monitor.refused(refused.cause or Refusal.NOT_A_DECISION)
        elif isinstance(decision, Start):
            task = self.queue.task_at(decision.task)
            self.monitor.started(task.id, decision.nodes, self.now_us)
        else:
            self.monitor.waited()

    def complete(self, limit: int | None = None) -> int:
        """Step 7: tasks that have ended give back their nodes, by end, then in order of arrival.

        Args:
            limit: take at most this many; the others wait for the next call.

        Returns:
            How many did.

        Raises:
            StateError: the executor tells the end of a task that is not running.
        """
        self._ended += self._executor.completions(self.now_us)
        self._ended.sort(key=lambda each: (each.end_us, self.queue.local_of(each.task_id)))
        told = self._ended[:limit]
        del self._ended[: len(told)]
        for each in told:
            self.queue.finish(each.task_id)
            self.monitor.completed(each.task_id, each.end_us)
        return len(told)

    def _next_event_us(self) -> int | None:
        """When something happens next, as far as anybody knows."""
        times = [self.queue.next_arrival_us(), self._executor.next_completion_us()]
        times += [each.end_us for each in self._ended[:1]]
        known = [time_us for time_us in times if time_us is not None]
        return max(self.now_us, min(known)) if known else None

    def _move_clock(self, now_us: int) -> None:
        """The only place where time passes."""
        self.monitor.passed(now_us, self.pool.allocated_units())
        self._tables.view.status["now_us"] = now_us

    def _decide(self) -> None:
        """Ask the policy until it waits."""
        going = True
        while going and self.queue.num_pending > 0:
            self.reserve()
            going = self._decide_once()

    def _decide_once(self) -> bool:
        """Ask the policy and do what it says; False if it waits, or decided what cannot be done."""
        asked: object = None
        try:
            asked = self._policy.decide(self.assess())
            if isinstance(asked, Wait):
                self.feed_back(asked)
                return False
            decision = self.balance(self._checked(asked))
            self.execute(decision)
        except InfeasibleDecisionError as error:
            if self._strict:
                raise self._explained(asked, error) from None
            self.feed_back(Wait(), error)
            return False
        self.feed_back(decision)
        return True

    def _checked(self, decision: object) -> Start:
        """`decision` as a start of a pending task, in plain integers."""
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

    def _explained(self, asked: object, error: InfeasibleDecisionError) -> Exception:
        """The error with who decided what, and when; the policy's own errors say it themselves."""
        if not error.cause:
            return error
        what = shown(asked)
        if isinstance(asked, Start) and error.cause != Refusal.NOT_PENDING:
            what += f" (task {self.queue.task_at(asked.task).id!r})"
        return InfeasibleDecisionError(
            f"policy {self._policy.name!r} at {self.now_s:g} s decided {what}: {error}", error.cause
        )

    def _reindex_policy(self, moved: Ints) -> None:
        if isinstance(self._policy, RemembersTasks):
            self._policy.reindex(moved)

    def _refuse_to_wait_forever(self) -> None:
        if self.queue.num_pending > 0 and not self.queue.running:
            first = self.queue.pending[0].id
            raise StateError(
                f"task {first!r} is pending, but policy {self._policy.name!r} waits, nothing runs"
                f" and nothing is to come, so it would wait forever"
                f" ({self.queue.num_pending} tasks are pending)"
            )


def _batching(value: EventBatching | str) -> EventBatching:
    try:
        return EventBatching(value)
    except ValueError:
        known = [str(each) for each in EventBatching]
        hint = did_you_mean(str(value), known)
        raise ConfigError(f"event_batching: unknown name {value!r}; {hint}") from None
