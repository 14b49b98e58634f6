"""The plain Python environment that speeds are compared with obeys the same rules."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.simulator.plain import PlainEnvironment
from benchmarks.simulator.sizes import Size

SMALL = (Size("window", 8, 4, 16, 48, 1), Size("gangs", 64, 6, 16, 48, 5))


@pytest.mark.parametrize("size", SMALL, ids=lambda size: size.name)
def test_it_takes_the_same_steps_as_the_compiled_one(size: Size) -> None:
    tasks, run_us, _ = size.work()
    plain = PlainEnvironment(tasks, run_us, size.nodes, size.cores, size.slots)
    compiled, rng, crowded = size.simulator(1), np.random.default_rng(0), False
    for first in (0, 700, 2500):
        compiled.reset(0, first)
        observed, over = plain.reset(first, size.episode_tasks), False
        while not over:
            obs = compiled.obs
            shown = int(obs.action_mask[0].sum())
            crowded |= len(plain.pending) > size.slots
            expected = [*obs.tasks[0, :shown], *obs.nodes[0], obs.cluster[0]]
            assert len(observed) == len(expected)
            for ours, theirs in zip(observed, expected, strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)
            slot = int(rng.integers(shown))
            observed, reward, over = plain.step(slot)
            compiled.step([slot])
            assert over == bool(compiled.terminated[0])
            assert reward == pytest.approx(float(compiled.rewards[0]), rel=1e-9, abs=1e-12)
    assert crowded or size.slots > size.episode_tasks
