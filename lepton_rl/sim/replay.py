"""Replay a workload under a heuristic, start to end, in compiled code."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.compiled import compiled
from lepton_rl.core.errors import StateError
from lepton_rl.core.intake import node_table
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.rules.dispatch import WAIT, DispatchRule, decide
from lepton_rl.core.tables import Records
from lepton_rl.sim.events import advance, reset, start
from lepton_rl.sim.objective import Objective
from lepton_rl.sim.tables import SimTable, empty_sim

__all__ = ["Schedule", "replay"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """What happened to each task of a workload, in the workload's order.

    Attributes:
        submit_us: `(N,)` submit times.
        start_us: `(N,)` start times.
        end_us: `(N,)` end times.
        nodes: `(N, G)` node index of each replica, -1 beyond the gang.
    """

    submit_us: NDArray[np.int64]
    start_us: NDArray[np.int64]
    end_us: NDArray[np.int64]
    nodes: NDArray[np.int64]


@compiled
def _run_to_end(sim: SimTable, b: int, rule: DispatchRule, objective: int) -> bool:
    """Decide and advance until every task has completed; False if some can never start."""
    while sim.progress[b].num_completed < sim.progress[b].num_tasks:
        while True:
            local = decide(sim.state, sim.scratch, b, rule)
            if local == WAIT:
                break
            start(sim, b, local)
        if not advance(sim, b, objective, rule.blocking):
            return False
    return True


def replay(
    tasks: Records, run_us: NDArray[np.int64], cluster: Cluster, rule: DispatchRule
) -> Schedule:
    """Schedule all `tasks` on `cluster` under `rule`.

    Args:
        tasks: by submit time.
        run_us: `(N,)` true run times in us.
        cluster: starts idle.
        rule: the heuristic.

    Raises:
        StateError: a task never started, because the cluster cannot hold it.
    """
    sim = empty_sim(tasks, run_us, node_table(cluster), batch=1, episode_tasks=len(run_us))
    reset(sim, 0, 0, len(run_us))
    if not _run_to_end(sim, 0, rule, int(Objective.BOUNDED_SLOWDOWN)):
        raise StateError("a pending task can never start; check the workload against the cluster")
    return Schedule(
        submit_us=tasks["submit_us"],
        start_us=sim.state.spans["start_us"][0],
        end_us=sim.end_us[0],
        nodes=sim.state.held["node"][0],
    )
