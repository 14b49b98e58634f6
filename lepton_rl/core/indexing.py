"""Indices of our compiled code are never negative, so nothing is done about those that are.

Python counts a negative index from the end. Numba compares every index with zero for that, adds the
length, and chooses: four instructions and a register for each, in code that does little but look
things up. None of our functions counts from the end (`tests/core/test_indexing.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numba.core import types
from numba.np import arrayobj

__all__ = ["trust_indices", "trusting"]

Fix = Callable[[Any, Any, Any, Any, Any], Any]

_OURS = f"_ZN{len('lepton_rl')}lepton_rl"
"""How symbols of our functions begin; what Numba compiles for them has other names."""


def trust_indices() -> None:
    """Use the indices of our functions as they are; all others are treated as before."""
    arrayobj.fix_integer_index = trusting(arrayobj.fix_integer_index)


def trusting(fix_integer_index: Fix) -> Fix:
    """What does that, in the place of Numba's function of this name."""

    def leave_ours(context: Any, builder: Any, idxty: Any, idx: Any, size: Any) -> Any:
        if builder.function.name.startswith(_OURS):
            return context.cast(builder, idx, idxty, types.intp)
        return fix_integer_index(context, builder, idxty, idx, size)

    return leave_ours
