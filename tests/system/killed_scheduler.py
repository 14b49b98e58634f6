"""A small scheduler that runs until it is killed, and an executor that outlives it.

It follows the protocol of docs/journal.md, on a cluster of a few nodes with one kind of resource,
and does things as fast and as mixed as it can. What it was told is durable, it writes down in a
second file; what the executor was really told is in a third. The test compares the three.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from lepton_rl.core.nodes import Node
from lepton_rl.core.tasks import Task
from lepton_rl.system.journal import (
    Cancelled,
    CancelRequested,
    Ended,
    Journal,
    JournalEvent,
    JournalSettings,
    Phase,
    PoolChanged,
    Preempted,
    Requeued,
    Started,
    Starting,
    Submitted,
    TaskLife,
    Why,
)

CORES = 8
NODES = tuple(Node(f"node-{index}", {"cpu": CORES}) for index in range(4))
MOST_PENDING = 60


class Log:
    """Lines that survive the process: each is one write to a file, without waiting for the disk."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(self, **values: object) -> None:
        line = json.dumps(values).encode() + b"\n"
        assert os.write(self._file, line) == len(line)


def read_log(path: Path) -> list[dict[str, object]]:
    """The lines that were written completely."""
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


@dataclass
class FileExecutor:
    """Runs nothing, but remembers across crashes of the scheduler what it was told."""

    path: Path
    running: dict[str, int] = field(default_factory=dict)  # id -> attempt
    ended: dict[str, int] = field(default_factory=dict)  # id -> last attempt that is over

    def __post_init__(self) -> None:
        for line in read_log(self.path):
            self._note(line)
        self._log = Log(self.path)

    def start(self, task_id: str, attempt: int, nodes: tuple[str, ...], cpu: float) -> None:
        self._tell(do="start", id=task_id, attempt=attempt, nodes=nodes, cpu=cpu)

    def stop(self, task_id: str) -> None:
        self._tell(do="end", id=task_id, attempt=self.running[task_id])

    def _tell(self, **line: object) -> None:
        self._log.write(**line)
        self._note(line)

    def _note(self, line: dict[str, object]) -> None:
        task_id, attempt = line["id"], line["attempt"]
        assert isinstance(task_id, str)
        assert isinstance(attempt, int)
        if line["do"] == "start":
            self.running[task_id] = attempt
        else:
            self.running.pop(task_id, None)
            self.ended[task_id] = attempt


