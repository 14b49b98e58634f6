"""Threads that step a batch together."""

from __future__ import annotations

import gc
import pickle
import threading
import time
from queue import SimpleQueue

import numpy as np
import pytest

from lepton_rl.core.errors import InfeasibleDecisionError
from lepton_rl.sim.batch import BatchSimulator, episode_rule
from lepton_rl.workloads.lublin import LublinConfig, generate_lublin
from tests.episodes import frozen

WORK = generate_lublin(
    LublinConfig(processors=64, num_tasks=120, load=1.3, classes=("whole-sample",)), 3
)
LENGTH = 24


def begun(batch: int, num_threads: int) -> BatchSimulator:
    """A batch whose episodes begin all over the workload."""
    sim = BatchSimulator(
        WORK.tasks,
        WORK.run_us,
        WORK.cluster,
        batch=batch,
        episode_tasks=LENGTH,
        slots=8,
        rule=episode_rule(),
        num_threads=num_threads,
    )
    for b in range(batch):
        sim.reset(b, b % (len(WORK.run_us) - LENGTH))
    return sim


def play(sim: BatchSimulator, steps: int) -> list[tuple[list[bytes], bytes]]:
    """What `steps` steps of the last task that is shown give; whoever is over begins again."""
    seen = []
    for _ in range(steps):
        mask = sim.obs.action_mask[:, : sim.slots]
        sim.step(sim.slots - 1 - mask[:, ::-1].argmax(axis=1))
        seen.append((frozen(sim.obs), sim.rewards.tobytes()))
        for b in np.flatnonzero(sim.terminated).tolist():
            sim.reset(b, b % 7)
    return seen


def num_helpers() -> int:
    return sum(thread.name == "lepton-step" for thread in threading.enumerate())


def wait_for_helpers(count: int) -> None:
    deadline = time.monotonic() + 10
    while num_helpers() != count and time.monotonic() < deadline:
        time.sleep(0.01)
    assert num_helpers() == count


@pytest.mark.parametrize("batch", [192, 203])
def test_any_number_of_threads_gives_the_same_bits(batch: int) -> None:
    alone = play(begun(batch, 1), 30)

    for num_threads in (2, 3):
        sim = begun(batch, num_threads)
        assert play(sim, 30) == alone
        sim.close()


def test_few_environments_wake_nobody() -> None:
    before, sim = num_helpers(), begun(127, 8)

    play(sim, 2)

    assert num_helpers() == before


def test_helpers_end_when_the_batch_is_closed_and_come_back() -> None:
    before, sim = num_helpers(), begun(256, 3)
    play(sim, 2)
    assert num_helpers() == before + 2

    sim.close()
    wait_for_helpers(before)
    play(sim, 2)
    assert num_helpers() == before + 2
    sim.close()


def test_helpers_end_with_a_batch_that_nobody_closes() -> None:
    before, sim = num_helpers(), begun(128, 2)
    play(sim, 2)
    assert num_helpers() == before + 1

    del sim
    gc.collect()
    wait_for_helpers(before)


def test_helpers_that_never_come_are_not_waited_for() -> None:
    """As in a process that was forked: what they are given to do does not pile up."""
    sim, alone = begun(128, 2), begun(128, 1)
    nobody: SimpleQueue[object] = SimpleQueue()
    assert sim._threads is not None
    sim._threads._queues = [nobody]  # type: ignore[list-item]

    assert play(sim, 5) == play(alone, 5)
    assert nobody.qsize() == 1


def test_a_masked_action_moves_nobody() -> None:
    sim = begun(128, 2)
    before = frozen(sim.obs)
    actions = np.zeros(128, np.int64)
    actions[100] = sim.slots  # waiting is not offered

    with pytest.raises(InfeasibleDecisionError, match="environment 100"):
        sim.step(actions)
    assert frozen(sim.obs) == before
    sim.close()


def test_a_batch_travels_without_its_helpers() -> None:
    sim = begun(128, 2)
    play(sim, 3)

    other = pickle.loads(pickle.dumps(sim))

    assert play(other, 10) == play(sim, 10)
    sim.close()
    other.close()
