"""Replay a workload under a heuristic, start to end, in compiled code."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.compiled import compiled
from lepton_rl.core.errors import StateError
from lepton_rl.core.intake import node_table
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.rules.dispatch import DispatchRule
from lepton_rl.core.schedule import Schedule
from lepton_rl.core.tables import NO_TASK, Records, View
from lepton_rl.core.typical import typical_tasks
from lepton_rl.sim.episode import EpisodeRule, is_over, settle, step_head, step_node
from lepton_rl.sim.events import advance, reset, start_all
from lepton_rl.sim.objective import Objective
from lepton_rl.sim.tables import SimTable, empty_sim
from lepton_rl.sim.world import World

__all__ = ["Schedule", "replay", "replay_heads", "run_to_end", "schedule_of"]


@compiled
def run_to_end(sim: SimTable, b: int, rule: DispatchRule, objective: int) -> bool:
    """Decide and advance until every task has completed; False if some can never start."""
    while sim.progress[b].num_ended < sim.progress[b].num_tasks:
        start_all(sim, b, rule, objective)
        if not advance(sim, b, objective, rule.blocking):
            return False
    return True


def replay(
    tasks: Records,
    run_us: NDArray[np.int64],
    cluster: Cluster,
    rule: DispatchRule,
    typical: Records | None = None,
    world: World | None = None,
) -> Schedule:
    """Schedule all `tasks` on `cluster` under `rule`.

    Args:
        tasks: by submit time.
        run_us: `(N,)` true run times in us.
        cluster: starts idle.
        rule: the heuristic.
        typical: what tasks usually ask for; None for what these do (placement by fragmentation).
        world: what happens beside arrivals and ends; None for nothing.

    Raises:
        StateError: a task never started, because the cluster cannot hold it.
    """
    sim = empty_sim(tasks, run_us, node_table(cluster), 1, len(run_us), rule, typical, world)
    reset(sim, 0, 0, len(run_us))
    if not run_to_end(sim, 0, rule, int(Objective.BOUNDED_SLOWDOWN)):
        raise StateError(_NEVER_STARTS)
    return schedule_of(sim)


def replay_heads(
    tasks: Records,
    run_us: NDArray[np.int64],
    cluster: Cluster,
    choose_head: Callable[[View], int],
    rule: EpisodeRule,
    choose_node: Callable[[View, int, int], int] | None = None,
    world: World | None = None,
) -> Schedule:
    """Schedule all `tasks` with `choose_head` naming the task that comes first, at each decision.

    Args:
        tasks: by submit time.
        run_us: `(N,)` true run times in us.
        cluster: starts idle.
        choose_head: from a view (environment 0) to a local index, or WAIT.
        rule: placement and backfilling around the choice.
        choose_node: with `rule.choose_nodes`, from a view, the local index of the task that is
            being placed and its next replica to a node.
        world: what happens beside arrivals and ends; None for nothing.

    Raises:
        StateError: a task never started, because the cluster cannot hold it.
    """
    nodes = node_table(cluster)
    typical = typical_tasks(tasks, nodes) if rule.choose_nodes else None
    sim = empty_sim(tasks, run_us, nodes, 1, len(run_us), rule, typical, world)
    reset(sim, 0, 0, len(run_us))
    settle(sim, 0, rule, rule.skip_forced)
    while not is_over(sim, 0):
        placing = int(sim.progress["placing"][0])
        if placing != NO_TASK:
            assert choose_node is not None, "rule.choose_nodes asks for nodes"
            node = choose_node(sim.state, placing, int(sim.progress["placed"][0]))
            step_node(sim, 0, node, rule)
            continue
        before_us = int(sim.state.status["now_us"][0])
        count = int(sim.state.status["num_pending"][0])
        step_head(sim, 0, choose_head(sim.state), rule)
        same = count == sim.state.status["num_pending"][0] and sim.progress["placing"][0] == NO_TASK
        if same and before_us == sim.state.status["now_us"][0] and sim.progress["num_ends"][0] == 0:
            raise StateError(_NEVER_STARTS)
    return schedule_of(sim)


_NEVER_STARTS = "a pending task can never start; check the workload against the cluster"


def schedule_of(sim: SimTable) -> Schedule:
    """What happened in environment 0, in arrays of its own."""
    started_us = sim.first_start_us[0]
    return Schedule(
        submit_us=sim.state.tasks["submit_us"].copy(),
        start_us=started_us.copy(),
        end_us=np.where(started_us < 0, -1, sim.end_us[0]),
        nodes=sim.state.held["node"][0].copy(),
        num_preemptions=int(sim.progress["num_preempted"][0]),
    )
