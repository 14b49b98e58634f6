"""The database behind a journal: its connections, its transactions, what goes wrong with it."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, create_engine, event, inspect, make_url
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from lepton_rl.core.errors import ConfigError, JournalError
from lepton_rl.system.journal.schema import HEAD, METADATA, DamageError

__all__ = ["Database", "Synchronous", "journal_url"]


_CAN_REPEAT_READS = {"postgresql", "mysql", "mariadb"}
"""Where a reader must say that it wants one state; SQLite does so anyway."""


class Synchronous(StrEnum):
    """How sure SQLite makes that a commit is on disk before it says so."""

    NORMAL = "normal"
    """no waiting for the disk: a killed process loses nothing, a power cut the last commits"""
    FULL = "full"
    """nothing acknowledged is lost, not even in a power cut"""
    EXTRA = "extra"
    """the same in WAL mode"""


def journal_url(place: str | Path) -> URL:
    """Where a journal is: a SQLAlchemy URL, or the path of a SQLite file.

    Raises:
        ConfigError: it is no URL, or one of a database in memory.
    """
    if isinstance(place, Path) or "://" not in place:
        return URL.create("sqlite", database=str(place))
    try:
        url = make_url(place)
    except ArgumentError as error:
        raise ConfigError(f"journal: expected a path or a SQLAlchemy URL: {error}") from error
    if url.get_backend_name() == "sqlite" and url.database in (None, "", ":memory:"):
        raise ConfigError("journal: a database in memory does not outlive the process; name a file")
    return url


class Database:
    """Connections to one database; each transaction is one `write` or `read`.

    Args:
        url: which.
        synchronous: for SQLite, None for FULL; other databases have their own settings.
        busy_s: how long to wait for other users of a SQLite file, in s.

    Raises:
        ConfigError: a setting that this database does not have, or no driver for it.
    """

    def __init__(self, url: URL, synchronous: Synchronous | None, busy_s: float) -> None:
        self.name = url.render_as_string(hide_password=True)
        self.is_sqlite = url.get_backend_name() == "sqlite"
        if synchronous is not None and not self.is_sqlite:
            raise ConfigError(f"journal {self.name}: synchronous is a setting of SQLite only")
        self.synchronous = synchronous or Synchronous.FULL
        self._busy_s = busy_s
        try:
            self.engine = create_engine(url)
        except (ArgumentError, NoSuchModuleError, ImportError) as error:
            raise ConfigError(
                f"journal {self.name}: no driver for it ({error}); install one, e.g. pip install"
                " psycopg for postgresql+psycopg://"
            ) from error
        if self.is_sqlite:
            event.listen(self.engine, "connect", self._set_up)
            event.listen(self.engine, "begin", _begin)
        self._writer: Connection | None = None

    def close(self) -> None:
        """Give back all connections."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        self.engine.dispose()

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turn errors of the database into a `JournalError` that says what to do."""
        try:
            yield
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise JournalError(f"journal {self.name}: {_explanation(error)}") from error
        except UnicodeDecodeError as error:  # a message of SQLite that cites the damage
            raise JournalError(f"journal {self.name}: {_DAMAGED} ({error})") from error
        except DamageError as error:
            raise JournalError(f"journal {self.name}: {error}; {_DAMAGED}") from error

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one state of the database."""
        with self.explained(), self.engine.connect() as connection:
            if connection.dialect.name in _CAN_REPEAT_READS:
                connection.execution_options(isolation_level="REPEATABLE READ")
            with connection.begin():
                yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction that is committed at the end of the block, or undone if that raises."""
        with self.explained():
            if self._writer is None:
                self._writer = self.engine.connect().execution_options(lepton_writes=True)
            with self._writer.begin():
                yield self._writer

    def has_tables(self) -> bool:
        """Whether there is a journal.

        Raises:
            JournalError: it is a SQLite file of something else.
        """
        with self.explained(), self.engine.connect() as connection:
            names = set(inspect(connection).get_table_names())
        if HEAD.name not in names and names and self.is_sqlite:
            raise JournalError(
                f"journal {self.name}: the file holds the tables of another program"
                f" ({', '.join(sorted(names)[:3])}); name a new file"
            )
        return HEAD.name in names

    def create_tables(self, fill: Callable[[Connection], None]) -> None:
        """Create what is missing and `fill` it; for SQLite, also turn to write-ahead logging."""
        self.use_wal()
        with self.write() as connection:
            METADATA.create_all(connection)
            fill(connection)

    def refuse_missing(self) -> None:
        """Looking at a SQLite file that is not there would create it.

        Raises:
            JournalError: it is not there.
        """
        name = self.engine.url.database or ""
        if self.is_sqlite and not name.startswith("file:") and not Path(name).is_file():
            raise JournalError(f"journal {self.name}: there is no such file")

    def truncate_wal(self) -> None:
        """Begin the log anew, so that what lies behind its end was written by us."""
        if self.is_sqlite:
            self.pragma("wal_checkpoint(TRUNCATE)")

    def use_wal(self) -> None:
        """Make sure that a SQLite file is in WAL mode; it stays in it.

        Raises:
            JournalError: it cannot be.
        """
        mode = self.pragma("journal_mode=WAL") if self.is_sqlite else "wal"
        if mode != "wal":
            raise JournalError(
                f"journal {self.name}: SQLite cannot keep a write-ahead log there (journal mode"
                f" {mode}); put it on a local disk"
            )

    def pragma(self, command: str) -> Any:
        """First value that a PRAGMA of SQLite answers, outside any transaction."""
        row = self.pragma_row(command)
        return row[0] if row else None

    def pragma_row(self, command: str) -> tuple[Any, ...] | None:
        """First row that a PRAGMA of SQLite answers, outside any transaction."""
        with self.explained(), closing(self.engine.raw_connection()) as raw:
            cursor = raw.cursor()
            cursor.execute(f"PRAGMA {command}")
            row: tuple[Any, ...] | None = cursor.fetchone()
            cursor.close()
            return row

    def file(self) -> Path | None:
        """The SQLite file, None for other databases."""
        row = self.pragma_row("database_list") if self.is_sqlite else None
        return Path(row[2]) if row and row[2] else None

    def _set_up(self, raw: Any, _: object) -> None:
        raw.isolation_level = None  # transactions begin where `_begin` says, not where Python does
        raw.execute(f"PRAGMA busy_timeout={round(self._busy_s * 1000)}")
        raw.execute(f"PRAGMA synchronous={self.synchronous.upper()}")
        raw.execute("PRAGMA cell_size_check=ON")
        if sys.platform == "darwin":
            raw.execute("PRAGMA fullfsync=ON")


def _begin(connection: Connection) -> None:
    """A writer takes the lock at once: waiting for it in mid-transaction could fail."""
    writes = connection.get_execution_options().get("lepton_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


_DAMAGED = (
    "the journal is damaged: stop, keep a copy of its files, check the disk, and restore the last"
    " backup, or begin a new journal at another place"
)

_SQLITE_FAULTS = {
    "SQLITE_FULL": "the disk is full; free some space and try again",
    "SQLITE_BUSY": "another program has locked it; close that program and try again",
    "SQLITE_LOCKED": "another program has locked it; close that program and try again",
    "SQLITE_READONLY": "it is read-only; let this user write to the file and to its folder; if that"
    " is so, its beginning is damaged: restore the last backup",
    "SQLITE_PERM": "no permission; let this user write to the file and to its folder",
    "SQLITE_CANTOPEN": "cannot open it; check that its folder exists and may be written to",
    "SQLITE_CORRUPT": _DAMAGED,
    "SQLITE_NOTADB": "the file is no SQLite database, or its beginning is damaged; " + _DAMAGED,
    "SQLITE_IOERR": "the disk fails; check it, its quota and the kernel's log",
}


def _explanation(error: Exception) -> str:
    """What is wrong and what to do about it."""
    cause = getattr(error, "orig", None) or error
    reason = " ".join(str(cause).split())
    name = getattr(cause, "sqlite_errorname", None)
    if isinstance(name, str):
        fault = "_".join(name.split("_")[:2])  # SQLITE_IOERR_WRITE is an SQLITE_IOERR
        advice = _SQLITE_FAULTS.get(fault, _DAMAGED)
        return f"{advice} ({reason}, {name})"
    if isinstance(cause, sqlite3.Error):  # such as text that is not UTF-8
        return f"{_DAMAGED} ({reason})"
    return f"the database refuses: {reason}; check that it runs, can be reached and has space"
