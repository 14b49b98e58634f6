"""The tables, and rows that notice when they were damaged."""

from __future__ import annotations

import zlib
from typing import Any

from sqlalchemy import BigInteger, Column, Index, Integer, MetaData, String, Table, Text
from sqlalchemy.dialects import mysql

from lepton_rl.core.errors import JournalError, LeptonError
from lepton_rl.system.journal.codec import from_json, to_json

__all__ = [
    "CLUSTER_NUMBER",
    "EVENTS",
    "HEAD",
    "HISTORY",
    "METADATA",
    "SCHEMA_VERSION",
    "SNAPSHOT",
    "DamageError",
    "packed",
    "unpacked",
]

SCHEMA_VERSION = 1

CLUSTER_NUMBER = 0
"""Row of the snapshot that holds the nodes; tasks have the numbers from 1 on."""

METADATA = MetaData()

_Number = BigInteger().with_variant(Integer(), "sqlite")  # SQLite's own row number, 64 bits
_Json = Text().with_variant(mysql.LONGTEXT(), "mysql", "mariadb")


def _records(name: str, *more: Any) -> Table:
    return Table(
        name,
        METADATA,
        Column("number", _Number, primary_key=True, autoincrement=False),
        *more,
        Column("record", _Json, nullable=False),
        Column("crc", BigInteger, nullable=False),
    )


HEAD = Table(
    "lepton_journal",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),  # one row, 1
    Column("schema_version", Integer, nullable=False),  # never moves: any version can read it
    Column("last_seq", BigInteger, nullable=False),
    Column("snapshot_seq", BigInteger, nullable=False),  # events up to here are in the snapshot
    Column("num_live", BigInteger, nullable=False),  # tasks in the snapshot
    Column("num_finished", BigInteger, nullable=False),  # tasks in the history
    Column("damage", Text),  # what was found lost, until somebody accepts it
    Column("owner_token", String(32)),  # None: nobody has it open for writing
    Column("owner_host", String(255)),
    Column("owner_machine", String(255)),
    Column("owner_pid", BigInteger),
    Column("owner_start", String(64)),
    Column("beat", BigInteger, nullable=False),  # changes at least every few seconds
)

EVENTS = _records("lepton_events")
"""Events since the snapshot, by sequence number, which has no gaps."""

SNAPSHOT = _records("lepton_snapshot")
"""Lives of the tasks that had not ended when events were last folded, by number."""

HISTORY = _records(
    "lepton_history",
    # A digest, because databases differ in which strings they can hold and find equal.
    Column("task_key", String(64), nullable=False, unique=True),
    Column("end_us", BigInteger, nullable=False),
)
"""Lives of the tasks that have ended, numbered from 1 in order of their ends, without gaps."""

Index("lepton_history_end", HISTORY.c.end_us)


class DamageError(Exception):
    """What is stored contradicts itself; `Database` makes a `JournalError` of it."""


def packed(table: Table, number: int, value: object) -> dict[str, Any]:
    """A row for one of the tables of records."""
    record = to_json(value)
    return {"number": number, "record": record, "crc": _crc(table, number, record)}


def unpacked(table: Table, row: Any) -> Any:
    """What `packed` put into `row`.

    Raises:
        DamageError: it is not what was written.
        JournalError: it was written by another version.
    """
    number, record = row.number, row.record
    where = f"row {number!r} of {table.name}"
    try:
        intact = _crc(table, number, record) == row.crc
    except (ValueError, TypeError, AttributeError):  # not even text
        intact = False
    if not intact:
        raise DamageError(f"{where} does not match its checksum")
    try:
        return from_json(record)
    except (ValueError, TypeError, KeyError, AttributeError, LeptonError) as error:
        raise JournalError(
            f"journal: {where} was written by another version of lepton-rl ({error}); use that one"
        ) from error


def _crc(table: Table, number: int, record: str) -> int:
    return zlib.crc32(f"{table.name}:{number}:{record}".encode("ascii"))
