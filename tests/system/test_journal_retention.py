"""Tasks that ended long ago: less is kept of them, but never nothing."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from lepton_rl.core.errors import JournalError, StateError
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.tasks import Task, TaskState
from lepton_rl.policies.registry import heuristic
from lepton_rl.system import Failures, Scheduler, SimulatedExecutor
from lepton_rl.system.journal import (
    Ended,
    Journal,
    JournalEvent,
    JournalSettings,
    Outcome,
    Starting,
    Submitted,
    retention,
)

KEEP_3 = JournalSettings(synchronous="normal", compact_every=4, retain_ended=3)
KEEP_ALL = JournalSettings(synchronous="normal", compact_every=4)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def end(journal: Journal, *numbers: int) -> None:
    """Whole lives; each third task fails."""
    for n in numbers:
        outcome = "completed" if n % 3 else "failed"
        task = Task(f"t{n}", {"cpu": 1}, 10)
        events = [Submitted(n, task), Starting(n, task.id, 1, ("a",))]
        journal.append([*events, Ended(n, task.id, 1, outcome, 0)])


def kept(journal: Journal) -> list[str]:
    return [life.task.id for life in journal.history()]


def test_the_last_ones_are_kept_in_full_and_of_others_id_and_outcome(place: Path) -> None:
    with Journal.open(place, KEEP_3) as journal:
        end(journal, *range(10))
        journal.compact()

        assert kept(journal) == ["t7", "t8", "t9"]
        assert journal.recover().num_finished == 10
        outcomes = [journal.outcome_of(f"t{n}") for n in range(4)]
        assert outcomes == [Outcome.FAILED, Outcome.COMPLETED, Outcome.COMPLETED, Outcome.FAILED]
        assert journal.find("t0") is None
        assert journal.find("t9") is not None
        assert journal.outcome_of("never") is None
        with pytest.raises(StateError, match="'t0' was submitted before"):
            end(journal, 0)
        journal.verify()
    with Journal.open(place, read_only=True) as reader:
        assert kept(reader) == ["t7", "t8", "t9"]
        assert [life.task.id for life in reader.history(since_us=8)] == ["t8", "t9"]


def test_none_and_all_may_be_kept(place: Path) -> None:
    with Journal.open(place, KEEP_ALL) as journal:
        end(journal, *range(10))
        journal.compact()
        assert len(kept(journal)) == 10
    nothing = JournalSettings(retain_ended=0)
    with Journal.open(place, nothing) as journal:
        journal.compact()
        assert kept(journal) == []
        assert journal.outcome_of("t3") is Outcome.FAILED
        journal.verify()


def test_it_may_be_changed_at_any_time(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A long history is reduced in pieces, and what is reduced stays so."""
    monkeypatch.setattr(retention, "_AT_ONCE", 4)
    with Journal.open(place, KEEP_ALL) as journal:
        end(journal, *range(13))
        journal.compact()
    lengths = []
    for _ in range(4):
        with Journal.open(place, KEEP_3) as journal:
            journal.compact()
            lengths.append(len(kept(journal)))
    with Journal.open(place, KEEP_ALL) as journal:
        end(journal, 13)
        journal.compact()
        assert kept(journal) == ["t10", "t11", "t12", "t13"]
    with Journal.open(place, JournalSettings(retain_ended=2)) as journal:
        journal.compact()
        assert kept(journal) == ["t12", "t13"]
        journal.verify()

    assert lengths == [9, 5, 3, 3]


def test_damage_among_them_is_found(place: Path) -> None:
    with Journal.open(place, KEEP_3) as journal:
        end(journal, *range(10))
        journal.compact()
    with closing(sqlite3.connect(place)) as raw:
        old = "UPDATE lepton_history SET record = replace(record, 'failed', 'completed')"
        assert raw.execute(f"{old} WHERE number = 1").rowcount == 1
        raw.commit()
    with Journal.open(place, KEEP_3) as journal:
        with pytest.raises(JournalError, match="does not match its checksum"):
            journal.verify()
        with pytest.raises(JournalError, match="does not match its checksum"):
            journal.outcome_of("t0")


def test_tasks_may_depend_on_those_that_ended_long_ago(place: Path) -> None:
    def scheduler(journal: Journal) -> Scheduler:
        failing = SimulatedExecutor(Failures({"bad": [1]}))
        return Scheduler(Cluster.pool(4), heuristic("fcfs"), failing, journal=journal)

    with Journal.open(place, JournalSettings(retain_ended=0)) as journal:
        first = scheduler(journal)
        first.submit_all(Task(name, {"cpu": 1}, 9, run_time_s=9) for name in ("good", "bad"))
        first.run()
        journal.compact()
    with Journal.open(place, JournalSettings(retain_ended=0)) as journal:
        assert kept(journal) == []
        second = scheduler(journal)
        for name, needs in (("x", "good"), ("y", "bad")):
            second.submit(Task(name, {"cpu": 1}, 9, run_time_s=9, depends_on=(needs,)))
        with pytest.raises(StateError, match="'good' was submitted before"):
            second.submit(Task("good", {"cpu": 1}, 9, run_time_s=9))
        second.run()

        states = [second.state_of(name) for name in "xy"]
    assert states == [TaskState.COMPLETED, TaskState.CANCELLED]


def test_it_keeps_the_file_small(tmp_path: Path) -> None:
    sizes = {}
    for retain in (None, 0):
        place, settings = tmp_path / str(retain), JournalSettings(retain_ended=retain)
        with Journal.open(place, settings) as journal:
            for first in range(0, 2000, 100):
                end_at_once(journal, first, first + 100)
            journal.compact()
        sizes[retain] = place.stat().st_size

    assert sizes[0] < sizes[None] / 2


def end_at_once(journal: Journal, first: int, last: int) -> None:
    events: list[JournalEvent] = []
    for n in range(first, last):
        task = Task(f"t{n}", {"cpu": 1}, 10)
        events += [Submitted(n, task), Starting(n, task.id, 1, ("a",))]
        events.append(Ended(n, task.id, 1, "completed", 0))
    journal.append(events)
