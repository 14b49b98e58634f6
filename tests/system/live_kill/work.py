"""The cluster and the tasks of the kill test, the same for the same number and seed."""

from __future__ import annotations

import random
import sys
from pathlib import Path

from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.policy import Decision, Preempt
from lepton_rl.core.tables import View
from lepton_rl.core.tasks import Task
from lepton_rl.policies.registry import heuristic

CORES, CARDS = 4, 2
NODES = ("a", "b", "c")
CLUSTER = Cluster(tuple(Node(name, {"cpu": CORES, "gpu": CARDS}) for name in NODES))

_SCRIPT = str(Path(__file__).with_name("ledger_task.py"))


def task_number(number: int, seed: int, folder: Path) -> Task:
    """A task like all others, but for its number."""
    chance = random.Random(f"{seed}/{number}")
    always_fails, fails_at_first = chance.random() < 0.03, chance.random() < 0.06
    seconds, to_stop = chance.choice((0, 0, 0.02, 0.4, 0.8)), chance.choice((0, 0.3))
    cpu, gpu = chance.randint(1, 3), chance.choice((0, 0, 0, 1, 0.5))
    previous = chance.randint(0, number) if chance.random() < 0.1 else number
    return Task(
        f"t{number}",
        {"cpu": cpu, "gpu": gpu} if gpu else {"cpu": cpu},
        10.0,
        num_replicas=chance.choice((1,) * 8 + (2,)),
        max_retries=1,
        preemptible=chance.random() < 0.3,
        depends_on=(f"t{previous}",) if previous < number else (),
        command=(
            *(sys.executable, "-I", "-S", _SCRIPT, str(folder), str(seconds), str(to_stop)),
            *("4" if always_fails else "0", "yes" if fails_at_first else "no", f"{cpu}/{gpu}"),
        ),
    )


def must_fail(task: Task) -> bool:
    """Whether no run of it can be a success."""
    return task.command[7] != "0"


class Restless:
    """First come, first served, that now and then preempts what may be preempted."""

    name = "restless"

    def __init__(self, seed: int) -> None:
        self._chance, self._inner = random.Random(seed), heuristic("fcfs+best-fit")
        self.may_preempt: object = None  # () -> local indices

    def reset(self) -> None:
        self._inner.reset()

    def decide(self, view: View) -> Decision:
        if callable(self.may_preempt) and self._chance.random() < 0.03:
            victims = sorted(self.may_preempt())
            if victims:
                return Preempt(self._chance.choice(victims))
        return self._inner.decide(view)
