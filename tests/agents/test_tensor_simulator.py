"""Environments in tensors, stepped a thread each, are those of the batched simulator."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from lepton_rl.agents.tensor_simulator import TensorSimulator
from lepton_rl.core.errors import ConfigError
from lepton_rl.core.nodes import NodeState
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.rules.placement import Place
from lepton_rl.sim.batch import BatchSimulator, episode_rule
from lepton_rl.sim.kernels import NO_ROW
from lepton_rl.sim.objective import Objective
from lepton_rl.sim.world import NodeEvent, make_world
from lepton_rl.workloads.lublin import LublinConfig, generate_lublin
from tests.episodes import on_pool, simulator

LENGTH = 12
WORK = generate_lublin(
    LublinConfig(processors=64, num_tasks=80, load=1.3, classes=("whole-sample",)), 3
)
SMALL = on_pool(4, *[(i, 1 + i % 4, 10) for i in range(8)])
BATCH = 5

on_gpu = pytest.param(
    "cuda",
    marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device"),
)


def maker(**rule: Any) -> Callable[[int], BatchSimulator]:
    return lambda batch: simulator(WORK, batch=batch, length=LENGTH, slots=8, **rule)


def small(device: str = "cpu", batch: int = 3) -> TensorSimulator:
    return TensorSimulator(lambda b: simulator(SMALL, batch=b, length=4), batch, device)


def eventful(batch: int) -> BatchSimulator:
    """Dependencies, failures, retries and a node that is lost and returns."""
    count = len(SMALL)
    fails = np.zeros((count, 2), np.int64)
    fails[1::3, 0] = 4_000_000
    world = make_world(
        count,
        needs=np.array([[3, 0], [4, 2]]),
        max_retries=np.ones(count, np.int64),
        fails_after_us=fails,
        node_events=[
            NodeEvent(6_000_000, 0, NodeState.DOWN),
            NodeEvent(9_000_000, 0, NodeState.UP),
        ],
    )
    return BatchSimulator(
        SMALL.tasks,
        SMALL.run_us,
        SMALL.cluster,
        batch=batch,
        episode_tasks=4,
        slots=8,
        rule=episode_rule(),
        world=world,
    )


CASES = {
    "nothing else": maker(),
    "easy, waiting": maker(backfill=Backfill.EASY, place=Place.BEST_FIT, may_wait=True),
    "tetris, turnaround": maker(place=Place.TETRIS, objective=Objective.TURNAROUND),
    "nodes are chosen": maker(choose_nodes=True, place=Place.FGD, skip_forced=False),
    "a world": eventful,
}


def compared(make: Callable[[int], BatchSimulator], device: str, steps: int) -> int:
    """Step both ways with random actions; how many episodes ended.

    On the CPU all bits are equal. On a GPU whole numbers are, and others but for the last digits.
    """
    rng, ours, theirs = np.random.default_rng(5), TensorSimulator(make, BATCH, device), make(BATCH)
    starts = rng.integers(0, ours.last_start + 1, BATCH)
    ours.reset(torch.from_numpy(starts))
    for b, row in enumerate(starts.tolist()):
        theirs.reset(b, row)
    ended = 0
    for _ in range(steps):
        starts = rng.integers(0, ours.last_start + 1, BATCH)
        ours.starts.copy_(torch.from_numpy(starts))
        actions = [int(rng.choice(np.flatnonzero(mask))) for mask in theirs.obs.action_mask]
        theirs.step(actions)
        ours.step(torch.tensor(actions))
        assert_equal(theirs.rewards, ours.rewards.cpu().numpy(), device)
        np.testing.assert_array_equal(theirs.terminated, ours.terminated.cpu().numpy())
        for b in np.flatnonzero(theirs.terminated).tolist():
            assert ours.mean_cost[b].item() == pytest.approx(theirs.mean_cost(b), rel=1e-12)
            theirs.reset(b, int(starts[b]))
            ended += 1
        for name, tensor in ours.obs.items():
            assert_equal(getattr(theirs.obs, name), tensor.cpu().numpy(), device)
    found, work = ours.state(), "work."
    for path, expected in named(theirs.table.tables).items():
        if not path.startswith((work, "actions")):
            assert_equal(expected, found[path], device)
    assert not ours.refused.any()
    return ended


def named(tables: Any, prefix: str = "") -> dict[str, np.ndarray]:
    """The arrays of nested tables, by path."""
    pairs = [(f"{prefix}{name}", getattr(tables, name)) for name in tables._fields]
    found = {path: each for path, each in pairs if not isinstance(each, tuple)}
    for path, each in pairs:
        found |= named(each, f"{path}.") if isinstance(each, tuple) else {}
    return found


def assert_equal(expected: np.ndarray, found: np.ndarray, device: str) -> None:
    for name in expected.dtype.names or (None,):
        one, other = (expected, found) if name is None else (expected[name], found[name])
        if device == "cpu" or one.dtype.kind != "f":
            np.testing.assert_array_equal(one, other)
        else:
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


@pytest.mark.slow  # compiles the whole step once more, half a minute
class TestStepping:
    @pytest.mark.parametrize("device", ["cpu", on_gpu])
    @pytest.mark.parametrize("case", CASES)
    def test_steps_are_those_of_the_batched_simulator(self, case: str, device: str) -> None:
        assert compared(CASES[case], device, 60) > BATCH

    @pytest.mark.parametrize("device", ["cpu", on_gpu])
    def test_a_masked_action_is_refused_and_moves_nothing_there(self, device: str) -> None:
        sim = small(device)
        sim.reset(torch.tensor([0, 1, 2]))
        before = {name: each.clone() for name, each in sim.obs.items()}
        sim.step(torch.tensor([7, 0, -1]))

        assert sim.refused.tolist() == [True, False, True]
        assert sim.rewards.tolist()[::2] == [0.0, 0.0]
        for name, each in sim.obs.items():
            assert torch.equal(each[::2], before[name][::2])
        assert not torch.equal(sim.obs["tasks"][1], before["tasks"][1])

    @pytest.mark.parametrize("device", ["cpu", on_gpu])
    def test_who_is_paused_or_has_no_next_episode_stays(self, device: str) -> None:
        sim = small(device)
        sim.reset(torch.tensor([0, 0, 1]))
        sim.starts.fill_(NO_ROW)
        sim.paused[2] = True
        held = sim.obs["tasks"][2].clone()
        ended = torch.zeros(3, dtype=torch.bool, device=sim.device)
        for _ in range(8):
            sim.step(torch.zeros(3, dtype=torch.int64))
            ended |= sim.terminated
            sim.paused |= sim.terminated

        assert ended.tolist() == [True, True, False]
        assert not sim.obs["action_mask"][:2].any()
        assert torch.equal(sim.obs["tasks"][2], held)
        assert sim.mean_cost[0] == sim.mean_cost[1] > 0

    def test_a_network_reads_the_occupied_slots(self) -> None:
        sim = small()
        sim.reset(torch.tensor([0, 1, 2]))
        batch = sim.batch()

        assert batch.rows == 3
        assert torch.equal(batch.counts, (sim.window >= 0).sum(dim=1))

    @pytest.mark.parametrize("starts", [[0, 1], [0, 1, 5], [-1, 0, 0]])
    def test_episodes_begin_within_the_workload(self, starts: list[int]) -> None:
        with pytest.raises(ConfigError, match="starts: expected"):
            small().reset(torch.tensor(starts))


def test_what_cannot_be_stepped_so_is_refused() -> None:
    with pytest.raises(ConfigError, match="conservative backfilling plans in one work space"):
        TensorSimulator(maker(backfill=Backfill.CONSERVATIVE), 2, "cpu")
    with pytest.raises(ConfigError, match="at least 1 environment, got 0"):
        small(batch=0)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_gpu_that_is_not_there_is_told() -> None:
    with pytest.raises(ConfigError, match="torch finds no CUDA device"):
        small("cuda")


def test_tensors_show_the_memory_that_is_stepped() -> None:
    sim = small()

    assert {name: tuple(each.shape) for name, each in sim.obs.items()} == {
        "tasks": (3, 8, 18),
        "nodes": (3, 1, 7),
        "cluster": (3, 10),
        "action_mask": (3, 9),
    }
    assert sim.obs["tasks"].dtype == torch.float32
    assert sim.rewards.dtype == torch.float64
    assert sim.window.tolist() == [[-1] * 8] * 3
    assert sim.obs["tasks"].is_contiguous()
