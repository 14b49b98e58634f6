"""Learned scores: a weight gives the rule that goes by its feature; a network does the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from lepton_rl.agents.linear import LinearNetwork, LinearWeights
from lepton_rl.core.intake import Intake, node_table
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.rules.placement import Place
from lepton_rl.core.tables import NO_NODE, NodeTable, Records
from lepton_rl.core.typical import typical_tasks
from lepton_rl.envs.config import EnvironmentConfig
from lepton_rl.envs.episodes import Episodes
from lepton_rl.evaluate.fgd import allocated_share
from lepton_rl.evaluate.learned import LearnedContender
from lepton_rl.policies.learned import load_policy
from lepton_rl.sim.linear_packing import pack_linear
from lepton_rl.sim.linear_score import NODE_SCORE_FEATURES
from lepton_rl.sim.packing import pack
from tests.scenarios import random_cluster, random_tasks
from tests.trained import placing, placing_observations, write_policy


def scene(seed: int) -> tuple[Records, NodeTable]:
    rng = np.random.default_rng(seed)
    cluster = random_cluster(rng)
    tasks = Intake(cluster).table(random_tasks(rng, cluster, 40))
    tasks["critical"] = False  # nothing is held for anybody
    return tasks, node_table(cluster)


def weights(features: tuple[str, ...], **given: float) -> NDArray[np.float32]:
    found = np.zeros(len(features), np.float32)
    for name, value in given.items():
        found[features.index(name)] = value
    return found


@pytest.mark.parametrize(
    ("place", "given"),
    [
        (Place.FIRST_FIT, {}),
        (Place.BEST_FIT, {"left_over": -1.0}),
        (Place.TETRIS, {"tetris": 1.0}),
        (Place.GPU_PACKING, {"packing": -1.0}),
        (Place.LEAST_LOADED, {"load": -1.0}),
        (Place.FASTEST, {"speed": 1.0, "left_over": -1e-3}),
    ],
)
def test_a_weight_on_what_a_rule_goes_by_packs_as_the_rule(
    place: Place, given: dict[str, float]
) -> None:
    placed = 0
    for seed in range(4):
        tasks, nodes = scene(seed)
        typical = typical_tasks(tasks, nodes)
        found = pack_linear(tasks, nodes, weights(NODE_SCORE_FEATURES, **given), typical)
        np.testing.assert_array_equal(found, pack(tasks, nodes, int(place), typical))
        placed += int((found[:, 0] != NO_NODE).sum())
    assert placed > 20


def test_the_protocol_takes_weights_in_the_place_of_a_rule() -> None:
    config = EnvironmentConfig.model_validate(placing())
    work = Episodes.of(config).workload
    shares = [
        allocated_share(work, place, 3)
        for place in (Place.BEST_FIT, weights(NODE_SCORE_FEATURES, left_over=-1.0))
    ]
    assert shares[0] == shares[1] > 0.5


def test_an_exported_network_schedules_as_the_search_did(tmp_path: Path) -> None:
    """The mean turnaround of an episode in compiled code is that of the policy file."""
    config = EnvironmentConfig.model_validate({**placing(), "episode_tasks": 60, "slots": 64})
    episodes = Episodes.of(config)
    simulator = episodes.simulator(config, 1)
    of_tasks, of_nodes = (
        {"area": -1.0, "fits": 0.7, "wait": 0.2},
        {"relief": 1.0, "load_after": -0.3},
    )
    linear = LinearWeights.named(of_tasks, of_nodes)
    network = LinearNetwork(linear, chooses_nodes=True)
    policy = load_policy(write_policy(tmp_path / "p.onnx", network, placing_observations()))
    for first_row in (0, 100):
        window = episodes.workload.window(first_row, 60)
        schedule = LearnedContender("x", policy).schedule(window, window.cluster, Backfill.NONE)
        turnaround_s = (schedule.end_us - schedule.submit_us).mean() / 1e6
        # typical tasks are those of the window here, and of the whole workload in the search
        simulator.play(0, first_row, linear.tasks, linear.nodes, linear.holds)
        assert simulator.mean_cost(0) == pytest.approx(turnaround_s, rel=0.02)
