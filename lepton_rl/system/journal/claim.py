"""The right to write a journal: one process at a time has it."""

from __future__ import annotations

import time
import uuid
from typing import Any

from sqlalchemy import Row, select, update

from lepton_rl.core.errors import StateError
from lepton_rl.system.journal.database import Database
from lepton_rl.system.journal.owner import Liveness, Process, liveness
from lepton_rl.system.journal.schema import HEAD, SCHEMA_VERSION, DamageError

__all__ = ["claim", "forget", "owner_lives", "read_head", "refuse", "release"]

_NUMBERS = ("last_seq", "snapshot_seq", "num_live", "num_finished", "beat")

_OPEN_HERE: set[str] = set()
"""Tokens of the journals that this process has open: what was dropped without `close` is free."""


def read_head(database: Database) -> Row[Any]:
    """The row that says what the journal is.

    Raises:
        StateError: it is of another schema version.
        JournalError: it is missing.
    """
    with database.read() as connection:
        version = connection.execute(select(HEAD.c.schema_version)).scalar()
        if version is None:
            raise DamageError("its first row is missing")
        if version != SCHEMA_VERSION:
            raise StateError(
                f"journal {database.name}: expected schema version {SCHEMA_VERSION}, got"
                f" {version!r}; use the lepton-rl that wrote it, or begin a new journal"
            )
        head = connection.execute(select(HEAD)).one()
        if not all(isinstance(getattr(head, name), int) for name in _NUMBERS):
            raise DamageError(f"the numbers in {HEAD.name} are none")
        if head.owner_token is not None and not (
            isinstance(head.owner_machine, str) and isinstance(head.owner_pid, int)
        ):
            raise DamageError(f"the owner in {HEAD.name} is none")
        return head


def owner_lives(database: Database, head: Row[Any], patience_s: float) -> bool:
    """Whether the process that has the journal open for writing still lives.

    Where that cannot be looked up, because it is on another machine, this watches the heartbeat
    for `patience_s`: comparing times would trust two clocks to agree.

    Args:
        database: which journal.
        head: its first row.
        patience_s: how long a heartbeat may stand still, in s; with 0, it counts as beating.
    """
    if head.owner_token is None:
        return False
    if head.owner_token in _OPEN_HERE:
        return True
    me = Process.current()
    owner = _owner(head)
    if owner == me:
        return False  # this very process, which has dropped it
    state = liveness(owner, me)
    if state is not Liveness.UNKNOWN:
        return state is Liveness.ALIVE
    give_up = time.monotonic() + patience_s
    if patience_s == 0:
        return True
    while time.monotonic() < give_up:
        time.sleep(min(1.0, patience_s / 10))
        if read_head(database).beat != head.beat:
            return True
    return False


def claim(database: Database, head: Row[Any], *, clear_damage: bool) -> str | None:
    """Become the owner, after `owner_lives` was False of `head`.

    Returns:
        A token that each write has to present; None if the journal has changed since `head` was
        read: another process was quicker, or a server has just finished what the dead one began.
    """
    me, token = Process.current(), uuid.uuid4().hex
    values: dict[str, Any] = {
        "owner_token": token,
        "owner_host": me.host,
        "owner_machine": me.machine,
        "owner_pid": me.pid,
        "owner_start": me.start,
        "beat": HEAD.c.beat + 1,
    }
    if clear_damage:
        values["damage"] = None
    unchanged = (HEAD.c.id == 1) & (HEAD.c.beat == head.beat)
    with database.write() as connection:
        changed = connection.execute(update(HEAD).where(unchanged).values(values)).rowcount
    if changed != 1:
        return None
    _OPEN_HERE.add(token)
    return token


def release(database: Database, token: str) -> None:
    """Let others have it; does nothing if they already do."""
    mine = (HEAD.c.id == 1) & (HEAD.c.owner_token == token)
    with database.write() as connection:
        connection.execute(update(HEAD).where(mine).values(owner_token=None, beat=HEAD.c.beat + 1))


def forget(token: str) -> None:
    """This process no longer has the journal of that token open."""
    _OPEN_HERE.discard(token)


def refuse(database: Database, head: Row[Any]) -> None:
    """Say who has it.

    Raises:
        StateError: always.
    """
    raise StateError(
        f"journal {database.name} is in use by {_owner(head)}; stop that scheduler first, or give"
        " this one a journal of its own"
    )


def _owner(head: Row[Any]) -> Process:
    return Process(head.owner_host, head.owner_machine, head.owner_pid, head.owner_start)
