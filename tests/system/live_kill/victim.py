"""The process that is killed: a live scheduler, a local executor and a journal, all real.

It is forked from a server that has imported this module, so all rules are loaded below, once.
"""

from __future__ import annotations

import json
import os
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from lepton_rl.core.errors import LeptonError
from lepton_rl.core.tasks import Task
from lepton_rl.integrations.local import LocalExecutor, LocalSettings
from lepton_rl.system import Scheduler
from lepton_rl.system.journal import Journal, JournalSettings
from tests.system.live_kill.doom import Doom
from tests.system.live_kill.work import CLUSTER, Restless

DRAIN_S = 120.0


class Victim:
    """Serves one client until it is killed, or told to drain."""

    def __init__(self, folder: Path, seed: int, synchronous: str, doom: Doom) -> None:
        settings = JournalSettings(synchronous=synchronous, compact_every=100)
        self.journal = Journal.open(folder / "journal.sqlite", settings)
        self.executor = LocalExecutor(folder / "run", LocalSettings(stop_grace_s=1.0))
        doom.watch(self.journal, self.executor)
        policy = Restless(seed)
        self.scheduler = Scheduler(CLUSTER, policy, self.executor, journal=self.journal)
        policy.may_preempt = self.preemptible
        self.report(folder / "reports")
        self.scheduler.start()

    def preemptible(self) -> set[int]:
        entries = self.scheduler.queue.on_nodes()
        return {e.local for e in entries if e.task.preemptible and e.stopping is None}

    def report(self, path: Path) -> None:
        """What a restarted scheduler believes before it does anything."""
        queue, pool = self.scheduler.queue, self.scheduler.pool
        on_nodes = {
            entry.task.id: {
                "attempt": entry.attempts,
                "nodes": entry.nodes,
                "demand": dict(entry.task.demand),
                "cards": [dict(each) for each in pool.cards_held(entry.local)],
            }
            for entry in queue.on_nodes()
        }
        alive = sorted(self.executor.running())
        line = {"at": now_ns(), "free": pool.free(), "on_nodes": on_nodes, "alive": alive}
        append(path, json.dumps(line))

    def answer(self, do: str, *arguments: Any) -> str:
        try:
            getattr(self, do)(*arguments)
        except LeptonError as error:
            return str(error)
        return ""

    def submit(self, task: Task) -> None:
        self.scheduler.submit(task)

    def cancel(self, task_id: str) -> None:
        self.scheduler.cancel(task_id)

    def fail(self, node: str) -> None:
        self.scheduler.fail_node(node)

    def resume(self, node: str) -> None:
        self.scheduler.resume(node)

    def drain(self) -> None:
        for node in CLUSTER.nodes:
            self.scheduler.resume(node.name)
        assert self.scheduler.stop(timeout_s=DRAIN_S), "something never ends"
        free = self.scheduler.pool.free()
        for node in CLUSTER.nodes:
            assert {kind: free[node.name][kind] for kind in node.capacity} == dict(node.capacity)
        self.journal.close()


def now_ns() -> int:
    """Nanoseconds since boot, as the tasks tell them."""
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


def append(path: Path, line: str) -> None:
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(file, line.encode() + b"\n")
    os.close(file)


def live_until_killed(
    folder: Path, seed: int, synchronous: str, step: int | None, client: Connection
) -> None:
    """Entry point; it dies by itself at a step of the protocol, if one is named."""
    victim = Victim(folder, seed, synchronous, Doom(step))
    while True:
        try:
            request = client.recv()
        except EOFError:
            return
        unfinished = None
        problem = victim.answer(*request)
        if request[0] != "drain":
            unfinished = victim.scheduler.queue.num_unfinished
        client.send((problem, unfinished, dict(victim.scheduler.monitor.incidents)))


def load_rules() -> None:
    """Let the rules be compiled or loaded before processes are forked."""
    scheduler = Scheduler(CLUSTER, Restless(0))
    for number in range(6):
        demand = {"cpu": 3, "gpu": (1, 0.5)[number % 2]}
        scheduler.submit(Task(f"{number}", demand, 1, run_time_s=1, num_replicas=1 + number % 2))
    scheduler.run()
