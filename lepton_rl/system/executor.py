"""Executors: what makes a started task run, and tells how and when it has ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias, runtime_checkable

from lepton_rl.core.tasks import Task

__all__ = ["Cards", "Completion", "Executor", "Outcome", "Resumable", "UsesCards"]

Cards: TypeAlias = Mapping[str, tuple[int, ...]]
"""Device kind -> indices of the cards that a replica holds on its node."""


class Outcome(StrEnum):
    """How a run of a task ended."""

    COMPLETED = "completed"
    """by itself, successfully"""
    FAILED = "failed"
    """by itself, with an error, or it could not be run at all"""
    TIMED_OUT = "timed_out"
    """it was stopped at its time limit"""
    STOPPED = "stopped"
    """it was stopped on request"""


@dataclass(frozen=True, slots=True)
class Completion:
    """A run of a task has ended.

    Attributes:
        task_id: which.
        end_us: when, on the scheduler's clock.
        outcome: how.
        exit_code: of its process; -n where signal n killed it; None where nobody knows.
        detail: the cause in words, "" for a success.
        attempt: which run of the task, as `Resumable.start` was told; None where the executor does
            not count them: then it is the run that is under way.
    """

    task_id: str
    end_us: int
    outcome: Outcome = Outcome.COMPLETED
    exit_code: int | None = None
    detail: str = ""
    attempt: int | None = None


@runtime_checkable
class Executor(Protocol):
    """Runs tasks on the nodes that the scheduler chose.

    Each start that does not raise is followed by exactly one completion, whatever happens. That is
    all an executor needs that ends with the scheduler; see `Resumable` for one that does not, and
    `UsesCards`.
    """

    def start(self, task: Task, nodes: tuple[int, ...], now_us: int) -> None:
        """Start all replicas of a task.

        Args:
            task: what to run; its times are what remains of them, on these nodes.
            nodes: index of the node of each replica, in the order of the cluster.
            now_us: the scheduler's clock.

        Raises:
            LeptonError: it cannot be started; nothing of it runs then.
        """
        ...

    def stop(self, task_id: str, now_us: int) -> None:
        """Stop a task that runs; its completion follows, now or later.

        Raises:
            ExecutorError: no such task runs.
        """
        ...

    def next_completion_us(self) -> int | None:
        """When the next running task ends; None if none runs, or nobody knows."""
        ...

    def completions(self, now_us: int) -> list[Completion]:
        """The runs that have ended by `now_us`, each told once."""
        ...

    def running(self) -> frozenset[str]:
        """Tasks that are alive, or whose end has not been told."""
        ...

    def wait(self, timeout_s: float) -> bool:
        """Block until an end may be ready; False if the time is over. Any thread may call it."""
        ...

    def close(self, stop_running: bool) -> None:
        """Give back everything; running tasks are stopped, or left to run."""
        ...


@runtime_checkable
class Resumable(Protocol):
    """An executor whose runs outlive the scheduler that started them.

    Scheduler and executor name a run by task and attempt, so that news of an old run is never taken
    for news of a new one. An end is told again by the next executor of the same place until it has
    been acknowledged, which a scheduler does once it has made it durable; so no end is ever lost.
    """

    def start(
        self, task: Task, nodes: tuple[int, ...], now_us: int, *, attempt: int | None = None
    ) -> None:
        """Start all replicas of a task; see `Executor.start`.

        Args:
            task: what to run.
            nodes: index of the node of each replica.
            now_us: the scheduler's clock.
            attempt: which start of the task this is, from 1; its completion carries it.
        """
        ...

    def known_runs(self) -> Mapping[str, int | None]:
        """Task -> attempt of each run that is alive, or whose end has not been acknowledged."""
        ...

    def acknowledge(self, ends: Sequence[Completion]) -> None:
        """These ends are durable with the scheduler and need not be told again.

        Ends that nobody knows any more are no mistake.
        """
        ...


@runtime_checkable
class UsesCards(Protocol):
    """An executor that shows each replica its own cards only.

    Attributes:
        uses_cards: whether it wants to be told.
    """

    uses_cards: bool

    def start(
        self,
        task: Task,
        nodes: tuple[int, ...],
        now_us: int,
        *,
        cards: Sequence[Cards] | None = None,
    ) -> None:
        """Start all replicas of a task; see `Executor.start`.

        Args:
            task: what to run.
            nodes: index of the node of each replica.
            now_us: the scheduler's clock.
            cards: what each replica holds.
        """
        ...
