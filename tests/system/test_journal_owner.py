"""One process at a time writes a journal, and what a dead one held is taken over."""

import os
import sqlite3
import threading
import time
from contextlib import closing
from pathlib import Path

import pytest

from lepton_rl.core.errors import StateError
from lepton_rl.system.journal import Journal
from lepton_rl.system.journal.owner import Liveness, Process, liveness
from tests.system.journal_processes import (
    FAST,
    PROCESSES,
    hold_open,
    open_and_tell,
    submitted,
)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def set_owner(place: Path, **values: object) -> None:
    """Change columns of the first row behind the journal's back."""
    with closing(sqlite3.connect(place)) as raw, raw:
        for name, value in values.items():
            raw.execute(f"UPDATE lepton_journal SET {name} = ?", (value,))


def leave_owned(place: Path, **values: object) -> None:
    """A journal with one task, which somebody else seems to have open."""
    with Journal.open(place, FAST) as journal:
        journal.append([submitted("a")])
    me = Process.current()
    owner = {"host": me.host, "machine": me.machine, "pid": me.pid, "start": me.start} | values
    set_owner(place, owner_token="t", **{f"owner_{name}": value for name, value in owner.items()})


def test_a_second_opening_is_refused_but_may_look(place: Path) -> None:
    with Journal.open(place, FAST) as journal:
        journal.append([submitted("a")])
        with pytest.raises(StateError, match=f"in use by process {os.getpid()} on .*; stop that"):
            Journal.open(place, FAST)
        with Journal.open(place, read_only=True) as reader:
            assert reader.recover() == journal.recover()
            with pytest.raises(StateError, match="open for reading only"):
                reader.append([submitted("b")])
            with pytest.raises(StateError, match="open for reading only"):
                reader.compact()
        journal.append([submitted("b")])
    with Journal.open(place, FAST) as journal:
        assert journal.last_seq == 2


def test_another_process_is_refused_until_the_owner_is_dead(place: Path) -> None:
    opened = PROCESSES.Event()
    process = PROCESSES.Process(target=hold_open, args=(place, opened))
    process.start()
    assert opened.wait(30)

    with pytest.raises(StateError, match=f"in use by process {process.pid} on"):
        Journal.open(place, FAST)
    with Journal.open(place, read_only=True) as reader:
        assert reader.last_seq == 1
    process.kill()
    while liveness(process_of(place), Process.current()) is Liveness.ALIVE:
        time.sleep(0.01)  # killed, but perhaps not yet collected by its parent: dead all the same
    with Journal.open(place, FAST) as journal:
        assert journal.last_seq == 1
    process.join()


def process_of(place: Path) -> Process:
    with closing(sqlite3.connect(place)) as raw:
        row = raw.execute(
            "SELECT owner_host, owner_machine, owner_pid, owner_start FROM lepton_journal"
        ).fetchone()
    return Process(*row)


def test_a_process_that_is_dead_but_not_collected_is_dead() -> None:
    child = os.posix_spawn("/bin/true", ["true"], {})
    me = Process.current()
    while liveness(Process(me.host, me.machine, child, "1"), me) is Liveness.ALIVE:
        time.sleep(0.01)
    os.waitpid(child, 0)


def test_the_number_of_the_owner_may_be_used_again(place: Path) -> None:
    leave_owned(place, pid=os.getppid(), start="12345")

    with Journal.open(place, FAST) as journal:
        assert journal.last_seq == 1


def test_a_live_process_of_somebody_else_is_alive() -> None:
    me = Process.current()

    assert liveness(me, me) is Liveness.ALIVE
    assert liveness(Process(me.host, me.machine, 2**22 + 1, "1"), me) is Liveness.DEAD
    assert liveness(Process(me.host, "other boot", 1, "1"), me) is Liveness.UNKNOWN
    assert liveness(Process(me.host, "", 1, "1"), Process(me.host, "", 2, "1")) is Liveness.UNKNOWN


