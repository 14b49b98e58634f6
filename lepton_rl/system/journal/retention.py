"""Tasks that ended long ago: of these, only id and outcome are kept."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, delete, insert, select

from lepton_rl.system.journal.ledger import ForgottenLife
from lepton_rl.system.journal.schema import HISTORY, packed, unpacked

__all__ = ["count_reduced", "reduce_history"]

_AT_ONCE = 2_000
"""Tasks that one transaction reduces at most, so that none takes long."""


def count_reduced(connection: Connection, num_history: int) -> int:
    """How many tasks at the beginning of the history are reduced already."""
    low, high = 0, num_history
    while low < high:
        middle = (low + high + 1) // 2
        if _is_reduced(connection, middle):
            low = middle
        else:
            high = middle - 1
    return low


def reduce_history(connection: Connection, num_reduced: int, up_to: int) -> int:
    """Reduce the next tasks of the history.

    Args:
        connection: in a transaction.
        num_reduced: tasks at its beginning that are reduced already.
        up_to: number of the last one to be reduced; it may take several calls to get there.

    Returns:
        How many are reduced now.

    Raises:
        DamageError: a record is damaged.
    """
    last = min(up_to, num_reduced + _AT_ONCE)
    if last <= num_reduced:
        return num_reduced
    which = HISTORY.c.number.between(num_reduced + 1, last)
    rows = [_reduced(row) for row in connection.execute(select(HISTORY).where(which)).all()]
    # Not an update: SQLite would leave the pages as they are, each of them nearly empty.
    connection.execute(delete(HISTORY).where(which))
    if rows:
        connection.execute(insert(HISTORY), rows)
    return last


def _is_reduced(connection: Connection, number: int) -> bool:
    row = connection.execute(select(HISTORY).where(HISTORY.c.number == number)).first()
    return row is not None and isinstance(unpacked(HISTORY, row), ForgottenLife)


def _reduced(row: Any) -> dict[str, Any]:
    less = packed(HISTORY, row.number, ForgottenLife(unpacked(HISTORY, row).outcome))
    return {**less, "task_key": row.task_key, "end_us": row.end_us}
