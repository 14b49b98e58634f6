"""Journal: what happened, made durable before anybody acts on it."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from pydantic import Field
from sqlalchemy import Connection

from lepton_rl.core.errors import JournalError, StateError
from lepton_rl.core.settings import Settings
from lepton_rl.system.journal import retention, storage
from lepton_rl.system.journal.claim import claim, forget, owner_lives, read_head, refuse, release
from lepton_rl.system.journal.database import Database, Synchronous, journal_url
from lepton_rl.system.journal.events import JournalEvent, Outcome
from lepton_rl.system.journal.integrity import check_all, refuse_losses
from lepton_rl.system.journal.ledger import ForgottenLife, Recovered, TaskLife

__all__ = ["Journal", "JournalSettings"]


class JournalSettings(Settings):
    """How a journal is kept.

    Attributes:
        synchronous: how sure SQLite makes that a commit is on disk; None for full, which other
            databases decide themselves.
        busy_s: how long to wait for other users of a SQLite file, in s (>= 0).
        heartbeat_s: an idle owner shows at least this often that it lives, in s (> 0).
        patience_s: how long the heartbeat of an owner on another machine must stand still before
            it counts as dead, in s; several times `heartbeat_s`.
        compact_every: events after which they are folded into the snapshot (>= 1).
        retain_ended: how many tasks that have ended are kept in full, the last ones (>= 0); None
            for all. Of the others only id and outcome are kept, so that their ids are not used
            again and tasks may still depend on them.
    """

    synchronous: Synchronous | None = None
    busy_s: float = Field(5.0, ge=0)
    heartbeat_s: float = Field(5.0, gt=0)
    patience_s: float = Field(20.0, gt=0)
    compact_every: int = Field(1000, ge=1)
    retain_ended: int | None = Field(None, ge=0)


class Journal:
    """A write-ahead journal of a scheduler's life; see docs/journal.md for the protocol.

    `append` returns when its events are durable. Opening a journal folds the last snapshot and the
    events since then into a state, which `recover` returns. One process at a time may write; any
    number may open it `read_only` meanwhile. Threads may share a journal.

    Args:
        database: which, with its tables.
        stored: what it holds.
        settings: see there.
        token: of the claim to write, None to read only.
    """

    def __init__(
        self,
        database: Database,
        stored: storage.Stored,
        settings: JournalSettings,
        token: str | None,
    ) -> None:
        self._database, self._settings, self._token = database, settings, token
        self._ledger, self._snapshot_seq, self._num_history = stored
        self._lock, self._pid = threading.RLock(), os.getpid()
        self._last_beat_s = time.monotonic()
        self._closed = self._taken_over = False
        self._doubtful = False  # a commit began, and we do not know that it succeeded
        self._num_reduced: int | None = None  # tasks at the beginning of the history, once known
        if token is not None:
            weakref.finalize(self, forget, token)

    @classmethod
    def open(
        cls,
        place: str | Path,
        settings: JournalSettings | None = None,
        *,
        read_only: bool = False,
        accept_loss: bool = False,
    ) -> Self:
        """Open a journal, or begin a new one.

        Args:
            place: the path of a SQLite file, or a SQLAlchemy URL.
            settings: None for the defaults.
            read_only: look at its state as it is now; a live scheduler may go on writing it.
            accept_loss: go on although an earlier opening found that events were lost.

        Raises:
            StateError: a live scheduler has it open, or it is of another schema version.
            JournalError: it is damaged, or cannot be read or written; the message says what to do.
            ConfigError: it is no URL, or a setting does not suit the database.
        """
        settings = settings or JournalSettings()
        url = journal_url(place)
        database = Database(url, settings.synchronous, settings.busy_s)
        try:
            return cls._opened(database, settings, read_only=read_only, accept_loss=accept_loss)
        except BaseException:
            database.close()
            raise

    @classmethod
    def _opened(
        cls, database: Database, settings: JournalSettings, *, read_only: bool, accept_loss: bool
    ) -> Self:
        if read_only:
            database.refuse_missing()
        if not database.has_tables():
            if read_only:
                raise JournalError(f"journal {database.name}: there is none yet")
            database.create_tables(storage.create)
        if read_only:
            head = read_head(database)
            if not owner_lives(database, head, patience_s=0):
                refuse_losses(database, head, accept_loss=accept_loss)
            return cls(database, storage.load(database), settings, None)
        token = _claimed(database, settings.patience_s, accept_loss=accept_loss)
        try:
            database.truncate_wal()
            return cls(database, storage.load(database), settings, token)
        except BaseException:
            forget(token)
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def name(self) -> str:
        """Where it is, without a password."""
        return self._database.name

    @property
    def last_seq(self) -> int:
        """Sequence number of the last event, 0 if there is none; they have no gaps."""
        return self._ledger.last_seq

    def append(self, events: Sequence[JournalEvent]) -> None:
        """Make a batch of events durable, in its order: all of them or none.

        One batch costs one wait for the disk, whatever its size.

        Raises:
            StateError: an event that the state does not allow (nothing is written), or the journal
                is closed, read-only or has been taken over by another scheduler.
            ConfigError: something that is no event; nothing is written.
            JournalError: it could not be written. Either nothing of the batch was, and it may be
                appended again, or nobody knows: then each further call raises until the journal is
                opened anew.
        """
        with self._lock:
            self._require_writable()
            if not events:
                return
            # Before the batch and not after it: if this fails, the batch is not written either.
            if self._ledger.last_seq - self._snapshot_seq >= self._settings.compact_every:
                self.compact()
            plan = self._ledger.plan(events)

            def write(connection: Connection) -> None:
                self._advance_head(connection, len(events))
                known = storage.known_ids(connection, plan.submitted)
                if known:
                    raise StateError(
                        f"task {known[0]!r} was submitted before; give each task its own id"
                    )
                storage.insert_events(connection, events, self._ledger.last_seq + 1)

            self._commit(write, lambda: self._ledger.accept(plan))

    def recover(self) -> Recovered:
        """The state that all events imply.

        Raises:
            StateError: the journal is closed.
            JournalError: a commit has failed, so nobody knows the state.
        """
        with self._lock:
            self._require_usable()
            return Recovered(
                tasks=tuple(self._ledger.lives.values()),
                nodes=self._ledger.cluster.nodes,
                pool=self._ledger.cluster.pool,
                last_seq=self._ledger.last_seq,
                num_finished=self._num_history + len(self._ledger.finished),
                latest_us=self._ledger.latest_us,
            )

    def history(self, since_us: int | None = None) -> Iterator[TaskLife]:
        """The tasks that had ended for good when this was called, in the order of their ends.

        Those that are kept no longer in full are left out.

        Args:
            since_us: only those that ended then or later, in us on the scheduler's clock.

        Raises:
            StateError: the journal is closed.
            JournalError: some of it is missing or damaged.
        """
        with self._lock:
            self._require_usable()
            last, recent = self._num_history, list(self._ledger.finished.values())
        return self._history(last, recent, since_us)

    def _history(
        self, last: int, recent: list[TaskLife], since_us: int | None
    ) -> Iterator[TaskLife]:
        first: int | None = 1
        if since_us is not None:
            first = storage.first_finished_since(self._database, since_us)
        if first is not None:
            for life in storage.iterate_history(self._database, first, last):
                if since_us is None or _ended_us(life) >= since_us:
                    yield life
        yield from (life for life in recent if since_us is None or _ended_us(life) >= since_us)

    def find(self, task_id: str) -> TaskLife | None:
        """What is known of a task, also of one that ended long ago.

        None if it was not submitted, or is kept no longer in full (`JournalSettings.retain_ended`).

        Raises:
            StateError: the journal is closed.
            JournalError: its record is damaged.
        """
        life = self._find(task_id)
        return life if isinstance(life, TaskLife) else None

    def outcome_of(self, task_id: str) -> Outcome | None:
        """How a task has ended, however long ago; None if it has not, or was not submitted.

        Raises:
            StateError: the journal is closed.
            JournalError: its record is damaged.
        """
        life = self._find(task_id)
        return None if life is None else life.outcome

    def _find(self, task_id: str) -> TaskLife | ForgottenLife | None:
        with self._lock:
            self._require_usable()
            known = self._ledger.lives.get(task_id) or self._ledger.finished.get(task_id)
        return known or storage.find_finished(self._database, task_id)

    def heartbeat(self) -> None:
        """Show schedulers on other machines that this one lives; cheap, so call it in each loop.

        Raises:
            StateError: another scheduler has taken the journal over; this one must stop.
            JournalError: it could not be written.
        """
        with self._lock:
            self._require_writable()
            if time.monotonic() - self._last_beat_s >= self._settings.heartbeat_s:
                self._commit(lambda connection: self._advance_head(connection, 0))

    def compact(self) -> None:
        """Fold all events into the snapshot and the history, so that opening takes no longer.

        `append` does so by itself every `compact_every` events.

        Raises:
            StateError: as `append` does.
            JournalError: as `append` does.
        """
        with self._lock:
            self._require_writable()

            def write(connection: Connection) -> None:
                self._advance_head(connection, 0)
                storage.save_snapshot(connection, self._ledger, self._num_history)
                self._reduce(connection)

            self._commit(write, self._folded)

    def _reduce(self, connection: Connection) -> None:
        """Keep less of the tasks that are too many in the history; some of them at a time."""
        retain = self._settings.retain_ended
        if retain is None:
            return
        if self._num_reduced is None:
            self._num_reduced = retention.count_reduced(connection, self._num_history)
        up_to = self._num_history + len(self._ledger.finished) - retain
        self._num_reduced = retention.reduce_history(connection, self._num_reduced, up_to)

    def verify(self) -> None:
        """Read everything, compare it with what is known, and check the files' structure.

        Raises:
            JournalError: something is damaged.
        """
        with self._lock:
            self._require_usable()
            check_all(self._database)

    def close(self) -> None:
        """Let another scheduler have it; closing again does nothing."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                if self._token is not None and self._pid == os.getpid():
                    release(self._database, self._token)
            except JournalError:
                if not self._doubtful:
                    raise
            finally:
                if self._token is not None:
                    forget(self._token)
                self._database.close()

    def _advance_head(self, connection: Connection, num_events: int) -> None:
        """Part of every write: it fails if another scheduler has become the owner meanwhile."""
        assert self._token is not None
        before = self._ledger.last_seq
        if not storage.advance_head(connection, self._token, before, before + num_events):
            self._taken_over = True
            self._require_usable()

    def _commit(
        self, write: Callable[[Connection], None], then: Callable[[], None] = lambda: None
    ) -> None:
        """Do `write` in a transaction, and `then` once it is durable."""
        with self._database.write() as connection:
            write(connection)
            self._doubtful = True
        then()
        self._doubtful = False
        self._last_beat_s = time.monotonic()

    def _folded(self) -> None:
        self._snapshot_seq = self._ledger.last_seq
        self._num_history += len(self._ledger.finished)
        self._ledger.finished.clear()
        self._ledger.touched.clear()

    def _require_writable(self) -> None:
        self._require_usable()
        if self._token is None:
            raise StateError(f"journal {self.name} is open for reading only")

    def _require_usable(self) -> None:
        if self._closed:
            raise StateError(f"journal {self.name} is closed; open it again")
        if self._pid != os.getpid():
            raise StateError(
                f"journal {self.name} was opened before this process was forked; open it in the"
                " process that uses it"
            )
        if self._taken_over:
            raise StateError(
                f"journal {self.name} has been taken over by another scheduler, because this one"
                " seemed dead; stop this one"
            )
        if self._doubtful:
            raise JournalError(
                f"journal {self.name}: a commit has failed, and only the file knows how far it got;"
                " close the journal, open it again and recover"
            )


def _claimed(database: Database, patience_s: float, *, accept_loss: bool) -> str:
    """Become the owner of a journal that has none, or a dead one; returns the token."""
    database.use_wal()
    while True:
        head = read_head(database)
        if owner_lives(database, head, patience_s):
            refuse(database, head)
        refuse_losses(database, head, accept_loss=accept_loss)
        token = claim(database, head, clear_damage=accept_loss)
        if token is not None:
            return token


def _ended_us(life: TaskLife) -> int:
    assert life.end_us is not None
    return life.end_us
