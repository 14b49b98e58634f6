"""Compiled functions that are called without a look at their arguments."""

from __future__ import annotations

import pickle
from typing import NamedTuple

import numpy as np
import pytest

from lepton_rl.core.by_reference import Handle, by_reference
from lepton_rl.core.compiled import compiled
from lepton_rl.core.direct import Direct
from lepton_rl.core.tables import Ints


@by_reference
class Shelf(NamedTuple):
    books: Ints


@compiled
def count(shelf: Shelf, least: float) -> int:
    """How many books have at least so many pages."""
    found = 0
    for index in range(shelf.books.shape[0]):
        found += int(shelf.books[index] >= least)
    return found


def shelf(*pages: int, dtype: type = np.int64) -> Shelf:
    return Handle.standing_for(Shelf(np.array(pages, dtype)))


def test_it_returns_what_the_function_does() -> None:
    direct, small = Direct(count), shelf(100, 200, 300)

    assert [direct(small, least) for least in (50.0, 150.0, 350.0)] == [3, 2, 0]


def test_other_tables_may_be_of_another_type() -> None:
    """Without another look, float32 pages would be read as integers."""
    direct = Direct(count)

    for each in (shelf(100, 200), shelf(100, 200, dtype=np.float32), shelf(7)):
        assert direct(each, 150.0) == count(each, 150.0)


def test_it_is_not_fooled_by_tables_that_lie_where_others_did() -> None:
    direct = Direct(count)
    for pages in range(50):
        dtype = np.int64 if pages % 2 else np.float32
        assert direct(shelf(pages, dtype=dtype), 25.0) == (pages >= 25)


def test_a_wrong_number_of_arguments_is_refused() -> None:
    direct, small = Direct(count), shelf(1)
    direct(small, 1.0)

    with pytest.raises(TypeError):
        direct(small)  # type: ignore[call-arg]


def test_it_travels() -> None:
    direct = Direct(count)
    direct(shelf(1), 1.0)

    assert pickle.loads(pickle.dumps(direct))(shelf(1, 2), 2.0) == 1
