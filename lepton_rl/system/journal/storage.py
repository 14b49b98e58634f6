"""Reading and writing the tables: events, the snapshot that replaces them, the history."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from sqlalchemy import Connection, Row, bindparam, delete, func, insert, select, update

from lepton_rl.core.errors import StateError
from lepton_rl.system.journal.database import Database
from lepton_rl.system.journal.events import JournalEvent
from lepton_rl.system.journal.ledger import (
    ClusterState,
    ForgottenLife,
    Ledger,
    Phase,
    TaskLife,
)
from lepton_rl.system.journal.schema import (
    CLUSTER_NUMBER,
    EVENTS,
    HEAD,
    HISTORY,
    SCHEMA_VERSION,
    SNAPSHOT,
    DamageError,
    packed,
    unpacked,
)

__all__ = [
    "Stored",
    "advance_head",
    "create",
    "find_finished",
    "first_finished_since",
    "insert_events",
    "iterate_history",
    "known_ids",
    "load",
    "save_snapshot",
]

_PAGE = 500
"""Rows read at once; between pages no transaction is open, so the log can be written back."""

_ADVANCE = (
    update(HEAD)
    .where(
        HEAD.c.id == 1,
        HEAD.c.owner_token == bindparam("token"),
        HEAD.c.last_seq == bindparam("before"),
    )
    .values(last_seq=bindparam("after"), beat=HEAD.c.beat + 1)
)
_FOLD = (
    update(HEAD)
    .where(HEAD.c.id == 1)
    .values(
        snapshot_seq=bindparam("seq"),
        num_live=bindparam("live"),
        num_finished=bindparam("finished"),
    )
)
_FORGET = delete(SNAPSHOT).where(SNAPSHOT.c.number == bindparam("gone"))


class Stored(NamedTuple):
    """What a journal holds.

    Attributes:
        ledger: the state that follows from it.
        snapshot_seq: up to here events are folded into the snapshot.
        num_history: tasks in the history.
    """

    ledger: Ledger
    snapshot_seq: int
    num_history: int


def create(connection: Connection) -> None:
    """Fill empty tables with an empty journal."""
    if connection.execute(select(HEAD.c.id)).first() is not None:
        return  # somebody else was quicker
    numbers = {"last_seq": 0, "snapshot_seq": 0, "num_live": 0, "num_finished": 0, "beat": 0}
    connection.execute(insert(HEAD), [{"id": 1, "schema_version": SCHEMA_VERSION, **numbers}])
    connection.execute(insert(SNAPSHOT), [packed(SNAPSHOT, CLUSTER_NUMBER, ClusterState())])


def load(database: Database) -> Stored:
    """Fold the snapshot and all events since then, in their order.

    Raises:
        JournalError: a row is missing or damaged.
    """
    with database.read() as connection:
        head = connection.execute(select(HEAD)).one()
        ledger = _load_snapshot(connection, head)
        _fold_events(connection, ledger)
        if ledger.last_seq != head.last_seq:
            raise DamageError(f"its last event is {ledger.last_seq}, expected {head.last_seq!r}")
        num_history = connection.execute(select(func.max(HISTORY.c.number))).scalar() or 0
        if num_history != head.num_finished:
            raise DamageError(
                f"expected {head.num_finished!r} tasks in the history, got {num_history!r}"
            )
    return Stored(ledger, head.snapshot_seq, num_history)


def _load_snapshot(connection: Connection, head: Row[Any]) -> Ledger:
    rows = iter(connection.execute(select(SNAPSHOT).order_by(SNAPSHOT.c.number)))
    first = next(rows, None)
    cluster = None if first is None else unpacked(SNAPSHOT, first)
    if first is None or first.number != CLUSTER_NUMBER or not isinstance(cluster, ClusterState):
        raise DamageError(f"the first row of {SNAPSHOT.name} is missing")
    ledger = Ledger(cluster, head.snapshot_seq)
    for row in rows:
        life = _life(unpacked(SNAPSHOT, row))
        ledger.lives[life.task.id] = life
    if len(ledger.lives) != head.num_live:
        raise DamageError(
            f"expected {head.num_live!r} tasks in {SNAPSHOT.name}, got {len(ledger.lives)}"
        )
    return ledger


def _fold_events(connection: Connection, ledger: Ledger) -> None:
    since = select(EVENTS).where(EVENTS.c.number > ledger.last_seq).order_by(EVENTS.c.number)
    for row in connection.execute(since.execution_options(yield_per=_PAGE)):
        if row.number != ledger.last_seq + 1:
            raise DamageError(f"event {ledger.last_seq + 1} is missing, the next is {row.number!r}")
        try:
            ledger.accept(ledger.plan([unpacked(EVENTS, row)]))
        except StateError as error:
            raise DamageError(f"event {row.number} contradicts those before it: {error}") from error


def advance_head(connection: Connection, token: str, before: int, after: int) -> bool:
    """Note that `after` is the last event; False if the journal is no longer in our hands."""
    values = {"token": token, "before": before, "after": after}
    return connection.execute(_ADVANCE, values).rowcount == 1


def insert_events(connection: Connection, events: Sequence[JournalEvent], first: int) -> None:
    """Write events with the sequence numbers from `first` on."""
    rows = [packed(EVENTS, seq, event) for seq, event in enumerate(events, first)]
    connection.execute(insert(EVENTS), rows)


def save_snapshot(connection: Connection, ledger: Ledger, num_history: int) -> None:
    """Replace events by what follows from them; costs as much as has changed since the last time.

    Args:
        connection: in a transaction.
        ledger: the state after the last event.
        num_history: tasks in the history so far.
    """
    changed = [ledger.lives[task_id] for task_id in ledger.touched & ledger.lives.keys()]
    finished = list(ledger.finished.values())
    gone = [CLUSTER_NUMBER, *(life.number for life in (*changed, *finished))]
    connection.execute(_FORGET, [{"gone": number} for number in gone])
    rows = [packed(SNAPSHOT, life.number, life) for life in changed]
    cluster = replace(ledger.cluster, latest_us=ledger.latest_us)
    rows.append(packed(SNAPSHOT, CLUSTER_NUMBER, cluster))
    connection.execute(insert(SNAPSHOT), rows)
    if finished:
        records = [_history_row(*each) for each in enumerate(finished, num_history + 1)]
        connection.execute(insert(HISTORY), records)
    connection.execute(delete(EVENTS).where(EVENTS.c.number <= ledger.last_seq))
    values = {"seq": ledger.last_seq, "live": len(ledger.lives)}
    connection.execute(_FOLD, {**values, "finished": num_history + len(finished)})


def iterate_history(database: Database, first: int, last: int) -> Iterator[TaskLife]:
    """The tasks number `first` to `last` of the history, without those that were reduced.

    Raises:
        JournalError: one is missing or damaged.
    """
    while first <= last:
        up_to = min(last, first + _PAGE - 1)
        page = select(HISTORY).where(HISTORY.c.number.between(first, up_to))
        with database.read() as connection:
            rows = connection.execute(page.order_by(HISTORY.c.number)).all()
            lives = [_finished(row) for row in rows]
            if [row.number for row in rows] != list(range(first, up_to + 1)):
                raise DamageError(
                    f"some of the tasks {first} to {up_to} of the history are missing"
                )
        yield from (life for life in lives if isinstance(life, TaskLife))
        first = up_to + 1


def first_finished_since(database: Database, since_us: int) -> int | None:
    """Number of the first task of the history that ended then or later."""
    query = select(func.min(HISTORY.c.number)).where(HISTORY.c.end_us >= since_us)
    with database.read() as connection:
        return connection.execute(query).scalar()


def find_finished(database: Database, task_id: str) -> TaskLife | ForgottenLife | None:
    """A task of the history, None if it is not there."""
    query = select(HISTORY).where(HISTORY.c.task_key == _key(task_id))
    with database.read() as connection:
        row = connection.execute(query).first()
        return None if row is None else _finished(row)


def known_ids(connection: Connection, task_ids: Iterable[str]) -> list[str]:
    """Which of these ids are in the history."""
    ids = {_key(task_id): task_id for task_id in task_ids}
    keys, known = list(ids), []
    for start in range(0, len(keys), _PAGE):
        chunk = keys[start : start + _PAGE]
        found = connection.execute(select(HISTORY.c.task_key).where(HISTORY.c.task_key.in_(chunk)))
        known += [ids[key] for key in found.scalars()]
    return known


def _history_row(number: int, life: TaskLife) -> dict[str, Any]:
    row = packed(HISTORY, number, life)
    return {**row, "task_key": _key(life.task.id), "end_us": life.end_us}


def _finished(row: Row[Any]) -> TaskLife | ForgottenLife:
    life = unpacked(HISTORY, row)
    if isinstance(life, ForgottenLife):
        return life
    life = _life(life)
    whole = (Phase.FINAL, row.end_us, row.task_key)
    if (life.phase, life.end_us, _key(life.task.id)) != whole:
        raise DamageError(f"row {row.number!r} of {HISTORY.name} contradicts itself")
    return life


def _life(record: object) -> TaskLife:
    if not isinstance(record, TaskLife):
        raise DamageError(f"expected the life of a task, got {type(record).__name__}")
    return record


def _key(task_id: str) -> str:
    return hashlib.sha256(task_id.encode("utf-8", "surrogatepass")).hexdigest()
