"""Settings that change as training goes on."""

from __future__ import annotations

__all__ = ["linear"]


def linear(start: float, end: float, done: float) -> float:
    """From `start` to `end` as `done` goes from 0 to 1, and `end` beyond."""
    return start + (end - start) * min(max(done, 0.0), 1.0)
