"""Bound arrays give the same logits, bit by bit."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.encoding.observation import Observation, empty_observation
from lepton_rl.policies.artifact import read_artifact
from lepton_rl.policies.learned import LearnedPolicy
from tests.builders import Desk, batch_job
from tests.trained import placing_policy_file, random_policy_file


def fill(obs: Observation, rng: np.random.Generator) -> None:
    for array in (obs.tasks, obs.nodes, obs.cluster, obs.candidates):
        array[:] = rng.random(array.shape)
    obs.action_mask[:] = True
    obs.action_mask[0, rng.integers(obs.action_mask.shape[1])] = False


@pytest.mark.parametrize(("slots", "nodes"), [(2, 1), (64, 16), (64, 300)])
@pytest.mark.parametrize("file", [random_policy_file, placing_policy_file])
def test_bound_and_plain_runs_are_equal(file: Callable[[], Path], slots: int, nodes: int) -> None:
    artifact = read_artifact(file())
    chooses = artifact.manifest.choose_nodes
    buffers = [empty_observation(1, slots, nodes, chooses_nodes=chooses) for _ in range(2)]
    bound = [artifact.bound_to(obs) for obs in buffers]
    rng = np.random.default_rng(0)
    for _ in range(3):
        for obs, ask in zip(buffers, bound, strict=True):
            fill(obs, rng)
            inputs = [obs.tasks, obs.nodes, obs.cluster, obs.action_mask]
            inputs += [obs.candidates] if chooses else []

            np.testing.assert_array_equal(ask(), artifact.logits(*inputs))


def test_buffers_are_bounded_where_the_cluster_keeps_changing() -> None:
    """Each new size has buffers of its own; a service may run for years."""
    policy = LearnedPolicy(read_artifact(random_policy_file()))
    jobs = [batch_job(f"t{i}", 1, 10.0 + i) for i in range(3)]
    desks = [
        Desk(Cluster(tuple(Node(f"n{m}", {"cpu": 4}) for m in range(size))), jobs)
        for size in range(1, 41)
    ]
    for desk in desks:
        desk.submit(*desk.ids)
    first = [policy.decide(desk.view) for desk in desks]

    assert len(policy._seats) <= 32
    assert [policy.decide(desk.view) for desk in desks] == first
