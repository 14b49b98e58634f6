"""`fits` is what `gang_capacity` says, however it was found out."""

from __future__ import annotations

import numpy as np
import pytest

from lepton_rl.core.intake import Intake, node_table
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.rules.fit import gang_capacity
from lepton_rl.core.tables import empty_pool
from lepton_rl.encoding.features import TASK_FEATURES
from lepton_rl.policies.registry import heuristic
from lepton_rl.sim.batch import BatchSimulator, episode_rule
from lepton_rl.sim.reference import heuristic_actions
from tests.scenarios import random_cluster, random_tasks

FITS = TASK_FEATURES.index("fits")
COUNT, SLOTS = 60, 24


@pytest.mark.parametrize("seed", range(6))
def test_fits_is_whether_the_gang_has_room(seed: int) -> None:
    """All along an episode on unlike nodes, also for classes of demand that share a count."""
    rng = np.random.default_rng(seed)
    cluster = random_cluster(rng)
    tasks = sorted(random_tasks(rng, cluster, COUNT), key=lambda task: task.submit_time_s)
    table = Intake(cluster).table(tasks)
    table["critical"] = False
    table["submit_us"] //= 10  # a long queue
    table[COUNT // 2 :]["demand"] = table[: COUNT // 2]["demand"]  # of pairs that ask for the same
    table["replicas"] = rng.integers(1, 3, COUNT)
    run_us = rng.integers(1, 500, COUNT) * 1_000_000
    feasible = [gang_on_idle(cluster, table, row) for row in range(COUNT)]
    table, run_us = table[feasible], run_us[feasible]
    sim = BatchSimulator(
        table, run_us, cluster, batch=1, episode_tasks=len(table), slots=SLOTS, rule=episode_rule()
    )
    sim.reset(0, 0)
    order, actions, seen = heuristic("sjf").rule, np.zeros(1, np.int64), set()
    while not sim.terminated[0]:
        state = sim.sim.state
        for slot, local in enumerate(sim.obs.window[0].tolist()):
            if local < 0:
                continue
            room = gang_capacity(table, state.nodes, state.pool, 0, local)
            assert sim.obs.tasks[0, slot, FITS] == (room >= table["replicas"][local])
            seen.add(bool(sim.obs.tasks[0, slot, FITS]))
        heuristic_actions(sim.sim, sim.obs, order, actions)
        sim.step(actions)

    assert seen == {False, True}


def gang_on_idle(cluster: Cluster, table: np.ndarray, row: int) -> bool:
    nodes = node_table(cluster)
    return bool(gang_capacity(table, nodes, empty_pool(nodes, 1), 0, row) >= table["replicas"][row])
