"""Times of several things, taken in turn, so that a busy machine slows all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

__all__ = ["Times", "in_turn"]


@dataclass(frozen=True)
class Times:
    """Seconds of each call of one thing; entry `i` of all things was taken in round `i`."""

    seconds: np.ndarray

    @property
    def median(self) -> float:
        """Seconds of a call."""
        return float(np.median(self.seconds))

    @property
    def best(self) -> float:
        """Seconds of a call that nobody disturbed: the 5 % quantile."""
        return float(np.quantile(self.seconds, 0.05))

    def over(self, other: Times) -> float:
        """Median over the rounds of how many times as long this takes as `other`."""
        return float(np.median(self.seconds / other.seconds))


def in_turn(
    things: Mapping[str, Callable[[], object]], patience_s: float, least_rounds: int = 5
) -> dict[str, Times]:
    """Call the things one after another, again and again, for about `patience_s`."""
    taken: dict[str, list[float]] = {name: [] for name in things}
    began = time.perf_counter()
    rounds = 0
    while rounds < least_rounds or time.perf_counter() - began < patience_s:
        for name, thing in things.items():
            start = time.perf_counter()
            thing()
            taken[name].append(time.perf_counter() - start)
        rounds += 1
    return {name: Times(np.array(seconds)) for name, seconds in taken.items()}
