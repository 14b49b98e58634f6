"""A journal that is damaged, or cannot be written, says so and says what to do."""

import random
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from lepton_rl.core.errors import ConfigError, JournalError, LeptonError, StateError
from lepton_rl.core.nodes import Node
from lepton_rl.system.journal import (
    Ended,
    Journal,
    JournalEvent,
    JournalSettings,
    PoolChanged,
    Started,
    Starting,
)
from lepton_rl.system.journal.wal import dropped_commits
from tests.system.journal_processes import FAST, PROCESSES, submitted, write_until_the_quota


def life(name: str) -> list[JournalEvent]:
    starting = Starting(1, name, 1, ("n",))
    return [submitted(name), starting, Started(2, name, 1), Ended(3, name, 1, "completed", 0)]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def fill(place: Path, settings: JournalSettings = FAST) -> Journal:
    """A journal with something in each table."""
    journal = Journal.open(place, settings)
    journal.append([PoolChanged(0, (Node("n", {"cpu": 4}),))])
    for number in range(30):
        journal.append(life(f"ended-{number}"))
        journal.append(
            [submitted(f"waiting-{number}"), Starting(1, f"waiting-{number}", 1, ("n",))]
        )
    journal.compact()
    for number in range(30):
        journal.append(life(f"late-{number}"))
    return journal


def state(place: Path) -> object:
    with Journal.open(place, FAST) as journal:
        journal.verify()
        return journal.recover(), list(journal.history())


def damage_rows(place: Path, *statements: str) -> None:
    with closing(sqlite3.connect(place)) as raw, raw:
        for statement in statements:
            raw.execute(statement)


# --- What is stored


def flip_bytes(place: Path, folder: Path, copies: int, seed: int) -> tuple[int, list[str]]:
    """Damage copies of a journal.

    Returns:
        How many were found to be damaged, and what those that were not held instead.
    """
    fill(place).close()
    expected, original = state(place), place.read_bytes()
    chance, messages, wrong = random.Random(seed), [], []
    for copy in range(copies):
        broken = bytearray(original)
        position = chance.randrange(4096 if copy % 3 == 0 else len(broken))
        for offset in range(chance.choice((1, 1, 16))):
            broken[(position + offset) % len(broken)] ^= chance.randrange(1, 256)
        damaged = folder / f"copy-{copy}"
        damaged.write_bytes(broken)
        try:
            if state(damaged) != expected:
                wrong.append(f"byte {position}")
        except (JournalError, StateError) as error:
            messages.append(str(error))
    advice = ("damaged: stop", "damaged: restore", "use the lepton-rl", "damage; restore a backup")
    assert [text for text in messages if not any(each in text for each in advice)] == []
    return len(messages), wrong


def test_no_flipped_byte_goes_unnoticed(place: Path, tmp_path: Path) -> None:
    """Whatever byte rots: the state is the same as before, or opening says that it is damaged."""
    noticed, wrong = flip_bytes(place, tmp_path, copies=50, seed=0)

    assert wrong == []
    assert noticed > 15


@pytest.mark.slow
def test_no_flipped_byte_of_many_goes_unnoticed(place: Path, tmp_path: Path) -> None:
    noticed, wrong = flip_bytes(place, tmp_path, copies=1000, seed=1)

    assert wrong == []
    assert noticed > 300


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("DELETE FROM lepton_events WHERE number = 250", "event 250 is missing, the next is 251"),
        ("DELETE FROM lepton_events WHERE number > 250", "its last event is 250, expected 301"),
        ("DELETE FROM lepton_snapshot WHERE number = 6", "expected 30 tasks .*, got 29"),
        ("DELETE FROM lepton_snapshot WHERE number = 0", "the first row .* is missing"),
        ("DELETE FROM lepton_history WHERE number = 30", "expected 30 tasks in the history"),
        ("UPDATE lepton_events SET record = replace(record, '9', '8')", "match its checksum"),
        ("UPDATE lepton_snapshot SET record = x'ff00'", "match its checksum"),
        ("UPDATE lepton_journal SET last_seq = 'many'", "numbers in lepton_journal are none"),
        ("UPDATE lepton_journal SET owner_token = 'a', owner_pid = 'b'", "owner in .* is none"),
        ("DELETE FROM lepton_journal", "its first row is missing"),
        ("DROP TABLE lepton_events", "no such table"),
    ],
)
def test_rows_that_are_missing_or_changed(place: Path, statement: str, message: str) -> None:
    fill(place).close()
    damage_rows(place, statement)

    with pytest.raises(JournalError, match=message) as caught:
        Journal.open(place, FAST)
    assert "restore the last backup" in str(caught.value)
    with pytest.raises(JournalError, match=message):  # and again: nothing was repaired in silence
        Journal.open(place, FAST)


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM lepton_history WHERE number = 7",
        "UPDATE lepton_history SET end_us = 4 WHERE number = 7",
        "UPDATE lepton_history SET record = '{}' WHERE number = 7",
        "UPDATE lepton_history SET crc = 0 WHERE number = 7",
    ],
)
def test_a_damaged_history_does_not_keep_a_scheduler_from_starting(
    place: Path, statement: str
) -> None:
    fill(place).close()
    damage_rows(place, statement)

    with Journal.open(place, FAST) as journal:
        journal.append([submitted("new")])
        with pytest.raises(JournalError, match="damaged: stop, keep a copy"):
            list(journal.history())
        with pytest.raises(JournalError, match="damaged: stop, keep a copy"):
            journal.verify()


