"""Slices of a batch, stepped at the same time by threads of this process."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

__all__ = ["LEAST_SLICE", "SliceThreads"]

LEAST_SLICE = 64
"""Environments a thread must have to do; fewer take less time than waking it up."""


class SliceThreads:
    """Calls a function that releases the interpreter's lock on slices of `range(count)`.

    The caller's own thread takes the last slice. Threads start with the first use that needs them.

    Args:
        num_threads: most threads at work (>= 1).
    """

    def __init__(self, num_threads: int) -> None:
        self.num_threads = num_threads
        self._workers: ThreadPoolExecutor | None = None

    def run(self, step: Callable[[int, int, int], None], count: int) -> None:
        """Call `step(thread, first, last)` on slices that cover `range(count)`; wait for all.

        No two calls with the same `thread` (from 0) are made at the same time.
        """
        slices = max(1, min(self.num_threads, count // LEAST_SLICE))
        bounds = [count * index // slices for index in range(slices + 1)]
        running: list[Future[None]] = [
            self._start().submit(step, index, bounds[index], bounds[index + 1])
            for index in range(slices - 1)
        ]
        step(slices - 1, bounds[slices - 1], bounds[slices])
        for each in running:
            each.result()

    def _start(self) -> ThreadPoolExecutor:
        if self._workers is None:
            self._workers = ThreadPoolExecutor(self.num_threads - 1, "lepton-step")
        return self._workers

    def close(self) -> None:
        """End the threads; the next use starts others."""
        if self._workers is not None:
            self._workers.shutdown()
            self._workers = None

    def __getstate__(self) -> dict[str, Any]:
        """Threads do not travel to another process."""
        return {"num_threads": self.num_threads, "_workers": None}
