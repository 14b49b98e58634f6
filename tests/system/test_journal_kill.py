"""A scheduler killed at any point: no task is lost, none runs twice at once, capacity is exact.

The state that is recovered is compared with two independent records that survive the kill: what the
scheduler was told is durable, and what the executor was told to do (see killed_scheduler.py).
"""

from __future__ import annotations

import json
import random
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from lepton_rl.core.errors import JournalError
from lepton_rl.system.journal import Journal, Phase, Recovered, TaskLife
from tests.system.journal_processes import PROCESSES
from tests.system.killed_scheduler import CORES, NODES, run_until_killed


class Lines:
    """What has been added to a log since it was last asked for."""

    def __init__(self, path: Path) -> None:
        self.path, self.position = path, 0

    def new(self) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self.position)
            lines = file.read().splitlines(keepends=True)
        assert all(line.endswith(b"\n") for line in lines)
        self.position += sum(len(line) for line in lines)
        return [json.loads(line) for line in lines]


class Witness:
    """Reads the two records after each kill, and compares them with what is recovered."""

    def __init__(self, folder: Path, url: str | None) -> None:
        self.file = None if url else folder / "journal.sqlite"
        self.place = url or str(self.file)
        self.executor = Lines(folder / "executor.log")
        self.acknowledged = Lines(folder / "acknowledged.log")
        self.alive: dict[str, dict[str, Any]] = {}  # id -> the line that started it
        self.attempts: dict[str, int] = {}  # id -> the last one that the executor started
        self.submitted: set[str] = set()
        self.final: set[str] = set()
        self.last_seq = 0
        self.restarts = 0

    def check(self) -> None:
        new = self.read_acknowledged()
        self.read_executor()
        if self.last_seq == 0 and not self.has_begun():
            return  # killed before it was told anything
        with Journal.open(self.place, read_only=True) as journal:
            recovered = journal.recover()
            self.check_none_lost(journal, new)
        self.check_running(recovered)
        self.check_sequence(recovered)

    def has_begun(self) -> bool:
        try:
            Journal.open(self.place, read_only=True).close()
        except JournalError as error:
            return not any(each in str(error) for each in ("no such file", "there is none yet"))
        return True

    def read_acknowledged(self) -> dict[str, set[str]]:
        new: dict[str, set[str]] = {"submitted": set(), "final": set()}
        for line in self.acknowledged.new():
            if "free" in line:
                self.check_capacity_after_restart(line)
                continue
            new["submitted"].update(line["submitted"])
            new["final"].update(line["final"])
            assert line["seq"] >= self.last_seq
            self.last_seq = line["seq"]
        self.submitted |= new["submitted"]
        self.final |= new["final"]
        return new

    def check_capacity_after_restart(self, line: dict[str, Any]) -> None:
        """`self.alive` is still what the executor ran when the scheduler had been killed."""
        assert line["running"] == {name: each["attempt"] for name, each in self.alive.items()}
        assert line["free"] == free_beside(self.alive.values())
        self.restarts += 1

    def read_executor(self) -> None:
        for line in self.executor.new():
            name = line["id"]
            if line["do"] == "start":
                assert name not in self.alive, f"{name} was started while it ran"
                assert line["attempt"] > self.attempts.get(name, 0)
                self.attempts[name] = line["attempt"]
                self.alive[name] = line
                assert min(free_beside(self.alive.values()).values()) >= 0
            else:
                assert self.alive.pop(name)["attempt"] == line["attempt"]

    def check_none_lost(self, journal: Journal, new: dict[str, set[str]]) -> None:
        for name in new["submitted"]:
            assert journal.find(name) is not None, f"{name} is lost"
        for name in new["final"]:
            life = journal.find(name)
            assert life is not None
            assert life.phase is Phase.FINAL, f"{name} had ended"

    def check_running(self, recovered: Recovered) -> None:
        """What runs is known with its nodes; what is said to run does, or has just ended."""
        on_nodes = {
            life.task.id: life for life in recovered.tasks if life.phase is not Phase.PENDING
        }
        for name, line in self.alive.items():
            life = on_nodes[name]
            assert (life.attempt, list(life.nodes)) == (line["attempt"], line["nodes"])
        for name, life in on_nodes.items():
            told = self.attempts.get(name, 0)
            assert told == life.attempt if life.phase is Phase.RUNNING else told <= life.attempt
        assert min(free_beside(map(as_line, on_nodes.values())).values()) >= 0

    def check_sequence(self, recovered: Recovered) -> None:
        """Read without our own code."""
        assert recovered.last_seq >= self.last_seq
        if self.file is None:
            return
        with closing(sqlite3.connect(self.file)) as raw:
            head = raw.execute("SELECT snapshot_seq, last_seq, num_finished FROM lepton_journal")
            first, last, num_finished = head.fetchone()
            events = raw.execute("SELECT number FROM lepton_events ORDER BY number").fetchall()
            history = raw.execute("SELECT number FROM lepton_history ORDER BY number").fetchall()
        assert last == recovered.last_seq
        assert [number for (number,) in events] == list(range(first + 1, last + 1))
        assert [number for (number,) in history] == list(range(1, num_finished + 1))

    def check_everything(self) -> None:
        """At the very end: all that was ever acknowledged is there once, as it was left."""
        with Journal.open(self.place) as journal:
            journal.verify()
            ended = [life.task.id for life in journal.history()]
            going = [life.task.id for life in journal.recover().tasks]
        assert len(set(ended)) == len(ended)
        assert not set(ended) & set(going)
        assert set(ended) | set(going) >= self.submitted
        assert set(ended) >= self.final


