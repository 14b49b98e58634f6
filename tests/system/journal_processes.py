"""What the journal's tests run in processes of their own, mostly to kill them."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import time
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Event
from pathlib import Path

from lepton_rl.core.errors import JournalError, StateError
from lepton_rl.core.tasks import Task
from lepton_rl.system.journal import Journal, JournalSettings, Submitted

PROCESSES = multiprocessing.get_context("forkserver")
PROCESSES.set_forkserver_preload(
    [
        "tests.system.killed_scheduler",
        "tests.system.journal_processes",
        "tests.system.live_kill.nursery",
    ]
)

FAST = JournalSettings(synchronous="normal", busy_s=0.05, patience_s=0.3, heartbeat_s=0.01)


def submitted(name: str) -> Submitted:
    return Submitted(0, Task(name, {"cpu": 1}, 10.0))


def hold_open(place: Path, opened: Event) -> None:
    """Be a scheduler that lives until it is killed."""
    journal = Journal.open(place, FAST)
    journal.append([submitted("a")])
    opened.set()
    time.sleep(600)


def open_and_tell(place: Path, answers: SimpleQueue[str]) -> None:
    """Try to open it, and tell how that went."""
    try:
        Journal.open(place, FAST).close()
        answers.put("opened")
    except StateError as error:
        answers.put(str(error))


def append_and_die(place: Path, after: int) -> None:
    """SQLite itself kills this process when that event of a batch has been inserted."""
    journal = Journal.open(place)
    journal.append([submitted(f"first-{number}") for number in range(3)])
    connection = journal._database._writer
    assert connection is not None
    raw = connection.connection.dbapi_connection
    assert raw is not None
    raw.create_function("die", 0, lambda: os.kill(os.getpid(), signal.SIGKILL))
    raw.execute(
        "CREATE TEMP TRIGGER killer AFTER INSERT ON main.lepton_events"
        f" WHEN NEW.number = {3 + after} BEGIN SELECT die(); END"
    )
    journal.append([submitted(f"second-{number}") for number in range(5)])


def write_until_the_quota(place: Path, quota: int) -> None:
    """Append until a file may not grow any more; write down what that looked like."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    journal = Journal.open(place, FAST)
    resource.setrlimit(resource.RLIMIT_FSIZE, (quota, quota))
    acknowledged = 0
    try:
        while True:
            journal.append([submitted(f"{acknowledged}-a"), submitted(f"{acknowledged}-b")])
            acknowledged += 1
    except JournalError as error:
        first = str(error)
    try:
        journal.append([submitted("z")])
        second = "went on"
    except JournalError as error:
        second = str(error)
    place.with_name("told").write_text(f"{acknowledged}\n{first}\n{second}")
    os._exit(0)  # without closing anything
