"""What a journal records: the events in the life of tasks, nodes and the pool."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from numbers import Integral
from types import MappingProxyType
from typing import TypeAlias, TypeVar

from lepton_rl.core.checks import require_count, require_number, require_text, shown
from lepton_rl.core.errors import ConfigError
from lepton_rl.core.naming import did_you_mean
from lepton_rl.core.nodes import Node, NodeState
from lepton_rl.core.tasks import Task

__all__ = [
    "CancelRequested",
    "Cancelled",
    "Cards",
    "Ended",
    "JournalEvent",
    "NodeChanged",
    "Outcome",
    "PoolChanged",
    "Preempted",
    "Requeued",
    "Started",
    "Starting",
    "StopRequested",
    "Stopping",
    "Submitted",
    "TaskEvent",
    "Why",
]

_LARGEST = 2**63 - 1
"""Times and counts are kept as int64."""

E = TypeVar("E", bound=StrEnum)

Cards: TypeAlias = Mapping[str, tuple[int, ...]]
"""Device kind -> indices of the cards of a node that one replica uses. Which cards they are must
survive a restart: shares packed in another order may not fit any more."""


class Outcome(StrEnum):
    """How a task ended for good."""

    COMPLETED = "completed"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"


class Why(StrEnum):
    """Why a task went back to the queue without being preempted."""

    FAILED = "failed"
    """the attempt failed and retries remain; counts as a failure of the task"""
    NOT_STARTED = "not-started"
    """the executor refused it, or a restarted scheduler found that it does not know it"""
    NODE_LOST = "node-lost"
    """a node under it went down"""


class Stopping(StrEnum):
    """Why a run is being stopped; where a user wants that, see `CancelRequested`."""

    PREEMPT = "preempt"
    """other work needs its nodes"""
    NODE_LOST = "node-lost"
    """a node under it went down"""
    SHUTDOWN = "shutdown"
    """the scheduler stops"""


@dataclass(frozen=True, slots=True)
class Submitted:
    """A task was taken in.

    Attributes:
        at_us: when it happened, in us on the scheduler's clock (int64). Every event has this; it is
            kept as it came and decides nothing, because clocks can go backwards.
        task: the task, whose id no other task of this journal had before.
    """

    at_us: int
    task: Task

    def __post_init__(self) -> None:
        _check_time(self)
        if not isinstance(self.task, Task):
            raise ConfigError(f"{_name(self)}: task must be a Task, got {shown(self.task)}")


@dataclass(frozen=True, slots=True)
class _OfAttempt:
    """What happened to one attempt at running a task.

    Attributes:
        at_us: when.
        task_id: which task.
        attempt: which start of it, from 1 on.
    """

    at_us: int
    task_id: str
    attempt: int

    def __post_init__(self) -> None:
        _check_time(self)
        require_text(self.task_id, f"{_name(self)}: task_id")
        attempt = require_count(self.attempt, f"{_name(self)}: attempt", _LARGEST)
        object.__setattr__(self, "attempt", attempt)


@dataclass(frozen=True, slots=True)
class Starting(_OfAttempt):
    """The executor is about to be told to start a pending task; written BEFORE it is told.

    Attributes:
        nodes: name of the node of each replica. Names, because indices change with the cluster.
        cards: `Cards` of each replica, or empty where nothing is recorded about cards.
    """

    nodes: tuple[str, ...]
    cards: tuple[Cards, ...] = ()

    def __post_init__(self) -> None:
        _OfAttempt.__post_init__(self)
        nodes = self.nodes
        if isinstance(nodes, str) or not nodes:
            raise ConfigError(
                f"starting: nodes must be a node's name for each replica, got {shown(nodes)}"
            )
        names = tuple(require_text(name, "starting: name of a node") for name in nodes)
        object.__setattr__(self, "nodes", names)
        if self.cards and len(self.cards) != len(names):
            raise ConfigError(
                f"starting: expected cards for each of {len(names)} replicas or none at all, got"
                f" {len(self.cards)}"
            )
        object.__setattr__(self, "cards", tuple(_cards(each) for each in self.cards))


@dataclass(frozen=True, slots=True)
class Started(_OfAttempt):
    """The executor has confirmed that all replicas run."""


@dataclass(frozen=True, slots=True)
class Ended(_OfAttempt):
    """A task has ended for good; for an attempt that is tried again, see `Requeued`.

    Attributes:
        outcome: an `Outcome` or its name; for tasks that a user stopped, see `Cancelled`.
        exit_code: of the program (of the first failed replica), None where there is none.
        detail: the cause in words, "" where there is nothing to say.
    """

    outcome: Outcome
    exit_code: int | None = None
    detail: str = ""

    def __post_init__(self) -> None:
        _OfAttempt.__post_init__(self)
        object.__setattr__(self, "outcome", _member(Outcome, self.outcome, "ended: outcome"))
        _check_end(self, self.exit_code, self.detail)


@dataclass(frozen=True, slots=True)
class Preempted(_OfAttempt):
    """A task has been stopped for other work and is pending again.

    Attributes:
        kept_work_s: work that its last checkpoint keeps, over all attempts so far, in s (>= 0).
    """

    kept_work_s: float = 0.0

    def __post_init__(self) -> None:
        _OfAttempt.__post_init__(self)
        _check_work(self, self.kept_work_s)


@dataclass(frozen=True, slots=True)
class Requeued(_OfAttempt):
    """An attempt is over, or never began, and the task is pending again.

    Attributes:
        why: a `Why` or its name.
        exit_code: of the program, None where there is none.
        kept_work_s: as `Preempted.kept_work_s`; None keeps what is known.
        detail: the cause in words, "" where there is nothing to say.
    """

    why: Why
    exit_code: int | None = None
    kept_work_s: float | None = None
    detail: str = ""

    def __post_init__(self) -> None:
        _OfAttempt.__post_init__(self)
        object.__setattr__(self, "why", _member(Why, self.why, "requeued: why"))
        _check_end(self, self.exit_code, self.detail)
        if self.kept_work_s is not None:
            _check_work(self, self.kept_work_s)


@dataclass(frozen=True, slots=True)
class StopRequested(_OfAttempt):
    """A run is about to be stopped; without this, its end would count as a failure of the task.

    Attributes:
        why: a `Stopping` or its name.
    """

    why: Stopping

    def __post_init__(self) -> None:
        _OfAttempt.__post_init__(self)
        object.__setattr__(self, "why", _member(Stopping, self.why, "stop requested: why"))


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """A user wants a task stopped; written before the executor is told, or it could be forgotten.

    Attributes:
        at_us: when.
        task_id: which task.
    """

    at_us: int
    task_id: str

    def __post_init__(self) -> None:
        _check_time(self)
        require_text(self.task_id, f"{_name(self)}: task_id")


@dataclass(frozen=True, slots=True)
class Cancelled:
    """A task that nobody wants any more is gone; nothing of it runs.

    Attributes:
        at_us: when.
        task_id: which task.
        detail: the cause in words, "" where there is nothing to say.
    """

    at_us: int
    task_id: str
    detail: str = ""

    def __post_init__(self) -> None:
        _check_time(self)
        require_text(self.task_id, f"{_name(self)}: task_id")
        _check_end(self, None, self.detail)


@dataclass(frozen=True, slots=True)
class NodeChanged:
    """A node has come up, is draining or has gone down.

    Attributes:
        at_us: when.
        node: its name.
        state: a `NodeState` or its name.
    """

    at_us: int
    node: str
    state: NodeState

    def __post_init__(self) -> None:
        _check_time(self)
        require_text(self.node, "node changed: node")
        object.__setattr__(self, "state", _member(NodeState, self.state, "node changed: state"))


@dataclass(frozen=True, slots=True)
class PoolChanged:
    """The cluster consists of these nodes from now on.

    Attributes:
        at_us: when.
        nodes: all of them; names differ. Those that were not there before are up.
    """

    at_us: int
    nodes: tuple[Node, ...]

    def __post_init__(self) -> None:
        _check_time(self)
        object.__setattr__(self, "nodes", tuple(self.nodes))
        if not all(isinstance(node, Node) for node in self.nodes):
            raise ConfigError(f"pool changed: nodes must be Nodes, got {shown(self.nodes)}")
        if len({node.name for node in self.nodes}) < len(self.nodes):
            raise ConfigError("pool changed: two nodes have the same name; names must differ")


TaskEvent: TypeAlias = (
    Submitted
    | Starting
    | Started
    | Ended
    | Preempted
    | Requeued
    | StopRequested
    | CancelRequested
    | Cancelled
)
JournalEvent: TypeAlias = TaskEvent | NodeChanged | PoolChanged


def _name(event: object) -> str:
    return type(event).__name__.lower()


def _check_time(event: object) -> None:
    """Any integer of 64 bits; it is made a plain int."""
    at_us = getattr(event, "at_us", None)
    if (
        not isinstance(at_us, Integral)
        or isinstance(at_us, bool)
        or not -_LARGEST <= int(at_us) <= _LARGEST
    ):
        raise ConfigError(
            f"{_name(event)}: at_us must be whole microseconds of 64 bits, got {shown(at_us)}"
        )
    object.__setattr__(event, "at_us", int(at_us))


def _check_work(event: object, kept_work_s: float) -> None:
    expected = f"{_name(event)}: kept_work_s must be a finite number of seconds >= 0"
    if require_number(kept_work_s, expected) < 0:
        raise ConfigError(f"{expected}, got {shown(kept_work_s)}")


def _check_end(event: object, exit_code: int | None, detail: str) -> None:
    if exit_code is not None and (not isinstance(exit_code, int) or isinstance(exit_code, bool)):
        raise ConfigError(
            f"{_name(event)}: exit_code must be a whole number or None, got {shown(exit_code)}"
        )
    if not isinstance(detail, str):
        raise ConfigError(f"{_name(event)}: detail must be a string, got {shown(detail)}")


def _cards(cards: Cards) -> Cards:
    return MappingProxyType({kind: tuple(int(c) for c in which) for kind, which in cards.items()})


def _member(kind: type[E], value: str, what: str) -> E:
    try:
        return kind(value)
    except ValueError:
        hint = did_you_mean(str(value), [str(each) for each in kind])
        raise ConfigError(f"{what}: unknown name {value!r}; {hint}") from None
