"""Where episodes begin: windows of one split of a workload, drawn at random."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lepton_rl.envs.config import EnvironmentConfig, WorkloadConfig
from lepton_rl.sim.batch import BatchSimulator
from lepton_rl.workloads.sources import open_workload
from lepton_rl.workloads.splits import Split, split_windows
from lepton_rl.workloads.workload import Workload

__all__ = ["Episodes", "load_workload"]


def load_workload(config: WorkloadConfig) -> Workload:
    """Read or generate the workload and refuse one that its cluster cannot run.

    Raises:
        LeptonError: see `open_workload` and `Workload.check_feasible`.
    """
    workload = open_workload(
        config.source, processors=config.processors, seed=config.seed, settings=config.settings
    )
    workload.check_feasible()
    return workload


@dataclass(frozen=True, slots=True)
class Episodes:
    """Windows of one split.

    Attributes:
        workload: the whole workload; its task table is shared by all environments.
        split: rows to draw from.
        length: tasks of an episode.
    """

    workload: Workload
    split: Split
    length: int

    @classmethod
    def of(cls, config: EnvironmentConfig, workload: Workload | None = None) -> Episodes:
        """Episodes as configured; `workload` spares reading it again.

        Raises:
            WorkloadError: a split is shorter than an episode.
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
        )
