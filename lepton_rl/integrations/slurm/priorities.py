"""Priorities that put jobs into an order, with as few changes as possible."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

__all__ = ["changed_priorities"]

_STEP = 1024
"""Between neighbours, so that ten jobs can be put in between before all must move."""
_LARGEST = 4_000_000_000
"""Slurm keeps priorities as uint32."""


def changed_priorities(order: Sequence[tuple[str, int]], base: int) -> dict[str, int]:
    """New priorities for those jobs that must change so that all are in strictly falling order.

    The longest part of the order that is right already keeps its priorities; the others get values
    in between, or, where there is no room, all jobs get new ones.

    Args:
        order: name and present priority of each job, first the one that should start first.
        base: priorities lie above it; one at or below it is none of ours, and changes.

    Returns:
        Name -> priority, for the jobs that change.
    """
    kept = _longest_falling([priority for _, priority in order], base)
    values = _filled([order[i][1] if i in kept else None for i in range(len(order))], base)
    if values is None:
        values = [base + _STEP * (len(order) - i) for i in range(len(order))]
    pairs = zip(order, values, strict=True)
    return {name: value for (name, old), value in pairs if value != old}


def _longest_falling(values: Sequence[int], base: int) -> set[int]:
    """Positions of a longest strictly falling part of those above `base` (patience sorting)."""
    tails: list[int] = []  # smallest negated last value of a part of each length
    tail_at: list[int] = []
    before: dict[int, int | None] = {}
    for position, value in enumerate(values):
        if not base < value <= _LARGEST:
            continue
        length = bisect_left(tails, -value)
        before[position] = tail_at[length - 1] if length else None
        tails[length : length + 1] = [-value]
        tail_at[length : length + 1] = [position]
    kept: set[int] = set()
    at: int | None = tail_at[-1] if tail_at else None
    while at is not None:
        kept.add(at)
        at = before[at]
    return kept


def _filled(values: Sequence[int | None], base: int) -> list[int] | None:
    """The same with a value for each gap; None where a gap is too narrow."""
    filled: list[int] = []
    gap = 0
    above: int | None = None
    for value in [*values, base]:
        if value is None:
            gap += 1
            continue
        top = value + _STEP * (gap + 1) if above is None else above
        if gap and (top - value <= gap or top > _LARGEST):
            return None
        filled += [top - (top - value) * (i + 1) // (gap + 1) for i in range(gap)]
        filled.append(value)
        above, gap = value, 0
    return filled[:-1]
