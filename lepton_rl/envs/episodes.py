"""Where episodes begin: windows of one split of a workload, drawn at random."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import numpy as np

from lepton_rl.core.checks import shown
from lepton_rl.core.errors import ConfigError, WorkloadError
from lepton_rl.core.settings import require_mapping
from lepton_rl.envs.config import EnvironmentConfig, WorkloadConfig
from lepton_rl.prediction.online import predicted_workload
from lepton_rl.sim.batch import BatchSimulator
from lepton_rl.workloads.sources import open_workload
from lepton_rl.workloads.splits import Split, split_windows
from lepton_rl.workloads.workload import Workload

__all__ = ["Episodes", "load_workload"]


def load_workload(config: WorkloadConfig) -> Workload:
    """Read or generate the workload and refuse one that its cluster cannot run.

    Where predictions are configured, they are in the place of the requested times. They are made
    over the whole workload, so the windows of every split have the history from before them.

    Raises:
        LeptonError: see `open_workload`, `Workload.check_feasible` and `predicted_workload`.
    """
    workload = open_workload(
        config.source, processors=config.processors, seed=config.seed, settings=config.settings
    )
    workload.check_feasible()
    return predicted_workload(workload, config.prediction)


@dataclass(frozen=True, slots=True)
class Episodes:
    """Windows of one split.

    Attributes:
        workload: the whole workload; its task table is shared by all environments.
        split: rows to draw from.
        length: tasks of an episode (>= 1).

    Raises:
        WorkloadError: the split does not lie within the workload, or is shorter than an episode.
        InfeasibleTaskError: a task could never start, so its episode would never end.
    """

    workload: Workload
    split: Split
    length: int

    def __post_init__(self) -> None:
        if not (self.split.last < len(self.workload) and 1 <= self.length <= len(self.split)):
            raise WorkloadError(
                f"{self.workload.name}: expected episodes of at least one task within split"
                f" {self.split.name!r} ({self.split.first}..{self.split.last}) of its"
                f" {len(self.workload)} tasks, got episodes of {self.length}"
            )
        self.workload.check_feasible()

    @classmethod
    def of(cls, config: EnvironmentConfig, workload: Workload | None = None) -> Episodes:
        """Episodes as configured; `workload` spares reading it again.

        Raises:
            LeptonError: see `load_workload` and `split_windows`.
        """
        whole = workload if workload is not None else load_workload(config.workload)
        splits = split_windows(
            len(whole), config.episode_tasks, config.workload.train, config.workload.validation
        )
        split = next(each for each in splits if each.name == config.split)
        return cls(whole, split, config.episode_tasks)

    def draw(self, rng: np.random.Generator) -> int:
        """First row of a window that lies within the split, uniformly."""
        return int(rng.integers(self.split.first, self.split.last - self.length + 2))

    def begin(
        self, options: Mapping[str, Any] | None, rngs: Sequence[np.random.Generator]
    ) -> list[int]:
        """First row of the next episode of each environment.

        Args:
            options: of `reset`. `first_row`, one task for all environments or a sequence with one
                each, begins there, be it outside the split; without it windows are drawn.
            rngs: of the environments.

        Raises:
            ConfigError: an unknown option, or no whole episode begins there.
        """
        given = require_mapping({} if options is None else options, "reset options", {"first_row"})
        rows = given.get("first_row")
        if rows is None:
            return [self.draw(rng) for rng in rngs]
        if not isinstance(rows, list | tuple | np.ndarray):
            rows = [rows] * len(rngs)
        last = len(self.workload) - self.length
        whole = all(isinstance(row, Integral) and not isinstance(row, bool) for row in rows)
        if not (whole and len(rows) == len(rngs) and all(0 <= row <= last for row in rows)):
            raise ConfigError(
                f"reset options: first_row must be a task in 0..{last}, or one for each of"
                f" {len(rngs)} environments, got {shown(given['first_row'])}"
            )
        return [int(row) for row in rows]

    def simulator(self, config: EnvironmentConfig, batch: int) -> BatchSimulator:
        """`batch` environments over these windows; none has begun."""
        return BatchSimulator(
            self.workload.tasks,
            self.workload.run_us,
            self.workload.cluster,
            batch=batch,
            episode_tasks=self.length,
            slots=config.slots,
            rule=config.rule(),
            num_threads=config.num_threads,
            long_waits=(config.wait_weight, config.wait_power),
            weights=config.weights(),
        )
