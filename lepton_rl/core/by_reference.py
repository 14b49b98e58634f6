"""Named tuples of arrays that compiled functions hand on as one pointer.

Numba passes a tuple by its fields, and an array by seven or more numbers, so a function that takes
all tables of a simulation would have some 300 arguments: most of the compile time, and of the time
of a call. `@by_reference` tuples become a pointer to their fields instead. In the source nothing
changes: `view.pool.rows` reads the same.

The pointer is valid for the call from Python that made it. Compiled code must not return such a
tuple, nor change which arrays it names.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from llvmlite import ir
from numba import typeof
from numba.core import cgutils, types
from numba.core.datamodel import models
from numba.core.extending import (
    NativeValue,
    lower_getattr_generic,
    register_model,
    typeof_impl,
    unbox,
)
from numba.core.typing.templates import AttributeTemplate, infer_getattr

from lepton_rl.core.machine_code import symbol_of

__all__ = ["OWNERS", "Handle", "Reference", "block_of", "by_reference", "load_field"]

C = TypeVar("C", bound=type)
N = TypeVar("N")

_ADDRESS = "_lepton_address"
"""Attribute of a `Handle` that compiled functions read."""


class Reference(types.Type):
    """Type of a pointer to the fields of a named tuple.

    Args:
        pointee: the named tuple.
        is_local: compiled code has written the fields itself, so that they are not fixed.
    """

    def __init__(self, pointee: Any, is_local: bool = False) -> None:
        self.pointee, self.is_local = pointee, is_local
        super().__init__(name=f"{'Local' if is_local else ''}Reference({pointee})")

    @property
    def mangling_args(self) -> tuple[str, tuple[int]]:
        """A short name for symbols; the whole one has thousands of letters."""
        return symbol_of(self)


@register_model(Reference)
class _ReferenceModel(models.PrimitiveModel):
    def __init__(self, dmm: Any, fe_type: Any) -> None:
        pointee = dmm.lookup(fe_type.pointee).get_value_type()
        super().__init__(dmm, fe_type, pointee.as_pointer())


@infer_getattr
class _ReferenceFields(AttributeTemplate):
    key = Reference

    def generic_resolve(  # type: ignore[override]
        self, reference: Any, name: str
    ) -> Any:
        fields = reference.pointee.fields
        if name not in fields:
            return None
        found = reference.pointee.types[fields.index(name)]
        is_nested = isinstance(found, types.NamedTuple)
        return Reference(found, reference.is_local) if is_nested else found


@lower_getattr_generic(Reference)
def _load_field(context: Any, builder: Any, reference: Any, pointer: Any, name: str) -> Any:
    index = reference.pointee.fields.index(name)
    field = cgutils.gep_inbounds(builder, pointer, 0, index)
    kind = reference.pointee.types[index]
    if isinstance(kind, types.NamedTuple):
        return field
    is_array = isinstance(kind, types.Array)
    return load_field(builder, field, is_array=is_array, is_fixed=not reference.is_local)


def load_field(builder: Any, pointer: Any, *, is_array: bool, is_fixed: bool) -> Any:
    """The value behind a pointer, part by part, so that LLVM drops what is not used.

    Arrays are borrowed: without their owner (the first two fields), so nobody counts references.
    Fixed fields never change during a call, which LLVM could not know by itself.
    """
    kind = pointer.type.pointee
    if not isinstance(kind, ir.LiteralStructType | ir.ArrayType):
        value = builder.load(pointer)
        if is_fixed:
            value.set_metadata("invariant.load", builder.module.add_metadata([]))
        return value
    count = len(kind.elements) if isinstance(kind, ir.LiteralStructType) else kind.count
    value = ir.Constant(kind, ir.Undefined)
    for part in range(count):
        if is_array and part < OWNERS:
            each = ir.Constant(kind.elements[part], None)
        else:
            inner = cgutils.gep_inbounds(builder, pointer, 0, part)
            each = load_field(builder, inner, is_array=False, is_fixed=is_fixed)
        value = builder.insert_value(value, each, part)
    return value


OWNERS = 2
"""Fields of Numba's array structure that name its owner: meminfo and parent."""


