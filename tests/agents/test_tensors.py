"""Tensors share the simulator's memory."""

import numpy as np
import torch

from lepton_rl.agents.tensors import SimulatorTensors
from tests.episodes import on_pool, simulator

WORK = on_pool(4, *[(i, 1 + i % 4, 10) for i in range(6)])


def test_tensors_are_the_buffers_and_follow_each_step() -> None:
    batch = simulator(WORK, batch=2, length=4)
    tensors = SimulatorTensors(batch)
    for b in range(2):
        batch.reset(b, b)
    before = {name: each.clone() for name, each in tensors.obs.items()}
    batch.step([0, 0])
    tensors.update()

    assert set(tensors.obs) == {"tasks", "nodes", "cluster", "action_mask"}
    assert not torch.equal(before["tasks"], tensors.obs["tasks"])
    for name, each in tensors.obs.items():
        values = getattr(batch.obs, name)
        assert each.data_ptr() == values.ctypes.data
        np.testing.assert_array_equal(each.numpy(), values)
    assert tensors.rewards.tolist() == batch.rewards.tolist()
    assert tensors.terminated.tolist() == batch.terminated.tolist()
