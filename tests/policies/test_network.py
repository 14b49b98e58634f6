"""Bound arrays give the same logits, bit by bit, and nobody's result is overwritten."""

from __future__ import annotations

import numpy as np
import pytest

from lepton_rl.encoding.observation import empty_observation
from lepton_rl.policies.artifact import read_artifact
from tests.trained import random_policy_file


@pytest.mark.parametrize(("slots", "nodes"), [(2, 1), (64, 16), (64, 300)])
def test_bound_and_plain_runs_are_equal(slots: int, nodes: int) -> None:
    rng, bound, plain = np.random.default_rng(0), *map(read_artifact, [random_policy_file()] * 2)
    obs = empty_observation(1, slots, nodes)
    obs.action_mask[:] = True
    inputs = obs.tasks, obs.nodes, obs.cluster, obs.action_mask
    results = []
    for _ in range(6):
        for array in inputs[:3]:
            array[:] = rng.random(array.shape)
        obs.action_mask[0, rng.integers(slots)] ^= True
        found, expected = bound.logits(*inputs), plain.logits(*(each.copy() for each in inputs))
        np.testing.assert_array_equal(found, expected)
        results.append((found, expected))
    for found, expected in results:
        np.testing.assert_array_equal(found, expected)


def test_arrays_in_turn() -> None:
    """More buffers than are bound at once, and some that cannot be."""
    artifact, plain = map(read_artifact, [random_policy_file()] * 2)
    rng = np.random.default_rng(1)
    buffers = []
    for slots in range(2, 42):
        obs = empty_observation(1, slots, 3)
        obs.action_mask[:] = True
        for array in (obs.nodes, obs.cluster):
            array[:] = rng.random(array.shape)
        wide = rng.random((1, slots, 2 * obs.tasks.shape[2]), np.float32)
        tasks = wide[:, :, ::2] if slots % 2 else np.ascontiguousarray(wide[:, :, ::2])
        buffers.append((tasks, obs.nodes, obs.cluster, obs.action_mask))
    for _ in range(2):
        for inputs in buffers:
            for _ in range(3):
                np.testing.assert_array_equal(
                    artifact.logits(*inputs), plain.logits(*(each.copy() for each in inputs))
                )
