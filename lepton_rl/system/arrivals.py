"""Arrivals: submitted tasks by the time at which they will be pending."""

from __future__ import annotations

import heapq

from lepton_rl.core.tasks import TaskState
from lepton_rl.system.life import Entry

__all__ = ["Arrivals"]

_SLACK = 64
"""Cancelled tasks that may stay among those to come, besides as many as there are tasks."""


class Arrivals:
    """Tasks that wait for their submit time, earliest first, then in order of submission.

    Those that are cancelled meanwhile are left out, and dropped from time to time.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Entry]] = []  # (submit_us, serial, entry)

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, entry: Entry) -> None:
        """A submitted task depends on nothing (any more)."""
        heapq.heappush(self._heap, (entry.submit_us, entry.serial, entry))

    def next_us(self) -> int | None:
        """The earliest submit time, None if there is none."""
        while self._heap and self._heap[0][2].state is not TaskState.SUBMITTED:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def pop(self) -> Entry:
        """Take out the task that `next_us` is about."""
        return heapq.heappop(self._heap)[2]

    def tidy(self, num_unfinished: int) -> None:
        """Drop cancelled tasks once they are more than half.

        Args:
            num_unfinished: at most so many others are there.
        """
        if len(self._heap) > 2 * num_unfinished + _SLACK:
            self._heap = [each for each in self._heap if each[2].state is TaskState.SUBMITTED]
            heapq.heapify(self._heap)