def test_events_that_contradict_each_other(place: Path) -> None:
    fill(place).close()
    with closing(sqlite3.connect(place)) as raw, raw:
        raw.execute("UPDATE lepton_journal SET snapshot_seq = snapshot_seq + 1")
        raw.execute(
            "DELETE FROM lepton_events WHERE number = (SELECT min(number) FROM lepton_events)"
        )

    with pytest.raises(JournalError, match=r"event .* contradicts those before it"):
        Journal.open(place, FAST)


# --- The write-ahead log


def crashed_copy(journal: Journal, place: Path, to: Path) -> Path:
    """The files as a power cut would leave them; returns the log."""
    shutil.copyfile(place, to)
    log = to.with_name(to.name + "-wal")
    shutil.copyfile(place.with_name(place.name + "-wal"), log)
    return log


def test_a_torn_log_gives_whole_batches(place: Path, tmp_path: Path) -> None:
    """Cut anywhere, it holds each batch that was acknowledged before the cut, and no half ones."""
    sizes = []
    with Journal.open(place) as journal:
        log = place.with_name(place.name + "-wal")
        for number in range(12):
            journal.append([submitted(f"{number}-a"), submitted(f"{number}-b")])
            sizes.append(log.stat().st_size)
        crashed_copy(journal, place, tmp_path / "full")
    content = (tmp_path / "full-wal").read_bytes()
    chance = random.Random(1)
    last_batch = [chance.randrange(sizes[-2], sizes[-1]) for _ in range(15)]
    for cut in [*(chance.randrange(len(content)) for _ in range(15)), *last_batch, len(content)]:
        copy = tmp_path / f"cut-{cut}"
        shutil.copyfile(tmp_path / "full", copy)
        copy.with_name(copy.name + "-wal").write_bytes(content[:cut])
        with Journal.open(copy, FAST.model_copy(update={"synchronous": "full"})) as journal:
            acknowledged = 2 * sum(size <= cut for size in sizes)
            assert journal.last_seq == acknowledged
            assert len(journal.recover().tasks) == acknowledged


FULL = JournalSettings(busy_s=0.05, patience_s=0.01)


def rot(log: Path, *positions: int) -> None:
    content = bytearray(log.read_bytes())
    for position in positions:
        content[position] ^= 0x55
    log.write_bytes(content)


@pytest.mark.parametrize("position", [0, 20, 32 + 3, 32 + 24 + 1000, 3 * 4120 + 32 + 50])
def test_commits_behind_a_rotten_byte_are_missed(
    place: Path, tmp_path: Path, position: int
) -> None:
    """SQLite itself would go on without them, and without a word."""
    with Journal.open(place, FULL) as journal:
        for number in range(8):
            journal.append(life(str(number)))
        log = crashed_copy(journal, place, tmp_path / "copy")
    rot(log, position)
    before = log.read_bytes()
    copy = tmp_path / "copy"

    for read_only in (True, False):
        with pytest.raises(JournalError, match=r"log is damaged.*accept_loss=True") as caught:
            Journal.open(copy, FULL, read_only=read_only)
    assert (tmp_path / "copy-wal.damaged").read_bytes() == before
    assert "copy-wal.damaged" in str(caught.value)
    with Journal.open(copy, FULL, accept_loss=True) as journal:
        assert journal.last_seq < 32
        journal.append([submitted("new")])
    with Journal.open(copy, FULL) as journal:
        journal.verify()


def test_logs_that_only_look_damaged(place: Path, tmp_path: Path) -> None:
    """Old frames behind the end of a log that was begun anew are none of its commits."""
    with Journal.open(place, FULL) as journal:
        for number in range(20):
            journal.append(life(str(number)))
        assert journal._database.pragma_row("wal_checkpoint(RESTART)") is not None
        journal.append([submitted("new")])
        crashed_copy(journal, place, tmp_path / "copy")
        log = place.with_name(place.name + "-wal")
        assert log.stat().st_size > 20 * 4096
        frames = journal._database.pragma_row("wal_checkpoint(PASSIVE)")
        assert frames is not None
        assert dropped_commits(log, frames[1], 4096) == 0
    with Journal.open(tmp_path / "copy", FULL) as journal:
        assert journal.last_seq == 81


