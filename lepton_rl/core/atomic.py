"""Numbers that several threads of compiled code change at the same time."""

from __future__ import annotations

from typing import Any

from numba.core import types
from numba.core.extending import intrinsic

__all__ = ["fetch_add"]


@intrinsic
def fetch_add(_context: Any, array: Any, index: Any, amount: Any) -> Any:
    """Add to an entry of a contiguous `(N,)` int64 array; what it was before.

    All threads see all such changes, and what was written before them, in one order.
    """

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        given, position, added = args
        data = context.make_array(signature.args[0])(context, builder, given).data
        return builder.atomic_rmw("add", builder.gep(data, [position]), added, "seq_cst")

    return types.int64(array, types.int64, types.int64), generate
