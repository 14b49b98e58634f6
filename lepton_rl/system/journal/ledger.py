"""The state that a sequence of events implies, and which events a state allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType

from lepton_rl.core.checks import shown
from lepton_rl.core.clock import to_us
from lepton_rl.core.errors import ConfigError, StateError
from lepton_rl.core.nodes import Node, NodeState
from lepton_rl.core.tasks import Task
from lepton_rl.system.journal.events import (
    Cancelled,
    CancelRequested,
    Cards,
    Ended,
    JournalEvent,
    NodeChanged,
    Outcome,
    PoolChanged,
    Preempted,
    Requeued,
    Started,
    Starting,
    Stopping,
    StopRequested,
    Submitted,
    TaskEvent,
    Why,
)

__all__ = ["ClusterState", "ForgottenLife", "Ledger", "Phase", "Plan", "Recovered", "TaskLife"]


class Phase(StrEnum):
    """Where a task is, as far as the journal knows."""

    PENDING = "pending"
    """waits to be started"""
    STARTING = "starting"
    """the executor may or may not have been told to start it"""
    RUNNING = "running"
    """the executor has confirmed that it runs"""
    FINAL = "final"
    """has ended for good; see `TaskLife.outcome`"""


@dataclass(frozen=True, slots=True)
class TaskLife:
    """All that the journal knows of one task.

    Attributes:
        number: sequence number of its submission; in this order tasks were submitted.
        task: as it was submitted.
        phase: where it is now.
        submit_us: its submit time on the scheduler's clock, in us.
        attempt: how often it was started, 0 before the first time.
        nodes: names, one for each replica; empty while pending; those of the last attempt at the
            end.
        cards: `Cards` of each replica, or empty.
        first_start_us: when it first started (so wait time is this - submit_us), None before.
        start_us: when this attempt started; None while pending, that of the last one at the end.
        end_us: when it ended for good, None before.
        kept_work_s: work that its last checkpoint keeps, in s.
        failures: attempts that failed and were tried again.
        preemptions: how often it was preempted.
        stopping: why this attempt is being stopped, other than because a user wants it; None if it
            is not.
        cancel_requested: a user wants it stopped.
        outcome: how it ended, None before.
        exit_code: of the last attempt that ended, None where there is none.
        detail: why the last attempt ended, in words; "" where there is nothing to say.
    """

    number: int
    task: Task
    phase: Phase
    submit_us: int
    attempt: int = 0
    nodes: tuple[str, ...] = ()
    cards: tuple[Cards, ...] = ()
    first_start_us: int | None = None
    start_us: int | None = None
    end_us: int | None = None
    kept_work_s: float = 0.0
    failures: int = 0
    preemptions: int = 0
    cancel_requested: bool = False
    outcome: Outcome | None = None
    exit_code: int | None = None
    detail: str = ""
    stopping: Stopping | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "phase", Phase(self.phase))
        if self.stopping is not None:
            object.__setattr__(self, "stopping", Stopping(self.stopping))
        if self.outcome is not None:
            object.__setattr__(self, "outcome", Outcome(self.outcome))


@dataclass(frozen=True, slots=True)
class ForgottenLife:
    """What is left of a task that ended long ago (`JournalSettings.retain_ended`).

    Attributes:
        outcome: how it ended.
    """

    outcome: Outcome

    def __post_init__(self) -> None:
        object.__setattr__(self, "outcome", Outcome(self.outcome))


@dataclass(frozen=True, slots=True)
class ClusterState:
    """The nodes.

    Attributes:
        pool: what the cluster consists of, None if that was never recorded.
        nodes: node name -> state, for those that were heard of.
        latest_us: the latest time that any event had, in us on the scheduler's clock.
    """

    pool: tuple[Node, ...] | None = None
    nodes: Mapping[str, NodeState] = field(default_factory=dict)
    latest_us: int = 0

    def __post_init__(self) -> None:
        states = {name: NodeState(state) for name, state in self.nodes.items()}
        object.__setattr__(self, "nodes", MappingProxyType(states))


@dataclass(frozen=True, slots=True)
class Recovered:
    """The state that all events together imply.

    Attributes:
        tasks: all that have not ended for good, in order of submission.
        nodes: node name -> state.
        pool: what the cluster consisted of, None if that was never recorded.
        last_seq: sequence number of the last event, 0 if there is none.
        num_finished: how many tasks have ended for good; `Journal.history` tells of them.
        latest_us: the latest time that any event had, 0 if there is none. A restarted scheduler's
            clock begins here at the earliest, wherever the time of day has gone meanwhile.
    """

    tasks: tuple[TaskLife, ...]
    nodes: Mapping[str, NodeState]
    pool: tuple[Node, ...] | None
    last_seq: int
    num_finished: int
    latest_us: int = 0

    def in_phase(self, phase: Phase) -> tuple[TaskLife, ...]:
        """The tasks that are there, in order of submission."""
        return tuple(life for life in self.tasks if life.phase is phase)


@dataclass(slots=True)
class Plan:
    """What a batch of events would change.

    Attributes:
        cluster: the nodes after it.
        num_events: how many there are.
        latest_us: the latest time so far.
        lives: task id -> its life after it, for the tasks it touches.
        submitted: ids that are new.
    """

    cluster: ClusterState
    num_events: int
    latest_us: int
    lives: dict[str, TaskLife] = field(default_factory=dict)
    submitted: list[str] = field(default_factory=list)


class Ledger:
    """The state, one event after the other.

    A batch is first planned, which changes nothing and refuses what the state does not allow, then
    made durable by whoever keeps the events, then accepted.

    Attributes:
        lives: task id -> life of the tasks that have not ended for good, in order of submission.
        finished: task id -> life of those that have, in order of their ends, as far as they have
            not been moved to the history.
        cluster: the nodes.
        last_seq: sequence number of the last event.
        latest_us: the latest time that any event had.
        touched: ids whose lives have changed since this was last cleared.
    """

    def __init__(self, cluster: ClusterState, last_seq: int) -> None:
        self.lives: dict[str, TaskLife] = {}
        self.finished: dict[str, TaskLife] = {}
        self.cluster, self.last_seq = cluster, last_seq
        self.latest_us = cluster.latest_us
        self.touched: set[str] = set()

    def plan(self, events: Sequence[JournalEvent]) -> Plan:
        """What these events, in their order, would change.

        Raises:
            StateError: an event that the state does not allow, such as starting a task that runs.
            ConfigError: something that is no event.
        """
        plan = Plan(self.cluster, len(events), self.latest_us)
        for seq, event in enumerate(events, self.last_seq + 1):
            if isinstance(event, NodeChanged | PoolChanged):
                plan.cluster = _cluster_after(plan.cluster, event)
            elif isinstance(event, TaskEvent):
                self._plan_task(plan, event, seq)
            else:
                raise ConfigError(f"journal: expected events, got {shown(event)}")
            plan.latest_us = max(plan.latest_us, event.at_us)
        return plan

    def accept(self, plan: Plan) -> None:
        """Make a planned change."""
        for task_id, life in plan.lives.items():
            self.touched.add(task_id)
            if life.phase is Phase.FINAL:
                self.lives.pop(task_id, None)
                self.finished[task_id] = life
            else:
                self.lives[task_id] = life
        self.cluster, self.latest_us = plan.cluster, plan.latest_us
        self.last_seq += plan.num_events

    def _plan_task(self, plan: Plan, event: TaskEvent, seq: int) -> None:
        task_id = event.task.id if isinstance(event, Submitted) else event.task_id
        known = plan.lives.get(task_id) or self.lives.get(task_id) or self.finished.get(task_id)
        if isinstance(event, Submitted):
            if known is not None:
                raise StateError(
                    f"task {task_id!r} was submitted before; give each task its own id"
                )
            submit_us = int(to_us(event.task.submit_time_s))
            life = TaskLife(seq, event.task, Phase.PENDING, submit_us)
            plan.submitted.append(task_id)
        else:
            if known is None:
                raise StateError(
                    f"journal: no task {task_id!r} was submitted, or it ended long ago"
                )
            if isinstance(event, Starting):
                _require_known_nodes(plan.cluster, event)
            life = _life_after(known, event)
        if life.phase is Phase.FINAL:
            plan.lives.pop(task_id, None)  # to be the last one in it: `finished` is in that order
        plan.lives[task_id] = life


def _life_after(life: TaskLife, event: TaskEvent) -> TaskLife:
    """The life of a task after something happened to it.

    Raises:
        StateError: it cannot happen to it now.
    """
    match event:
        case Starting():
            return _starting(life, event)
        case Started():
            _require(life, event, Phase.STARTING)
            return replace(life, phase=Phase.RUNNING, start_us=event.at_us)
        case Ended():
            _require(life, event, Phase.STARTING, Phase.RUNNING)
            ended = _final(life, event.at_us, event.outcome, event.detail)
            return replace(ended, exit_code=event.exit_code)
        case Preempted():
            _require(life, event, Phase.STARTING, Phase.RUNNING)
            pending = _pending(life, event.kept_work_s)
            return replace(pending, preemptions=life.preemptions + 1, detail="")
        case Requeued():
            _require(life, event, Phase.STARTING, Phase.RUNNING)
            failures = life.failures + (event.why is Why.FAILED)
            pending = _pending(life, event.kept_work_s)
            return replace(
                pending, failures=failures, exit_code=event.exit_code, detail=event.detail
            )
        case StopRequested():
            _require(life, event, Phase.STARTING, Phase.RUNNING)
            return replace(life, stopping=event.why)
        case CancelRequested():
            _require(life, event, Phase.PENDING, Phase.STARTING, Phase.RUNNING)
            return replace(life, cancel_requested=True)
        case Cancelled():
            _require(life, event, Phase.PENDING, Phase.STARTING, Phase.RUNNING)
            return _final(life, event.at_us, Outcome.CANCELLED, event.detail)
    raise AssertionError(event)


def _starting(life: TaskLife, event: Starting) -> TaskLife:
    _require(life, event, Phase.PENDING)
    if life.cancel_requested:
        raise StateError(f"task {life.task.id!r} is to be cancelled and must not start")
    if len(event.nodes) != life.task.num_replicas:
        raise StateError(
            f"starting task {life.task.id!r}: expected {life.task.num_replicas} nodes, one for each"
            f" replica, got {len(event.nodes)}"
        )
    first_us = event.at_us if life.first_start_us is None else life.first_start_us
    return replace(
        life,
        phase=Phase.STARTING,
        attempt=event.attempt,
        nodes=event.nodes,
        cards=event.cards,
        first_start_us=first_us,
        start_us=event.at_us,
    )


def _pending(life: TaskLife, kept_work_s: float | None) -> TaskLife:
    kept_work_s = life.kept_work_s if kept_work_s is None else kept_work_s
    return replace(
        life,
        phase=Phase.PENDING,
        nodes=(),
        cards=(),
        start_us=None,
        stopping=None,
        kept_work_s=kept_work_s,
    )


def _final(life: TaskLife, end_us: int, outcome: Outcome, detail: str) -> TaskLife:
    return replace(
        life, phase=Phase.FINAL, stopping=None, end_us=end_us, outcome=outcome, detail=detail
    )


def _require(life: TaskLife, event: TaskEvent, *phases: Phase) -> None:
    """The event fits the phase, and is about the attempt that is under way (or the next one)."""
    name = type(event).__name__
    if life.phase not in phases:
        state = life.outcome if life.phase is Phase.FINAL else life.phase
        expected = " or ".join(phases)
        raise StateError(
            f"{name}: expected a task that is {expected}, got {life.task.id!r}, which is {state}"
        )
    if isinstance(event, Submitted | CancelRequested | Cancelled):
        return
    expected_attempt = life.attempt + isinstance(event, Starting)
    if event.attempt != expected_attempt:
        raise StateError(
            f"{name}: expected attempt {expected_attempt} of task {life.task.id!r}, got"
            f" {event.attempt}"
        )


def _cluster_after(cluster: ClusterState, event: NodeChanged | PoolChanged) -> ClusterState:
    if isinstance(event, PoolChanged):
        states = {n.name: cluster.nodes.get(n.name, NodeState.UP) for n in event.nodes}
        return replace(cluster, pool=event.nodes, nodes=states)
    if cluster.pool is not None and event.node not in cluster.nodes:
        raise StateError(f"journal: no node {event.node!r} in the pool; record PoolChanged first")
    return replace(cluster, nodes={**cluster.nodes, event.node: event.state})


def _require_known_nodes(cluster: ClusterState, event: Starting) -> None:
    for name in event.nodes:
        if cluster.pool is not None and name not in cluster.nodes:
            raise StateError(
                f"starting task {event.task_id!r}: no node {name!r} in the pool; record"
                " PoolChanged first"
            )
