"""References that compiled code makes itself: from an address, and to one part of many.

A GPU runs one thread for each environment, so each needs a work space of its own. The work spaces
of all lie one behind the other in one allocation for each field; `own_part_of` makes the reference
of one thread from that of all. `at_address` is how a kernel, which is given numbers, gets tables.

Both work on the CPU and on a GPU: they are the same instructions.
"""

from __future__ import annotations

from typing import Any

from numba.core import cgutils, types
from numba.core.extending import intrinsic

from lepton_rl.core.by_reference import OWNERS, Reference, load_field

__all__ = ["at_address", "own_part_of"]

_NUM_ITEMS, _ITEM_SIZE, _DATA = OWNERS, OWNERS + 1, OWNERS + 2
"""Fields of Numba's array structure."""


def at_address(kind: Reference) -> Any:
    """A function for compiled code: address (int64) of a `block_of` tables -> these tables.

    Args:
        kind: type of the tables, `numba.typeof` of any such.
    """

    @intrinsic
    def tables_at(_context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, _signature: Any, args: Any) -> Any:
            return builder.inttoptr(args[0], context.get_value_type(kind))

        return kind(types.int64), generate

    return tables_at


def own_part_of(*shared: str) -> Any:
    """A function for compiled code: (tables of all, number) -> tables of one, a local reference.

    Each array stands for the first of many alike that lie one behind the other.

    Args:
        shared: names of arrays of which there is one for all.
    """

    @intrinsic
    def own_part(_context: Any, tables: Any, number: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            of_all, index = args
            part = cgutils.alloca_once(builder, of_all.type.pointee)
            for position, name in enumerate(tables.pointee.fields):
                source = cgutils.gep_inbounds(builder, of_all, 0, position)
                array = load_field(builder, source, is_array=True, is_fixed=True)
                if name not in shared:
                    array = _later(builder, array, index)
                builder.store(array, cgutils.gep_inbounds(builder, part, 0, position))
            return part

        return Reference(tables.pointee, is_local=True)(tables, types.int64), generate

    return own_part


def _later(builder: Any, array: Any, index: Any) -> Any:
    """The array that lies `index` arrays behind one, in Numba's structure."""
    items, size = (builder.extract_value(array, field) for field in (_NUM_ITEMS, _ITEM_SIZE))
    data = builder.extract_value(array, _DATA)
    offset = builder.mul(index, builder.mul(items, size))
    moved = cgutils.pointer_add(builder, data, offset)
    return builder.insert_value(array, moved, _DATA)