def test_an_owner_elsewhere_is_dead_when_its_heart_stands_still(place: Path) -> None:
    leave_owned(place, host="far", machine="away", pid=1, start="1")

    begin = time.monotonic()
    with Journal.open(place, FAST) as journal:
        assert journal.last_seq == 1
    assert time.monotonic() - begin >= FAST.patience_s


def test_an_owner_elsewhere_is_alive_while_its_heart_beats(place: Path) -> None:
    journal = Journal.open(place, FAST)
    set_owner(place, owner_machine="away")
    stop = threading.Event()

    def live() -> None:
        while not stop.wait(0.02):
            journal.heartbeat()

    thread = threading.Thread(target=live)
    thread.start()
    try:
        answers = PROCESSES.SimpleQueue()
        process = PROCESSES.Process(target=open_and_tell, args=(place, answers))
        process.start()
        process.join()
        assert "in use by process" in answers.get()
    finally:
        stop.set()
        thread.join()
        journal.close()


def test_an_owner_that_was_taken_over_can_write_no_more(place: Path) -> None:
    """As after a long pause of its machine."""
    old = Journal.open(place, FAST)
    old.append([submitted("a")])
    set_owner(place, owner_token="somebody else")

    for call in (
        lambda: old.append([submitted("b")]),
        lambda: old.append([submitted("b")]),
        old.recover,
        old.compact,
        old.heartbeat,
        old.history,
    ):
        with pytest.raises(StateError, match="taken over by another scheduler"):
            call()
    old.close()
    with Journal.open(place, read_only=True) as reader:
        assert [life.task.id for life in reader.recover().tasks] == ["a"]
    with closing(sqlite3.connect(place)) as raw:  # closing took nothing from the new owner
        ((token,),) = raw.execute("SELECT owner_token FROM lepton_journal")
        assert token == "somebody else"


def test_a_heartbeat_notices_a_takeover(place: Path) -> None:
    with Journal.open(place, FAST) as journal:
        set_owner(place, owner_token="somebody else")
        time.sleep(0.02)
        with pytest.raises(StateError, match="taken over"):
            journal.heartbeat()


def test_only_one_of_several_takes_over(place: Path) -> None:
    leave_owned(place, pid=2**22 + 1)
    with closing(sqlite3.connect(place)) as raw:
        ((beat,),) = raw.execute("SELECT beat FROM lepton_journal")
    queue = PROCESSES.SimpleQueue()
    processes = [PROCESSES.Process(target=open_and_tell, args=(place, queue)) for _ in range(3)]
    first = Journal.open(place, FAST)
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert all("in use by process" in queue.get() for _ in processes)
    first.append([submitted("b")])
    first.close()
    with closing(sqlite3.connect(place)) as raw:
        assert raw.execute("SELECT beat FROM lepton_journal").fetchone()[0] > beat


def test_a_journal_that_was_dropped_is_free(place: Path) -> None:
    journal = Journal.open(place, FAST)
    journal.append([submitted("a")])
    journal._database.close()  # only to give its connections back before Python complains
    del journal

    with Journal.open(place, FAST) as journal:
        assert journal.last_seq == 1


def test_a_closed_journal_does_nothing(place: Path) -> None:
    journal = Journal.open(place, FAST)
    journal.close()
    journal.close()

    for call in (lambda: journal.append([]), journal.recover, journal.history, journal.verify):
        with pytest.raises(StateError, match="is closed; open it again"):
            call()


def test_a_forked_child_must_not_use_it(place: Path) -> None:
    """Two processes on one SQLite connection would corrupt the file."""
    with Journal.open(place, FAST) as journal:
        journal._pid += 1
        with pytest.raises(StateError, match="before this process was forked"):
            journal.append([submitted("a")])
        journal._pid -= 1


def test_another_schema_version_is_refused(place: Path) -> None:
    with Journal.open(place, FAST) as journal:
        journal.append([submitted("a")])
    set_owner(place, schema_version=2)

    for read_only in (True, False):
        with pytest.raises(StateError, match="expected schema version 1, got 2; use the lepton-rl"):
            Journal.open(place, read_only=read_only)
