"""Views and policies made by hand, for tests of what stands around a policy."""

from __future__ import annotations

from collections.abc import Callable

from lepton_rl.core.nodes import Cluster
from lepton_rl.core.policy import Decision, Start
from lepton_rl.core.tables import View
from lepton_rl.policies.registry import heuristic
from tests.builders import Desk, batch_job


def desk_of(tasks: int, running: int = 0, processors: int = 4) -> Desk:
    """t0, t1, ... ask for 1, 2, 3, 4, 1, ... processors; the first ones run."""
    jobs = [batch_job(f"t{i}", 1 + i % 4, 10.0 + i, submit_s=i) for i in range(tasks)]
    desk = Desk(Cluster.pool(processors), jobs)
    desk.at(float(tasks))
    desk.run(*desk.ids[:running])
    desk.submit(*desk.ids[running:])
    return desk


class Scripted:
    """Answers what a test tells it to; keeps how often it was asked."""

    def __init__(self, answer: Callable[[View], object], name: str = "scripted") -> None:
        self.answer, self.name = answer, name
        self.asked = self.resets = 0

    def reset(self) -> None:
        self.resets += 1

    def decide(self, view: View) -> Decision:
        self.asked += 1
        return self.answer(view)  # type: ignore[return-value]


def fine(view: View) -> Decision:
    """What the last task in line would like: a start that is feasible on an idle pool."""
    return Start(int(view.pending[0, 0]), (0,))


def boom(view: View) -> Decision:
    raise ValueError("boom")


FALLBACK = heuristic("fcfs")
