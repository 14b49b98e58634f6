"""Two repairs of how Numba keeps machine code on disk, without which it can run the wrong code.

Both concern code that several processes compile and share. They were found because a schedule
changed with the order of the tests; `tests/core/test_machine_code.py` shows the first one.
"""

from __future__ import annotations

import hashlib
import os
import uuid
from typing import Any

from numba.core import types

__all__ = ["keep_files_apart", "name_records_by_layout", "symbol_of"]


def symbol_of(kind: Any) -> tuple[str, tuple[int]]:
    """What symbols call a Numba type: its class, and a digest of its name, which has all fields."""
    digest = hashlib.sha256(kind.name.encode()).digest()[:7]
    return type(kind).__name__, (int.from_bytes(digest, "big"),)


def name_records_by_layout() -> None:
    """Make the symbols of functions that take record arrays depend on the records' fields.

    Numba (0.68 and before) names a record type by a number that counts up in each process. A
    process that compiled for a cluster of one kind and another that compiled for four can so give
    the same name to different code, and a third that loads both from disk links one of them in
    place of the other, without a word.
    """
    record_type: Any = types.Record
    record_type.mangling_args = property(symbol_of)


_STARTED = uuid.uuid4().hex[:12]


def keep_files_apart(dispatcher: Any) -> None:
    """Make this process write files of machine code that no other process writes.

    Numba numbers them by what the index lists. Two processes that compile the same function for
    different types at the same time pick the same number, and one's index entry then leads to the
    other's code.
    """
    files = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    if files is None:  # compiled without a cache
        return
    numbered = files._data_name_pattern.replace("{number:d}", "{}")
    files._data_name = lambda number: numbered.format(f"{_STARTED}-{os.getpid()}-{number}")
