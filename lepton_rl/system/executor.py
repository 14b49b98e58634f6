"""Executors: what makes a started task run, and tells when it has ended."""

from __future__ import annotations

import heapq
from typing import NamedTuple, Protocol, runtime_checkable

from lepton_rl.core.clock import to_us
from lepton_rl.core.errors import StateError
from lepton_rl.core.tasks import Task

__all__ = ["Completion", "Executor", "SimulatedExecutor"]


class Completion(NamedTuple):
    """A task has ended.

    Attributes:
        task_id: which.
        end_us: when, on the scheduler's clock.
    """

    task_id: str
    end_us: int


@runtime_checkable
class Executor(Protocol):
    """Runs tasks on the nodes that the scheduler chose."""

    def start(self, task: Task, nodes: tuple[int, ...], now_us: int) -> None:
        """Start all replicas of a task.

        Args:
            task: what to run.
            nodes: index of the node of each replica, in the order of the cluster.
            now_us: the scheduler's clock.

        Raises:
            LeptonError: it cannot be started; nothing of it runs then.
        """
        ...

    def next_completion_us(self) -> int | None:
        """When the next running task ends; None if none runs, or nobody knows."""
        ...

    def completions(self, now_us: int) -> list[Completion]:
        """The tasks that have ended by `now_us`, each told once."""
        ...


class SimulatedExecutor:
    """Lets each task run for its `run_time_s`; nothing is executed."""

    def __init__(self) -> None:
        self._ends: list[tuple[int, int, str]] = []  # heap of (end_us, order of start, id)
        self._started = 0

    def start(self, task: Task, nodes: tuple[int, ...], now_us: int) -> None:
        """Start a task.

        Raises:
            StateError: its true run time is unknown.
        """
        if task.run_time_s is None:
            raise StateError(
                f"task {task.id!r} has no run_time_s, which a simulated executor needs; give it"
                " one, or use another executor"
            )
        end_us = now_us + max(1, int(to_us(task.run_time_s)))
        heapq.heappush(self._ends, (end_us, self._started, task.id))
        self._started += 1

    def next_completion_us(self) -> int | None:
        """The earliest end ahead, None if nothing runs."""
        return self._ends[0][0] if self._ends else None

    def completions(self, now_us: int) -> list[Completion]:
        """The tasks that have ended by `now_us`, by end, then in the order in which they began."""
        ended = []
        while self._ends and self._ends[0][0] <= now_us:
            end_us, _, task_id = heapq.heappop(self._ends)
            ended.append(Completion(task_id, end_us))
        return ended