def as_line(life: TaskLife) -> dict[str, Any]:
    return {"nodes": life.nodes, "cpu": life.task.demand["cpu"]}


def free_beside(running: Any) -> dict[str, int]:
    free = {node.name: CORES for node in NODES}
    for line in running:
        for name in line["nodes"]:
            free[name] -= line["cpu"]
    return free


def after_a_while(chance: random.Random, folder: Path) -> Callable[[], bool]:
    """Kill it at some time after its birth, mostly before it has recovered."""
    at = time.monotonic() + chance.uniform(0, 0.4)
    return lambda: time.monotonic() >= at


def after_some_batches(chance: random.Random, folder: Path) -> Callable[[], bool]:
    """Kill it at some time after so many batches, however slow the machine is."""
    log = folder / "acknowledged.log"
    wanted = (log.stat().st_size if log.exists() else 0) + chance.randint(1, 8_000)
    return lambda: log.exists() and log.stat().st_size >= wanted


def kill_at_random(folder: Path, kills: int, seed: int, url: str | None = None) -> Witness:
    chance, witness = random.Random(seed), Witness(folder, url)
    for run in range(kills):
        synchronous = None if url else ("full", "normal")[run % 2]
        when = after_a_while if run % 3 == 0 else after_some_batches
        is_due = when(chance, folder)
        process = PROCESSES.Process(
            target=run_until_killed, args=(folder, witness.place, run, synchronous)
        )
        process.start()
        while process.is_alive() and not is_due():
            time.sleep(0.001)
        time.sleep(chance.uniform(0, 0.005))
        assert process.is_alive(), "it ended by itself: see its traceback above"
        process.kill()
        process.join()
        if witness.acknowledged.path.exists():  # it may have died before
            witness.check()
    witness.check_everything()
    return witness


def test_killed_twenty_times(tmp_path: Path) -> None:
    witness = kill_at_random(tmp_path, kills=20, seed=1)

    assert len(witness.submitted) > 500
    assert witness.restarts >= 10


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3])
def test_killed_two_hundred_times(tmp_path: Path, seed: int) -> None:
    witness = kill_at_random(tmp_path, kills=200, seed=seed)

    assert len(witness.submitted) > 5000
    assert witness.restarts >= 120
