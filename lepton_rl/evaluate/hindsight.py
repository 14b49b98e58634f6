"""The best schedule found with full knowledge: how much better than a policy could one have done?

Local search over orders of the tasks: each order is replayed by the compiled simulator with the
true run times known, one task is moved to another place in it, and the move is kept if the metric
did not become worse. It begins with the schedule of a contender, so it never ends above it. What is
found is a schedule that exists, not the best there is: the truth lies between it and the bound of
`bounds`. Nobody is preempted in it. It is no policy, because it knows what has not happened yet.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lepton_rl.core.checks import require_count
from lepton_rl.core.errors import ConfigError
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.rules.placement import Place
from lepton_rl.core.schedule import Schedule
from lepton_rl.core.tables import Ints
from lepton_rl.evaluate.contenders import Contender, fingerprint_of
from lepton_rl.evaluate.metrics import bounded_slowdowns, turnarounds_s, waits_s
from lepton_rl.evaluate.validity import true_run_us
from lepton_rl.sim.objective import Objective
from lepton_rl.sim.ordered import OrderedReplay
from lepton_rl.workloads.workload import Workload

__all__ = ["SEARCHED", "Hindsight", "HindsightContender"]

SEARCHED = {
    "mean_bounded_slowdown": Objective.BOUNDED_SLOWDOWN,
    "mean_wait_s": Objective.WAIT,
    "mean_turnaround_s": Objective.TURNAROUND,
}
"""Metrics that can be searched for."""

_MOST_EVALUATIONS = 1_000_000


@dataclass(frozen=True, slots=True)
class Hindsight:
    """How long to search.

    Attributes:
        evaluations: replays for each window (>= 1).
        seed: of the moves, >= 0.
    """

    evaluations: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        require_count(self.evaluations, "hindsight: evaluations", _MOST_EVALUATIONS)
        if self.seed != 0:
            require_count(self.seed, "hindsight: seed, where it is not 0,", 2**63)


@dataclass(frozen=True, slots=True)
class HindsightContender:
    """The search, in the form of a contender so that it runs wherever contenders run.

    Attributes:
        base: whose schedule the search begins with.
        metric: what it makes small, one of `SEARCHED`.
        search: how long.
    """

    base: Contender
    metric: str
    search: Hindsight

    def __post_init__(self) -> None:
        if self.metric not in SEARCHED:
            raise ConfigError(
                f"hindsight: expected one of {', '.join(SEARCHED)}, got {self.metric!r}"
            )

    @property
    def name(self) -> str:
        """For tables."""
        return "hindsight (found)"

    @property
    def fingerprint(self) -> str:
        """What its schedules depend on; "" if that is not known of the base."""
        base = fingerprint_of(self.base)
        return f"hindsight {self.metric} {self.search} from {base}" if base else ""

    def schedule(self, window: Workload, cluster: Cluster, backfill: Backfill) -> Schedule:
        """The best schedule found; see `Contender.schedule`, but it knows the run times.

        Raises:
            StateError: a task can never start on this cluster.
        """
        begun = self.base.schedule(window, cluster, backfill)
        best, best_cost = begun, _cost(self.metric, begun, window, cluster)
        for start_with in (Backfill.EASY, Backfill.NONE):
            replayer = OrderedReplay(
                window.tasks, window.run_us, cluster, _PLACE, start_with, SEARCHED[self.metric]
            )
            order, cost = self._descend(replayer, begun)
            if cost < best_cost:
                found = replayer.schedule(order)
                if (found_cost := _cost(self.metric, found, window, cluster)) < best_cost:
                    best, best_cost = found, found_cost
        return best

    def _descend(self, replayer: OrderedReplay, begun: Schedule) -> tuple[Ints, float]:
        """The best order found with half of the replays, and its cost."""
        random = np.random.default_rng(self.search.seed)
        order = np.lexsort([np.arange(len(begun.start_us)), begun.start_us])
        cost = replayer.cost(order)
        for _ in range(1, (self.search.evaluations + 1) // 2):
            moved = _moved(order, random)
            moved_cost = replayer.cost(moved)
            if moved_cost <= cost:
                order, cost = moved, moved_cost
        return order, cost


_PLACE = Place.FIRST_FIT


def _moved(order: Ints, random: np.random.Generator) -> Ints:
    """One task at another place; near places are as likely as far ones, by powers of ten."""
    count = len(order)
    source = int(random.integers(count))
    reach = int(np.exp(random.uniform(0.0, np.log(max(2, count)))))
    target = int(np.clip(source + (reach if random.random() < 0.3 else -reach), 0, count - 1))
    return np.insert(np.delete(order, source), target, order[source])


def _cost(metric: str, schedule: Schedule, window: Workload, cluster: Cluster) -> float:
    if metric == "mean_wait_s":
        return float(waits_s(schedule).mean())
    if metric == "mean_turnaround_s":
        return float(turnarounds_s(schedule).mean())
    run_us = true_run_us(schedule, window, cluster)
    return float(bounded_slowdowns(schedule, run_us=run_us).mean())
