"""Stepping a batch in chunks that several threads take in turn.

Waking a thread takes about as long as a hundred steps. So whoever is awake takes the next chunk,
the caller first, and a helper that comes late has less left to do, or nothing.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from threading import Thread
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.atomic import fetch_add
from lepton_rl.core.compiled import compiled
from lepton_rl.core.direct import Direct
from lepton_rl.core.tables import Ints
from lepton_rl.sim.episode import BatchTable, EpisodeRule, step_range

__all__ = ["StepThreads"]

_LEAST_SHARE = 64
"""Environments a thread must have to do; fewer take less time than waking it up."""
_CHUNK = 32
"""Environments that a thread takes at once."""
_LOOKS = 50_000
"""About a millisecond."""
_TAKEN, _DONE = 0, 8
"""Entries of `turns`, on cache lines of their own."""

Helped = Callable[[int], None]


@compiled
def _step_in_turn(batch: BatchTable, rule: EpisodeRule, turns: Ints) -> None:
    """Step chunks, with the tables of one thread, until all are taken."""
    count = batch.actions.shape[0]
    while True:
        first = fetch_add(turns, _TAKEN, 1) * _CHUNK  # type: ignore[call-arg]
        if first >= count:
            return
        last = min(count, first + _CHUNK)
        step_range(batch, rule, first, last)
        fetch_add(turns, _DONE, last - first)


@compiled
def _wait_for(turns: Ints, count: int) -> bool:
    """Whether `count` environments have been stepped, after some time of looking again and again.

    The threads that are still at it hand over to nobody in that time, nor to the interpreter.
    """
    looks = 0
    while fetch_add(turns, _DONE, 0) < count and looks < _LOOKS:  # type: ignore[call-arg]
        looks += 1
    return looks < _LOOKS


class StepThreads:
    """Threads of this process that step one batch together with their caller.

    They start with the first use that needs them, and end with this object.

    Args:
        tables: of the batch, for each thread those with its own work space; the caller's first.
        rule: of the batch.
    """

    def __init__(self, tables: Sequence[BatchTable], rule: EpisodeRule) -> None:
        self._tables, self._rule = tuple(tables), rule
        self._turns: NDArray[np.int64] = np.zeros(_DONE + 1, np.int64)
        self._step = [Direct(_step_in_turn) for _ in tables]
        self._wait_for = Direct(_wait_for)
        self._queues: list[SimpleQueue[Helped | None]] = []
        self._ends: list[weakref.finalize[Any, Any]] = []

    def step(self, count: int) -> None:
        """Step all `count` environments of the batch, whose actions are allowed."""
        helpers = min(len(self._tables), count // _LEAST_SHARE) - 1
        self._turns[_DONE] = 0
        self._turns[_TAKEN] = 0  # from here on whoever is awake may take some
        for index in range(helpers):
            queue = self._queue(index)
            if queue.empty():  # after a fork nobody follows it
                queue.put(self._help)
        self._help(0)
        while not self._wait_for(self._turns, count):
            time.sleep(0)  # another thread is at its last chunk, and perhaps not running

    def _help(self, thread: int) -> None:
        self._step[thread](self._tables[thread], self._rule, self._turns)

    def _queue(self, index: int) -> SimpleQueue[Helped | None]:
        """What helper `index` is given to do."""
        if index == len(self._queues):
            queue: SimpleQueue[Helped | None] = SimpleQueue()
            thread = Thread(
                target=_follow, args=(queue, index + 1), name="lepton-step", daemon=True
            )
            thread.start()
            self._queues.append(queue)
            self._ends.append(weakref.finalize(self, queue.put, None))
        return self._queues[index]

    def close(self) -> None:
        """End the threads; the next use starts others."""
        for end in self._ends:
            end()
        self._queues, self._ends = [], []

    def __reduce__(self) -> tuple[type[StepThreads], tuple[Any, ...]]:
        """Threads do not travel to another process."""
        return StepThreads, (self._tables, self._rule)


def _follow(queue: SimpleQueue[Helped | None], thread: int) -> None:
    """What a helper does; it holds on to nothing while it waits."""
    while (work := queue.get()) is not None:
        work(thread)
        del work
