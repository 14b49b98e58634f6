"""Splits by time: train, validation and test rows that do not overlap, and windows within one.

Tasks are in order of their submit times, so contiguous rows are contiguous in time: a policy is
tested on work that arrived after all it was trained on.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.checks import require_count
from lepton_rl.core.errors import ConfigError, WorkloadError

__all__ = ["Split", "sample_windows", "split_windows"]

_LARGEST_COUNT = 10**9


@dataclass(frozen=True, slots=True)
class Split:
    """Contiguous rows of a workload.

    Attributes:
        name: train, validation or test.
        first: first row (>= 0).
        last: last row, part of the split (>= first).
    """

    name: str
    first: int
    last: int

    def __post_init__(self) -> None:
        if not 0 <= self.first <= self.last:
            raise ConfigError(
                f"split {self.name!r}: expected 0 <= first <= last, got {self.first}..{self.last}"
            )

    def __len__(self) -> int:
        return self.last - self.first + 1


def split_windows(
    num_tasks: int, length: int, train: float = 0.6, validation: float = 0.2
) -> tuple[Split, Split, Split]:
    """Divide the rows `0 .. num_tasks - 1` into train, validation and test, in this order.

    Args:
        num_tasks: tasks in the workload.
        length: tasks in a window (>= 1); each split must hold at least one.
        train: share of the rows for training, > 0.
        validation: share for validation, > 0; the rest, > 0 too, is for the test.

    Raises:
        ConfigError: shares or length out of range.
        WorkloadError: a split is shorter than a window.
    """
    if not (train > 0 and validation > 0 and train + validation < 1):
        raise ConfigError(
            "splits: train and validation must be > 0 and leave something for the test"
            f" (train + validation < 1), got {train!r} and {validation!r}"
        )
    length = require_count(length, "window length", _LARGEST_COUNT)
    ends = (round(num_tasks * train), round(num_tasks * (train + validation)), num_tasks)
    starts = (0, *ends[:-1])
    names = ("train", "validation", "test")
    for name, start, end in zip(names, starts, ends, strict=True):
        if end - start < length:
            raise WorkloadError(
                f"splits: {name} would get {end - start} of {num_tasks} tasks, fewer than one"
                f" window of {length}; use a longer trace, a shorter window or other shares"
            )
    first, second, third = (
        Split(name, start, end - 1) for name, start, end in zip(names, starts, ends, strict=True)
    )
    return first, second, third


def sample_windows(
    split: Split, length: int, count: int, rng: np.random.Generator | int | None = None
) -> NDArray[np.int64]:
    """Starts of `count` different windows that lie wholly within the split, in ascending order.

    Windows may overlap each other.

    Args:
        split: where to draw from.
        length: tasks in a window (>= 1).
        count: number of windows (>= 1).
        rng: None for evenly spaced starts, from the first possible to the last; a seed or a
            generator for uniform ones.

    Returns:
        Rows, `(count,)`, for `Workload.window(start, length)`.

    Raises:
        ConfigError: length or count below 1.
        WorkloadError: the split has fewer than `count` different windows.
    """
    length = require_count(length, "window length", _LARGEST_COUNT)
    count = require_count(count, "number of windows", _LARGEST_COUNT)
    available = len(split) - length + 1
    if available < count:
        raise WorkloadError(
            f"split {split.name!r} has {len(split)} tasks and so {max(available, 0)} windows of"
            f" {length}, fewer than the {count} asked for; use fewer or shorter windows"
        )
    if rng is None:
        return split.first + np.linspace(0, available - 1, count).round().astype(np.int64)
    starts = np.random.default_rng(rng).choice(available, size=count, replace=False)
    return split.first + np.sort(starts).astype(np.int64)
