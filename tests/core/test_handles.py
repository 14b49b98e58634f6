"""A handle stands for its tables in every call."""

from __future__ import annotations

import pickle
from typing import NamedTuple

import numpy as np
import pytest

from lepton_rl.core.by_reference import Handle, by_reference
from lepton_rl.core.compiled import compiled


@by_reference
class Inner(NamedTuple):
    grid: np.ndarray  # (2, 3)


@by_reference
class Outer(NamedTuple):
    counts: np.ndarray  # (3,)
    inner: Inner


@compiled
def add_up(outer: Outer) -> float:
    total = 0.0
    for i in range(outer.inner.grid.shape[0]):
        for j in range(outer.inner.grid.shape[1]):
            total += outer.inner.grid[i, j] * outer.counts[j]
    outer.counts[0] += 1
    return total


def tables() -> Outer:
    return Outer(np.array([1, 2, 3]), Inner(np.arange(6.0).reshape(2, 3)))


def test_a_handle_gives_what_the_tables_give_and_writes_into_them() -> None:
    plain, handled = tables(), tables()
    handle = Handle(handled)
    for _ in range(3):
        assert add_up(handle) == add_up(plain)  # type: ignore[arg-type]
    assert handled.counts.tolist() == plain.counts.tolist() == [4, 2, 3]


def test_a_handle_keeps_its_arrays() -> None:
    handle = Handle(tables())
    with pytest.raises(ValueError, match="cannot resize"):
        handle.tables.counts.resize(100)
    assert add_up(handle) == 3 * 1 + 5 * 2 + 7 * 3  # type: ignore[arg-type]


def test_a_handle_travels_as_its_tables() -> None:
    handle = pickle.loads(pickle.dumps(Handle(tables())))

    assert add_up(handle) == add_up(tables())


@pytest.mark.parametrize("given", [(1, 2), np.zeros(3), Outer(3, Inner(np.zeros(2)))], ids=str)
def test_only_tables_of_arrays_have_handles(given: object) -> None:
    with pytest.raises(TypeError, match="expected"):
        Handle(given)
