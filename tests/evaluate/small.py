"""Small workloads, schedules written by hand, and contenders that return them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lepton_rl.core.clock import to_us
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.rules.dispatch import DispatchRule
from lepton_rl.evaluate import HeuristicContender
from lepton_rl.policies.registry import BASELINES, rule_of
from lepton_rl.sim.replay import Schedule
from lepton_rl.workloads.lublin import LublinConfig, generate_lublin
from lepton_rl.workloads.workload import Workload

HEURISTICS = {name: rule_of(name) for name in BASELINES}


def pool_workload(
    rows: Sequence[tuple[float, float, int]], processors: int = 4, name: str = "hand"
) -> Workload:
    """Tasks of (submit time in s, run time in s, processors), requested as they run."""
    submit_s, run_s, size = (np.array(column) for column in zip(*rows, strict=True))
    return Workload.on_pool(
        name,
        processors,
        submit_s=submit_s.astype(np.float64),
        requested_s=run_s.astype(np.float64),
        run_s=run_s.astype(np.float64),
        size=size.astype(np.int64),
        ids=np.array([f"t{index}" for index in range(len(rows))]),
    )


def schedule_from(workload: Workload, starts_s: Sequence[float]) -> Schedule:
    """Each task starts at the given time and runs its true time."""
    start_us = to_us(starts_s)
    nodes = np.zeros((len(workload), 1), np.int64)
    return Schedule(workload.tasks["submit_us"], start_us, start_us + workload.run_us, nodes)


def busy_windows(count: int, length: int = 64) -> tuple[Workload, ...]:
    """Consecutive windows of a generated workload."""
    config = LublinConfig(processors=32, num_tasks=count * length, load=0.9)
    workload = generate_lublin(config, 5)
    return tuple(workload.window(index * length, length) for index in range(count))


@dataclass(frozen=True)
class Learned:
    """Stands for a learned policy: it schedules as a heuristic does."""

    name: str
    rule: DispatchRule

    def schedule(self, window: Workload, cluster: Cluster, backfill: Backfill) -> Schedule:
        return HeuristicContender(self.name, self.rule).schedule(window, cluster, backfill)


@dataclass(frozen=True)
class Waiting:
    """Starts every task of a window of one processor each after the same wait.

    Attributes:
        name: for tables.
        waits_s: window name -> wait of all its tasks.
    """

    name: str
    waits_s: dict[str, float]

    def schedule(self, window: Workload, cluster: Cluster, backfill: Backfill) -> Schedule:
        start_us = window.tasks["submit_us"] + to_us(self.waits_s[window.name])
        nodes = np.zeros((len(window), 1), np.int64)
        return Schedule(window.tasks["submit_us"], start_us, start_us + window.run_us, nodes)
