"""When a policy that keeps failing is not asked for a while."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Bench"]


class Bench:
    """Benches after several failures in a row, each time for twice as long.

    Time is the monotonic clock's, so corrections of the time of day do not matter. After its time
    the policy is tried once: another failure benches it again at once. As many good answers in a
    row as failures were allowed make everything forgotten.

    Args:
        patience: failures in a row (>= 1).
        first_s: how long the first time, in s.
        longest_s: how long at most, in s.
        clock: in s; never goes back.
    """

    def __init__(
        self,
        patience: int,
        first_s: float,
        longest_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._patience, self._first_s, self._longest_s = patience, first_s, longest_s
        self._clock = clock
        self.clear()

    def clear(self) -> None:
        """Forget all failures."""
        self._failures = self._successes = self._times = 0
        self._until_s: float | None = None

    @property
    def is_benched(self) -> bool:
        """Whether the policy must not be asked now."""
        return self._until_s is not None and self._clock() < self._until_s

    def failed(self) -> bool:
        """The policy has failed; returns whether that benches it."""
        self._successes = 0
        self._failures += 1
        if self._until_s is None and self._failures < self._patience:
            return False
        bench_s = min(self._longest_s, self._first_s * 2.0 ** min(self._times, 60))
        self._until_s = self._clock() + bench_s
        self._times += 1
        return True

    def succeeded(self) -> None:
        """The policy has answered well."""
        if not self._failures and not self._times:
            return
        self._failures = 0
        self._successes += 1
        self._until_s = None
        if self._successes >= self._patience:
            self.clear()