def test_without_a_log_nothing_was_dropped(tmp_path: Path) -> None:
    assert dropped_commits(tmp_path / "none", 0, 4096) == 0
    (tmp_path / "empty").touch()
    assert dropped_commits(tmp_path / "empty", 0, 4096) == 0


# --- Faults while it is open


def refused(journal: Journal, message: str) -> None:
    before = journal.recover()
    with pytest.raises(JournalError, match=message):
        journal.append([submitted("b")])
    assert journal.recover() == before


def test_a_locked_database(place: Path) -> None:
    with Journal.open(place, FAST) as journal, closing(sqlite3.connect(place)) as other:
        other.isolation_level = None
        other.execute("BEGIN IMMEDIATE")
        refused(journal, "another program has locked it; close that program and try again")
        other.execute("ROLLBACK")
        journal.append([submitted("b")])
        assert journal.last_seq == 1
    with Journal.open(place, FAST) as journal:
        assert journal.last_seq == 1


def test_a_full_disk(place: Path) -> None:
    """Found while rows are inserted: nothing is written, and it may be tried again."""
    with Journal.open(place, FAST) as journal:
        journal.append([submitted("a")])
        raw = journal._database._writer.connection.dbapi_connection  # type: ignore[union-attr]
        raw.execute(f"PRAGMA max_page_count={raw.execute('PRAGMA page_count').fetchone()[0]}")
        before = journal.recover()
        with pytest.raises(JournalError, match="the disk is full; free some space and try again"):
            journal.append([submitted(f"b-{number}") for number in range(500)])
        assert journal.recover() == before
        raw.execute("PRAGMA max_page_count=1000000")
        journal.append([submitted(f"b-{number}") for number in range(500)])
    with Journal.open(place, FAST) as journal:
        assert journal.last_seq == 501


def test_a_commit_that_fails_leaves_doubt_and_the_journal_stops(place: Path) -> None:
    process = PROCESSES.Process(target=write_until_the_quota, args=(place, 300_000))
    process.start()
    process.join()

    acknowledged, first, second = place.with_name("told").read_text().splitlines()
    assert "the disk fails" in first or "the disk is full" in first
    assert "a commit has failed" in second
    with Journal.open(place, FAST) as journal:
        assert int(acknowledged) > 5
        assert journal.last_seq in (2 * int(acknowledged), 2 * int(acknowledged) + 2)
        journal.verify()


def test_in_doubt_it_can_be_closed_and_opened_again(place: Path) -> None:
    journal = Journal.open(place, FAST)
    journal.append([submitted("a")])
    journal._doubtful = True
    with pytest.raises(JournalError, match="close the journal, open it again and recover"):
        journal.append([submitted("b")])
    journal.close()

    with Journal.open(place, FAST) as journal:
        assert journal.last_seq == 1


# --- Places that are none


def test_a_read_only_file(place: Path) -> None:
    fill(place).close()

    with pytest.raises(JournalError, match="it is read-only; let this user write"):
        Journal.open(f"sqlite:///file:{place}?mode=ro&uri=true", FAST)


def refuse_foreign(place: Path) -> None:
    with closing(sqlite3.connect(place)) as raw:
        raw.execute("CREATE TABLE runs (id)")


def refuse_text(place: Path) -> None:
    place.write_text("submitted: a\n" * 1000)


def refuse_folder(place: Path) -> None:
    place.mkdir()


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (refuse_foreign, r"tables of another program \(runs\); name a new file"),
        (refuse_text, "no SQLite database, or its beginning is damaged"),
        (refuse_folder, "cannot open it; check that its folder exists"),
    ],
)
def test_files_of_something_else(
    place: Path, prepare: Callable[[Path], None], message: str
) -> None:
    prepare(place)
    before = place.read_bytes() if place.is_file() else b""

    with pytest.raises(JournalError, match=message):
        Journal.open(place, FAST)
    assert (place.read_bytes() if place.is_file() else b"") == before


def test_a_folder_that_is_missing(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="check that its folder exists"):
        Journal.open(tmp_path / "none" / "journal.sqlite", FAST)


def test_looking_at_nothing_creates_nothing(place: Path) -> None:
    with pytest.raises(JournalError, match="there is no such file"):
        Journal.open(place, FAST, read_only=True)
    assert not place.exists()
    place.touch()
    with pytest.raises(JournalError, match="there is none yet"):
        Journal.open(place, FAST, read_only=True)


def test_errors_are_ours(place: Path) -> None:
    assert issubclass(JournalError, LeptonError)
    assert not issubclass(JournalError, ConfigError)
