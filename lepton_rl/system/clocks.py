"""The clock of a live scheduler."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["MonotonicClock"]


class MonotonicClock:
    """Microseconds that pass as in the world, whatever happens to the time of day.

    It is read from the operating system's monotonic clock, so neither a correction of the time of
    day nor a leap second moves it, and it never goes back.

    Args:
        start_us: what it shows first.
        source_ns: nanoseconds that never decrease; for tests.
    """

    def __init__(self, start_us: int, source_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._source_ns = source_ns
        self._offset_us = start_us - source_ns() // 1000
        self._latest_us = start_us

    def now_us(self) -> int:
        """The time now; never less than before, even if the source misbehaves."""
        self._latest_us = max(self._latest_us, self._offset_us + self._source_ns() // 1000)
        return self._latest_us
