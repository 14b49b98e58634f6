"""Time inside the system: int64 microseconds, so that sums and ties are exact."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["MICROSECOND", "to_seconds", "to_us"]

MICROSECOND = 1_000_000
"""Ticks in one second."""


def to_us(seconds: ArrayLike) -> NDArray[np.int64]:
    """Seconds to whole microseconds, rounded to the nearest; any shape."""
    return np.rint(np.asarray(seconds, dtype=np.float64) * MICROSECOND).astype(np.int64)


def to_seconds(microseconds: ArrayLike) -> NDArray[np.float64]:
    """Microseconds to seconds; any shape."""
    return np.asarray(microseconds, dtype=np.int64) / MICROSECOND