@unbox(Reference)
def _unbox_reference(reference: Any, given: Any, c: Any) -> Any:
    """Take the address of a `Handle`; copy the fields of a named tuple to the stack."""
    builder, pointee = c.builder, c.context.get_value_type(reference.pointee)
    fields = cgutils.alloca_once(builder, pointee, zfill=True)
    pointer = cgutils.alloca_once_value(builder, fields)
    is_error = cgutils.alloca_once_value(builder, cgutils.false_bit)
    has_address = c.pyapi._get_function(
        ir.FunctionType(ir.IntType(32), [c.pyapi.pyobj, c.pyapi.cstring]), "PyObject_HasAttrString"
    )
    name = c.context.insert_const_string(builder.module, _ADDRESS)
    is_handle = cgutils.is_not_null(builder, builder.call(has_address, [given, name]))
    with builder.if_else(is_handle) as (handle, tables):
        with handle:
            found = c.pyapi.object_getattr_string(given, _ADDRESS)
            address = c.pyapi.long_as_longlong(found)
            c.pyapi.decref(found)
            builder.store(builder.inttoptr(address, pointee.as_pointer()), pointer)
        with tables:
            unboxed = c.unbox(reference.pointee, given)
            assert unboxed.cleanup is None, "arrays need none"
            builder.store(unboxed.value, fields)
            builder.store(unboxed.is_error, is_error)

    def cleanup() -> None:
        # Without a tuple the fields are null, and nothing happens.
        c.context.nrt.decref(builder, reference.pointee, builder.load(fields))

    return NativeValue(builder.load(pointer), is_error=builder.load(is_error), cleanup=cleanup)


def by_reference(cls: C) -> C:
    """Let compiled functions take this named tuple, whose fields are arrays, as a pointer."""

    @typeof_impl.register(cls)
    def _typeof(value: Any, context: Any) -> Any:
        return Reference(_plain_type(value, context))

    return cls


def _plain_type(value: Any, context: Any) -> Any:
    """Numba's own type of a named tuple, and of those in it."""
    if not (isinstance(value, tuple) and hasattr(value, "_fields")):
        return typeof_impl(value, context)
    return types.NamedTuple([_plain_type(each, context) for each in value], type(value))


class Handle:
    """Tables that were made ready once for many calls.

    Compiled functions take it in the place of the tables. Otherwise they look at every array of
    them in each call, which takes longer than one step of a simulation.

    The arrays stay alive as long as the handle does, and keep their memory: NumPy refuses to
    resize an array that something else refers to (unless told not to look).

    Args:
        tables: a `@by_reference` tuple of arrays and of such tuples.

    Raises:
        TypeError: it is something else, or has a field of another kind.
    """

    __slots__ = ("_arrays", "_block", "_lepton_address", "_numba_type_", "tables")

    def __init__(self, tables: Any) -> None:
        self._numba_type_ = typeof(tables)
        if not isinstance(self._numba_type_, Reference):
            raise TypeError(f"expected a @by_reference tuple, got {type(tables).__name__}")
        self.tables = tables
        self._arrays = _arrays(tables)  # a reference more, by which NumPy knows they are in use
        self._block = block_of(tables, lambda array: array.ctypes.data)
        self._lepton_address = self._block.ctypes.data

    @classmethod
    def standing_for(cls, tables: N) -> N:
        """A handle, typed as the tables that compiled functions take it for."""
        return cast(N, cls(tables))

    def __reduce__(self) -> tuple[type[Handle], tuple[Any]]:
        return Handle, (self.tables,)


def _arrays(value: Any) -> list[np.ndarray[Any, Any]]:
    """The arrays in nested tuples, in the order in which Numba's structure holds them."""
    if isinstance(value, tuple):
        return [array for each in value for array in _arrays(each)]
    if not isinstance(value, np.ndarray):
        raise TypeError(f"expected arrays and tuples of them, got {type(value).__name__}")
    return [value]


def block_of(
    tables: Any, address_of: Callable[[np.ndarray[Any, Any]], int]
) -> np.ndarray[Any, Any]:
    """The fields that a `Reference` points to, as `(words,)` of int64.

    Args:
        tables: a `@by_reference` tuple of arrays and of such tuples.
        address_of: where the elements of an array are, for who will follow the reference.

    Raises:
        TypeError: a field is something else.
    """
    words = [word for each in _arrays(tables) for word in _words(each, address_of(each))]
    return np.array(words, np.int64)


def _words(array: np.ndarray[Any, Any], address: int) -> list[int]:
    """What Numba's structure of an array holds, in 64-bit words."""
    owners = [0] * OWNERS  # nobody counts references to borrowed arrays
    sizes = [math.prod(array.shape), array.itemsize]
    return [*owners, *sizes, address, *array.shape, *array.strides]
