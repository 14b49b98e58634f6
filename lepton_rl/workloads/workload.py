"""Workload: a cluster and the tasks that arrive at it, as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.clock import to_us
from lepton_rl.core.errors import WorkloadError
from lepton_rl.core.intake import Intake, empty_tasks
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.tables import Records
from lepton_rl.core.tasks import Task

__all__ = ["Workload"]


@dataclass(frozen=True)
class Workload:
    """Tasks in order of arrival, with the truth about them, and the cluster they are meant for.

    Attributes:
        name: for tables and messages.
        cluster: the cluster whose resource kinds `tasks.demand` is measured in.
        tasks: what a scheduler may know, one row a task, by submit time.
        run_us: `(N,)` true run times in us, > 0; for the simulator only.
        ids: `(N,)` the tasks' names.
        skipped: reason -> how many records of the source were left out, or changed, for it.
    """

    name: str
    cluster: Cluster
    tasks: Records
    run_us: NDArray[np.int64]
    ids: NDArray[np.str_]
    skipped: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.run_us) == 0:
            raise WorkloadError(f"{self.name}: expected at least one task, got none")
        if (self.run_us <= 0).any() or (self.tasks["requested_us"] <= 0).any():
            raise WorkloadError(f"{self.name}: run times and requested times must be > 0")
        if (np.diff(self.tasks["submit_us"]) < 0).any():
            raise WorkloadError(f"{self.name}: tasks must be in order of their submit times")
        object.__setattr__(self, "skipped", MappingProxyType(dict(self.skipped)))

    def __len__(self) -> int:
        return len(self.run_us)

    @classmethod
    def from_tasks(cls, name: str, cluster: Cluster, tasks: Sequence[Task]) -> Workload:
        """Describe `tasks` (each with its `run_time_s`) for `cluster`, by submit time.

        Raises:
            WorkloadError: no tasks, or one without a run time.
            InfeasibleTaskError: a task that the cluster can never hold.
        """
        ordered = sorted(tasks, key=lambda task: task.submit_time_s)
        for task in ordered:
            if task.run_time_s is None:
                raise WorkloadError(f"{name}: task {task.id!r} needs run_time_s to be simulated")
        table = Intake(cluster).table(ordered)
        run_us = np.maximum(1, to_us([task.run_time_s or 0.0 for task in ordered]))
        return cls(name, cluster, table, run_us, np.array([task.id for task in ordered], np.str_))

    @classmethod
    def on_pool(
        cls,
        name: str,
        processors: int,
        *,
        submit_s: NDArray[np.float64],
        requested_s: NDArray[np.float64],
        run_s: NDArray[np.float64],
        size: NDArray[np.int64],
        ids: NDArray[np.str_],
        skipped: Mapping[str, int] | None = None,
    ) -> Workload:
        """Rigid tasks on one pool of processors, as batch-queue logs have them.

        Args:
            name: of the workload.
            processors: size of the pool.
            submit_s: `(N,)` submit times in s, ascending.
            requested_s: `(N,)` requested times in s; at least 1 us each is kept.
            run_s: `(N,)` true run times in s; at least 1 us each is kept.
            size: `(N,)` processors each task asks for.
            ids: `(N,)` names.
            skipped: see the class.
        """
        cluster = Cluster.pool(processors)
        tasks = empty_tasks(len(size), len(cluster.schema.kinds))
        tasks["submit_us"] = to_us(submit_s)
        tasks["requested_us"] = np.maximum(1, to_us(requested_s))
        tasks["demand"][:, 0] = size * cluster.schema.kinds[0].units_per
        tasks["size"] = size
        return cls(name, cluster, tasks, np.maximum(1, to_us(run_s)), ids, skipped or {})

    def check_feasible(self, cluster: Cluster | None = None) -> None:
        """Refuse tasks that could never start on `cluster` (default: the workload's own).

        Raises:
            InfeasibleTaskError: names the first such task, its demand and the largest node.
        """
        intake = Intake(cluster or self.cluster)
        for row in range(len(self)):
            intake.require_feasible(self.tasks, row, str(self.ids[row]))

    def window(self, start: int, length: int) -> Workload:
        """Tasks `start .. start + length - 1`, submit times unchanged.

        Raises:
            WorkloadError: the window does not lie within the workload.
        """
        if not (start >= 0 and length > 0 and start + length <= len(self)):
            raise WorkloadError(
                f"{self.name}: window {start}..{start + length - 1} must lie within the"
                f" {len(self)} tasks 0..{len(self) - 1}"
            )
        rows = slice(start, start + length)
        return replace(
            self,
            name=f"{self.name}[{start}:{start + length}]",
            tasks=self.tasks[rows],
            run_us=self.run_us[rows],
            ids=self.ids[rows],
            skipped={},
        )
