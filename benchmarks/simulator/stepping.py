"""Steps of batches beside the memcpy bound: copying what one step hands out, and nothing else."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.simulator.sizes import Size
from benchmarks.simulator.timing import in_turn

__all__ = ["Stepped", "measure_steps"]


class Stepped:
    """A batch that takes steps first come, first served; whoever ends begins again.

    The time of a reset is part of the time of a step, as it is in training.
    """

    def __init__(self, size: Size, batch: int, num_threads: int) -> None:
        self.simulator = size.simulator(batch, num_threads)
        self._starts = np.random.default_rng(1).integers(4096 - size.episode_tasks + 1, size=4096)
        self._begun = 0
        self._oldest = np.zeros(batch, np.int64)
        self.steps, self.ends, self.shown = 0, 0, 0.0
        for b in range(batch):
            self._begin(b)
        self.first = self.simulator.obs.tasks.copy()

    def _begin(self, b: int) -> None:
        self.simulator.reset(b, self._starts.item(self._begun % len(self._starts)))
        self._begun += 1

    def __call__(self) -> None:
        """One step of all environments."""
        self.simulator.step(self._oldest)
        self.steps += 1
        if self.simulator.terminated.any():
            for b in np.flatnonzero(self.simulator.terminated).tolist():
                self._begin(b)
                self.ends += 1

    def require_progress(self) -> None:
        """Whoever measures something that stands still must not report it."""
        assert not np.array_equal(self.first, self.simulator.obs.tasks), "nothing has changed"
        enough = self.steps > 3 * self.simulator.episode_tasks
        assert self.ends > 0 or not enough, "no episode has ended"

    def shown_share(self) -> float:
        """Share of the task slots that are in use now, 0 to 1."""
        return float(self.simulator.obs.action_mask[:, :-1].mean())


def memcpy_of(stepped: Stepped) -> Any:
    """A function that copies the observation and mask of every environment once."""
    source = stepped.simulator.obs[:4]
    target = [np.empty_like(each) for each in source]

    def copy() -> None:
        for to, origin in zip(target, source, strict=True):
            np.copyto(to, origin)

    return copy


def measure_steps(size: Size, batch: int, patience_s: float) -> dict[str, Any]:
    """Steps a second with 1 and 2 threads, and of the memcpy bound, taken in turn."""
    one, two = Stepped(size, batch, 1), Stepped(size, batch, 2)
    for _ in range(max(2, min(size.episode_tasks, 20_000 // batch))):
        one()
        two()
    things = {"one": one, "two": two, "memcpy": memcpy_of(one)}
    times = in_turn(things, patience_s)
    one.require_progress()
    two.require_progress()
    return {
        "size": size.name,
        "batch": batch,
        "slots_in_use": one.shown_share(),
        "steps_per_s": batch / times["one"].median,
        "best_steps_per_s": batch / times["one"].best,
        "two_threads_steps_per_s": batch / times["two"].median,
        "memcpy_per_s": batch / times["memcpy"].median,
        "share_of_memcpy": 1 / times["one"].over(times["memcpy"]),
        "two_threads_over_one": times["one"].over(times["two"]),
        "episodes_ended": one.ends,
    }