class Scheduler:
    """Submits, starts, ends, preempts, requeues and cancels at random within the capacity."""

    def __init__(self, folder: Path, place: str, run: int, settings: JournalSettings) -> None:
        self.run, self.random = run, random.Random(run)
        self.acknowledged = Log(folder / "acknowledged.log")
        self.journal = Journal.open(place, settings)
        self.executor = FileExecutor(folder / "executor.log")
        self.free = {node.name: CORES for node in NODES}
        self.pending: dict[str, TaskLife] = {}
        self.started: list[JournalEvent] = []  # confirmed by the executor, not yet in the journal
        self.submitted = 0
        if self.journal.recover().pool is None:
            self.journal.append([PoolChanged(0, NODES)])
        self.resume()

    def resume(self) -> None:
        """What a restarted scheduler does about each task that was on its nodes."""
        events = []
        for life in self.journal.recover().tasks:
            task_id, attempt = life.task.id, life.attempt
            if life.phase is Phase.PENDING:
                continue
            if self.executor.running.get(task_id) == attempt:
                if life.phase is Phase.STARTING:
                    events.append(Started(self.now(), task_id, attempt))
            elif self.executor.ended.get(task_id) == attempt:
                events.append(Ended(self.now(), task_id, attempt, "completed", 0))
            else:
                events.append(Requeued(self.now(), task_id, attempt, Why.NOT_STARTED))
        self.append(events)
        for life in self.journal.recover().tasks:
            if life.phase is Phase.PENDING:
                self.pending[life.task.id] = life
            else:
                self.take(life.task, life.nodes)
        self.acknowledged.write(free=self.free, running=self.executor.running, run=self.run)

    def step(self) -> None:
        """One batch of whatever comes to mind, then the starts that it allows."""
        events = self.started + self.end_some()
        self.started = []
        if len(self.pending) < MOST_PENDING:
            events += self.submit_some()
        self.append(events)
        starts = self.start_some()
        self.append(starts)  # before the executor hears of them
        for event in starts:
            task = self.pending.pop(event.task_id).task
            self.executor.start(task.id, event.attempt, event.nodes, task.demand["cpu"])
            self.started.append(Started(self.now(), task.id, event.attempt))

    def append(self, events: Iterable[JournalEvent]) -> None:
        batch = list(events)
        self.journal.append(batch)
        submitted = [event.task.id for event in batch if isinstance(event, Submitted)]
        final = [event.task_id for event in batch if isinstance(event, Ended | Cancelled)]
        seq = self.journal.last_seq
        self.acknowledged.write(seq=seq, submitted=submitted, final=final)

    def submit_some(self) -> list[JournalEvent]:
        events: list[JournalEvent] = []
        for _ in range(self.random.randint(0, 10)):
            name = f"{self.run}-{self.submitted}"
            cpu, replicas = self.random.randint(1, 4), self.random.choice((1, 1, 1, 2))
            task = Task(name, {"cpu": cpu}, 10.0, submit_time_s=5.0, num_replicas=replicas)
            self.submitted += 1
            events.append(Submitted(self.now(), task))
            self.pending[name] = TaskLife(0, task, Phase.PENDING, 0)
            if self.random.random() < 0.05:
                del self.pending[name]
                events += [CancelRequested(self.now(), name), Cancelled(self.now(), name)]
        return events

    def start_some(self) -> list[Starting]:
        events = []
        for name, life in self.pending.items():
            nodes = self.place(life.task)
            if nodes is not None:
                self.take(life.task, nodes)
                events.append(Starting(self.now(), name, life.attempt + 1, nodes))
        return events

    def end_some(self) -> list[JournalEvent]:
        """The executor first, the journal after it: it may be killed in between."""
        events: list[JournalEvent] = []
        unconfirmed = {event.task_id for event in self.started}
        for name, attempt in list(self.executor.running.items()):
            fate = self.random.random()
            if fate > 0.5 or name in unconfirmed:
                continue
            life = self.journal.find(name)
            assert life is not None
            self.executor.stop(name)
            self.give_back(life.task, life.nodes)
            if fate < 0.4:
                events.append(Ended(self.now(), name, attempt, "completed", 0))
            elif fate < 0.45:
                events.append(Preempted(self.now(), name, attempt, 1.5))
                self.pending[name] = life
            else:
                events.append(Requeued(self.now(), name, attempt, Why.FAILED, 1))
                self.pending[name] = life
        return events

    def now(self) -> int:
        """A clock that jumps about: order must not come from it."""
        return self.random.randint(0, 10**12)

    def place(self, task: Task) -> tuple[str, ...] | None:
        free, nodes = dict(self.free), []
        for _ in range(task.num_replicas):
            name = self.random.choice([node.name for node in NODES])
            free[name] -= int(task.demand["cpu"])
            nodes.append(name)
        return None if min(free.values()) < 0 else tuple(nodes)

    def take(self, task: Task, nodes: Iterable[str]) -> None:
        for name in nodes:
            self.free[name] -= int(task.demand["cpu"])

    def give_back(self, task: Task, nodes: Iterable[str]) -> None:
        for name in nodes:
            self.free[name] += int(task.demand["cpu"])


def run_until_killed(folder: Path, place: str, run: int, synchronous: str | None) -> None:
    """Entry point of the process that is killed.

    Args:
        folder: where the two other records are.
        place: path or URL of the journal.
        run: how often it was started before.
        synchronous: for SQLite.
    """
    settings = JournalSettings(synchronous=synchronous, compact_every=100)
    scheduler = Scheduler(folder, place, run, settings)
    while True:
        scheduler.step()
