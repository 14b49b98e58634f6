"""What a database does not notice by itself: lost commits, and damage nobody has read yet."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from sqlalchemy import Row, func, select, update

from lepton_rl.core.errors import JournalError
from lepton_rl.system.journal import storage
from lepton_rl.system.journal.database import Database, Synchronous
from lepton_rl.system.journal.schema import HEAD, HISTORY, DamageError
from lepton_rl.system.journal.wal import dropped_commits

__all__ = ["check_all", "refuse_losses"]


def refuse_losses(database: Database, head: Row[Any], *, accept_loss: bool) -> None:
    """Refuse a SQLite journal of which SQLite has dropped commits that were acknowledged.

    The log with them is put aside and the loss noted in the journal, because the next time SQLite
    closes the file both would be gone.

    Args:
        database: which; nobody is writing it.
        head: its first row.
        accept_loss: let it pass.

    Raises:
        JournalError: some were dropped, now or earlier.
    """
    damage = head.damage
    found = _find_losses(database)
    if found is not None:
        damage = found
        with database.write() as connection:
            connection.execute(update(HEAD).where(HEAD.c.id == 1).values(damage=damage))
    if damage is not None and not accept_loss:
        raise JournalError(
            f"journal {database.name}: {damage}; restore a backup, or open it with accept_loss=True"
            " and compare its tasks with what the executor runs"
        )


def _find_losses(database: Database) -> str | None:
    file = database.file()
    # With synchronous=normal a power cut may drop any number of commits: that is what was chosen.
    if file is None or database.synchronous is Synchronous.NORMAL:
        return None
    log = file.with_name(file.name + "-wal")
    answer = database.pragma_row("wal_checkpoint(PASSIVE)")
    good_frames = max(0, answer[1]) if answer else 0
    dropped = dropped_commits(log, good_frames, database.pragma("page_size"))
    if dropped <= 1:
        return None
    aside = _free_name(log.with_name(log.name + ".damaged"))
    shutil.copyfile(log, aside)
    return (
        f"its write-ahead log is damaged, and at least {dropped - 1} commits behind the damage are"
        f" lost (the log is kept as {aside.name})"
    )


def _free_name(path: Path) -> Path:
    number = 1
    while path.exists():
        number += 1
        path = path.with_name(f"{path.name.removesuffix(f'-{number - 1}')}-{number}")
    return path


def check_all(database: Database) -> None:
    """Read everything there is.

    Raises:
        JournalError: something is damaged.
    """
    with database.explained():
        found = database.pragma("integrity_check") if database.is_sqlite else "ok"
        if found != "ok":
            raise DamageError(f"SQLite finds {found}")
        num_history = storage.load(database).num_history
        with database.read() as connection:
            count = connection.execute(select(func.count()).select_from(HISTORY)).scalar()
        if count != num_history:
            raise DamageError(f"expected {num_history} tasks in the history, got {count}")
        for _ in storage.iterate_history(database, 1, num_history):
            pass
