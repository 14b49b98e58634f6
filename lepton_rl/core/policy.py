"""The one interface of a policy, whether three lines of FCFS or a neural network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from lepton_rl.core.tables import Ints, View

__all__ = [
    "CountsEvents",
    "Decision",
    "Policy",
    "Preempt",
    "RanksTasks",
    "RemembersTasks",
    "Start",
    "Wait",
]


@dataclass(frozen=True, slots=True)
class Start:
    """Start a pending task now.

    Attributes:
        task: its local index (an entry of `view.pending`).
        nodes: index of the node of each replica; empty leaves the choice to the scheduler, which
            balances the load (Lepton: R_min = argmin C_i / T_i).
    """

    task: int
    nodes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Wait:
    """Start and preempt nothing more until the next event."""


@dataclass(frozen=True, slots=True)
class Preempt:
    """Stop a running, preemptible task for other work; it is pending again once it has stopped.

    It keeps its work up to its last checkpoint. At the instant of its preemption it cannot start
    again.

    Attributes:
        task: its local index (an entry of `view.running`).
    """

    task: int


Decision = Start | Preempt | Wait


@runtime_checkable
class Policy(Protocol):
    """Decides what starts next. At each event it is asked again until it waits."""

    @property
    def name(self) -> str:
        """For tables and logs."""
        ...

    def reset(self) -> None:
        """Forget everything; called before a new schedule begins."""
        ...

    def decide(self, view: View) -> Decision:
        """The next decision.

        Args:
            view: tables with a batch axis of 1 (environment 0); read-only.
        """
        ...


@runtime_checkable
class RanksTasks(Protocol):
    """A policy that can say which pending task comes first, whether or not it fits now."""

    @property
    def name(self) -> str:
        """For tables and logs."""
        ...

    def head(self, view: View) -> int:
        """Local index of the pending task that comes first, -1 if it would rather wait.

        Args:
            view: as `Policy.decide` takes it, with at least one pending task.
        """
        ...


@runtime_checkable
class RemembersTasks(Protocol):
    """A policy that keeps local indices from one decision to a later one.

    A long-lived system drops the rows of finished tasks now and then, which moves the others.
    """

    def reindex(self, moved: Ints) -> None:
        """Follow the tasks: what was local index `i` is now `moved[i]`, NO_TASK if it is gone."""
        ...


@runtime_checkable
class CountsEvents(Protocol):
    """A policy made of policies, which counts what becomes of their answers."""

    def counts(self) -> Mapping[str, int]:
        """Event, e.g. `fallback-exception` -> how often, since it was made; parts included."""
        ...

    def take_incidents(self) -> list[str]:
        """What has failed and was survived since the last call, by name; parts included."""
        ...
