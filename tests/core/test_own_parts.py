"""References that compiled code makes itself."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from lepton_rl.core.by_reference import block_of, by_reference
from lepton_rl.core.compiled import compiled
from lepton_rl.core.own_parts import at_address, own_part_of


@by_reference
class Space(NamedTuple):
    sums: np.ndarray  # (2,)
    grid: np.ndarray  # (2, 3)
    shared: np.ndarray  # (1,)


def space(of_all: tuple[np.ndarray, np.ndarray, np.ndarray]) -> Space:
    """The first of the spaces in arrays of all."""
    sums, grid, shared = of_all
    return Space(sums[0], grid[0], shared)


def arrays(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    grid = np.arange(count * 6, dtype=np.float32).reshape(count, 2, 3)
    return np.zeros((count, 2), np.int64), grid, np.array([100], np.int64)


own_part = own_part_of("shared")
space_at = at_address(numba.typeof(space(arrays(1))))


@compiled
def _add_up(own: Space) -> None:
    for row in range(own.grid.shape[0]):
        for column in range(own.grid.shape[1]):
            own.sums[row] += int(own.grid[row, column])
    own.shared[0] += 1


@compiled
def add_up_all(of_all: Space, count: int) -> None:
    for number in range(count):
        _add_up(own_part(of_all, number))


@compiled
def add_up_at(address: int) -> None:
    _add_up(space_at(address))


def test_each_has_its_own_part_and_all_share_the_rest() -> None:
    of_all = arrays(4)
    add_up_all(space(of_all), 4)

    sums, grid, shared = of_all
    np.testing.assert_array_equal(sums, grid.sum(axis=2).astype(np.int64))
    assert shared.tolist() == [104]


def test_an_address_stands_for_the_tables() -> None:
    of_all = arrays(1)
    block = block_of(space(of_all), lambda array: array.ctypes.data)
    add_up_at(block.ctypes.data)

    assert of_all[0].tolist() == [[3, 12]]
    assert of_all[2].tolist() == [101]
