"""SimulatedExecutor: tasks take their time, fail as scripted or by chance, and nothing is run."""

from __future__ import annotations

import heapq
import threading
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lepton_rl.core.checks import require_number
from lepton_rl.core.clock import to_us
from lepton_rl.core.errors import ConfigError, ExecutorError, StateError
from lepton_rl.core.tasks import Task
from lepton_rl.system.executor import Completion, Outcome

__all__ = ["Failures", "SimulatedExecutor"]


@dataclass(frozen=True, slots=True)
class Failures:
    """Which runs fail, and when.

    Attributes:
        after_s: task id -> after how many seconds each of its runs fails, in order; runs beyond
            the list, and those that end before, do not fail by script.
        probability: that a run without a script fails, 0 to 1; at a moment drawn evenly from it.
        seed: of the chance. A task's runs fare the same whatever else runs.
    """

    after_s: Mapping[str, Sequence[float]] = field(default_factory=dict)
    probability: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        expected = "failures: probability must be a number from 0 to 1"
        if not 0 <= require_number(self.probability, expected) <= 1:
            raise ConfigError(f"{expected}, got {self.probability!r}")

    def moment_us(self, task_id: str, run: int, length_us: int) -> int | None:
        """After how long run number `run` (from 0) of a task fails, None if it does not.

        Args:
            task_id: which task.
            run: how many runs it had before.
            length_us: how long this one would take.
        """
        script = self.after_s.get(task_id, ())
        if run < len(script):
            after_us = max(1, int(to_us(script[run])))
            return after_us if after_us < length_us else None
        if self.probability == 0:
            return None
        random = np.random.default_rng([self.seed, zlib.crc32(task_id.encode()), run])
        if random.random() >= self.probability:
            return None
        return int(random.integers(1, max(1, length_us), endpoint=True))


class SimulatedExecutor:
    """Lets each task run for its `run_time_s`; nothing is executed.

    Args:
        failures: which runs fail; None for none.
        enforce_requested_time: stop tasks at their requested time, as batch systems do.
    """

    def __init__(
        self, failures: Failures | None = None, *, enforce_requested_time: bool = False
    ) -> None:
        self._failures = failures if failures is not None else Failures()
        self._enforce = enforce_requested_time
        self._ends: list[tuple[int, int, Completion]] = []  # heap of (end_us, order of start, end)
        self._running: dict[str, int] = {}  # id -> order of start, of runs that nobody stopped
        self._stopped: list[Completion] = []
        self._runs: Counter[str] = Counter()  # empty where nothing fails: ids come without end
        self._counts_runs = bool(self._failures.after_s) or self._failures.probability > 0
        self._started = 0
        self._has_news = threading.Event()

    def start(self, task: Task, nodes: tuple[int, ...], now_us: int) -> None:
        """Start a task.

        Raises:
            StateError: its true run time is unknown, or it runs already.
        """
        if task.run_time_s is None:
            raise StateError(
                f"task {task.id!r} has no run_time_s, which a simulated executor needs; give it"
                " one, or use another executor"
            )
        if task.id in self._running:
            raise StateError(f"task {task.id!r} runs already; a task never runs twice at once")
        end = self._end_of(task, int(to_us(task.run_time_s)), now_us)
        heapq.heappush(self._ends, (end.end_us, self._started, end))
        self._running[task.id] = self._started
        self._started += 1
        if self._counts_runs:
            self._runs[task.id] += 1

    def stop(self, task_id: str, now_us: int) -> None:
        """Stop a running task at once.

        Raises:
            ExecutorError: no such task runs.
        """
        if self._running.pop(task_id, None) is None:
            raise ExecutorError(f"expected a running task to stop, got {task_id!r}")
        self._forget_stopped()
        self._stopped.append(Completion(task_id, now_us, Outcome.STOPPED, None, "stopped"))
        self._has_news.set()

    def next_completion_us(self) -> int | None:
        """The earliest end ahead, None if nothing runs."""
        if self._stopped:
            return self._stopped[0].end_us
        return self._ends[0][0] if self._ends else None

    def completions(self, now_us: int) -> list[Completion]:
        """The runs that have ended by `now_us`, by end, then in the order in which they began."""
        ended, self._stopped = self._stopped, []
        self._has_news.clear()
        while self._ends and self._ends[0][0] <= now_us:
            _, _, end = heapq.heappop(self._ends)
            del self._running[end.task_id]
            self._forget_stopped()
            ended.append(end)
        return ended

    def running(self) -> frozenset[str]:
        """Tasks that run, or whose end has not been told."""
        return frozenset(self._running) | {end.task_id for end in self._stopped}

    def wait(self, timeout_s: float) -> bool:
        """Block until a task has been stopped; ends ahead are told by `next_completion_us`."""
        return self._has_news.wait(timeout_s)

    def close(self, stop_running: bool) -> None:
        """Nothing runs on; there is nothing to give back."""
        self._running.clear()
        self._ends.clear()

    def _end_of(self, task: Task, run_us: int, now_us: int) -> Completion:
        """How the next run of a task will end."""
        run_us = max(1, run_us)
        failed_us = self._failures.moment_us(task.id, self._runs[task.id], run_us)
        limit_us = max(1, int(to_us(task.requested_time_s))) if self._enforce else run_us
        if failed_us is not None and failed_us <= limit_us:
            return Completion(task.id, now_us + failed_us, Outcome.FAILED, 1, "simulated failure")
        if limit_us < run_us:
            detail = f"it ran for its requested time of {task.requested_time_s:g} s"
            return Completion(task.id, now_us + limit_us, Outcome.TIMED_OUT, None, detail)
        return Completion(task.id, now_us + run_us, exit_code=None)

    def _forget_stopped(self) -> None:
        """The first of `_ends` is that of a run which nobody stopped."""
        while self._ends:
            _, serial, end = self._ends[0]
            if self._running.get(end.task_id) == serial:
                return
            heapq.heappop(self._ends)
