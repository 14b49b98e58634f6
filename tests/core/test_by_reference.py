"""Named tuples that compiled functions take as a pointer."""

from __future__ import annotations

import gc
import sys
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.by_reference import Reference, by_reference
from lepton_rl.core.compiled import compiled

Ints = NDArray[np.int64]


@by_reference
class Inner(NamedTuple):
    counts: Ints  # (n,)
    table: Ints  # (n, m)


@by_reference
class Outer(NamedTuple):
    inner: Inner
    sums: Ints  # (n,)


@compiled
def _row_sum(inner: Inner, row: int) -> int:
    total = 0
    for column in range(inner.table.shape[1]):
        total += inner.table[row, column]
    return total


@compiled
def add_up(outer: Outer) -> int:
    inner, sums = outer.inner, outer.sums
    for row in range(sums.shape[0]):
        sums[row] = _row_sum(inner, row)
        outer.inner.counts[row] += 1
    return inner.table.shape[0]


def made(rows: int, columns: int) -> Outer:
    table = np.arange(rows * columns).reshape(rows, columns)
    return Outer(Inner(np.zeros(rows, np.int64), table), np.zeros(rows, np.int64))


def test_fields_are_read_and_written_in_place_whatever_their_shapes() -> None:
    for rows, columns in ((3, 4), (1, 1), (5, 0)):
        outer = made(rows, columns)
        assert add_up(outer) == rows
        assert outer.sums.tolist() == outer.inner.table.sum(axis=1).tolist()
        assert outer.inner.counts.tolist() == [1] * rows


def test_it_is_one_argument() -> None:
    add_up(made(2, 2))
    ((found,),) = add_up.signatures  # type: ignore[attr-defined]
    assert isinstance(found, Reference)
    assert len(found.mangling_args[1]) == 1


def test_arrays_are_given_back_after_the_call() -> None:
    outer = made(4, 4)
    add_up(outer)
    gc.collect()
    before = sys.getrefcount(outer.inner.table)
    for _ in range(100):
        add_up(outer)
    after = sys.getrefcount(outer.inner.table)
    assert after == before


def test_views_that_are_not_contiguous_are_another_type_and_work_too() -> None:
    whole = np.arange(24).reshape(4, 6)
    outer = Outer(Inner(np.zeros(4, np.int64), whole[:, ::2]), np.zeros(4, np.int64))
    add_up(outer)
    assert outer.sums.tolist() == whole[:, ::2].sum(axis=1).tolist()
