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


def test_a_batch_holds_the_tasks_that_are_there_and_keeps_them() -> None:
    simulated = simulator(WORK, batch=3, length=4)
    for b in range(3):
        simulated.reset(b, b)
    simulated.step([0, 0, 0])
    tensors = SimulatorTensors(simulated)
    occupied = simulated.obs.window >= 0
    expected = simulated.obs.tasks[occupied].copy()

    whole = tensors.batch()
    two = tensors.batch(torch.tensor([0, 2]))
    simulated.step([0, 0, 0])

    np.testing.assert_array_equal(whole.tasks.numpy(), expected)
    assert whole.owner.tolist() == np.nonzero(occupied)[0].tolist()
    assert whole.slot.tolist() == np.nonzero(occupied)[1].tolist()
    assert whole.counts.tolist() == occupied.sum(axis=1).tolist()
    assert two.rows == 2
    assert torch.equal(two.tasks, whole.tasks[whole.owner != 1])
    assert torch.equal(two.cluster, whole.cluster[[0, 2]])
