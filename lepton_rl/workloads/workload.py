"""Workload: a cluster and the tasks that arrive at it, as arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from numbers import Integral
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.checks import shown
from lepton_rl.core.clock import to_us
from lepton_rl.core.errors import WorkloadError
from lepton_rl.core.intake import Intake, empty_tasks
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.tables import NEVER_US, Records, task_dtype
from lepton_rl.core.tasks import Task
from lepton_rl.workloads.record_codes import write_codes

__all__ = ["OPTIONAL", "Workload"]

OPTIONAL = ("tenants", "waits_us", "task_classes")
"""Arrays that a source may not have."""


@dataclass(frozen=True, eq=False)
class Workload:
    """Tasks in order of arrival, with the truth about them, and the cluster they are meant for.

    Two workloads are equal only if they are the same object; compare their arrays instead.

    Attributes:
        name: for tables and messages.
        cluster: the cluster whose resource kinds `tasks.demand` is measured in.
        tasks: `(N,)` what a scheduler may know, one record a task, by submit time.
        run_us: `(N,)` true run times in us, > 0; for the simulator only.
        ids: `(N,)` the tasks' names.
        skipped: reason -> how many records of the source were left out, or changed, for it.
        tenants: `(N,)` who submitted each task, '' where unknown; None if the source never says.
        waits_us: `(N,)` waits in us that the source recorded on the real machine, -1 where
            unknown; None if it never says. Only predictors use them, to learn a run time no
            earlier than the task ended.
        task_classes: `(N,)` what kind of work each task is (`Node.speed_factors` names classes),
            '' where unknown; None if the source never says.

    Raises:
        WorkloadError: no task, arrays of unlike lengths or of other types, a time that is not
            above 0, or tasks that are not in order.
    """

    name: str
    cluster: Cluster
    tasks: Records
    run_us: NDArray[np.int64]
    ids: NDArray[np.str_]
    skipped: Mapping[str, int] = field(default_factory=dict)
    tenants: NDArray[np.str_] | None = None
    waits_us: NDArray[np.int64] | None = None
    task_classes: NDArray[np.str_] | None = None

    def __post_init__(self) -> None:
        self._check_arrays()
        if len(self.run_us) == 0:
            raise WorkloadError(f"{self.name}: expected at least one task, got none")
        if (self.run_us <= 0).any() or (self.tasks["requested_us"] <= 0).any():
            raise WorkloadError(f"{self.name}: run times and requested times must be > 0")
        if (np.diff(self.tasks["submit_us"]) < 0).any():
            raise WorkloadError(f"{self.name}: tasks must be in order of their submit times")
        object.__setattr__(self, "skipped", MappingProxyType(dict(self.skipped)))

    def _check_arrays(self) -> None:
        """Compiled code reads them without looking, so they must be what it takes them for."""
        expected = task_dtype(len(self.cluster.schema.kinds)), np.dtype(np.int64)
        if (self.tasks.dtype, self.run_us.dtype) != expected:
            raise WorkloadError(
                f"{self.name}: expected tasks written for its cluster of"
                f" {len(self.cluster.schema.kinds)} resource kinds and run_us of int64, got"
                f" {self.tasks.dtype} and {self.run_us.dtype}"
            )
        if self.tasks["demand"][:, len(self.cluster.schema.kinds) :].any():
            raise WorkloadError(
                f"{self.name}: expected tasks written for its cluster of"
                f" {len(self.cluster.schema.kinds)} resource kinds, got some that ask for more"
            )
        for name in ("run_us", "tasks", "ids", *OPTIONAL):
            values = getattr(self, name)
            if values is not None and values.shape != (len(self.run_us),):
                raise WorkloadError(
                    f"{self.name}: {name} must have one entry a task, {len(self.run_us)}, got the"
                    f" shape {values.shape}"
                )

    def __len__(self) -> int:
        return len(self.run_us)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy by building it again, because a mapping proxy can do neither."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        values["skipped"] = dict(self.skipped)
        return Workload, tuple(values.values())

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
        ids, tenants, classes = (
            np.array([getattr(task, field) for task in ordered], np.str_)
            for field in ("id", "tenant", "task_class")
        )
        return cls(name, cluster, table, run_us, ids, tenants=tenants, task_classes=classes)

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
        tenants: NDArray[np.str_] | None = None,
        waits_us: NDArray[np.int64] | None = None,
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
            skipped: see the class; so are the others.
            tenants: `(N,)`.
            waits_us: `(N,)`.
        """
        cluster = Cluster.pool(processors)
        tasks = empty_tasks(len(size), len(cluster.schema.kinds))
        tasks["submit_us"] = to_us(submit_s)
        tasks["requested_us"] = tasks["limit_us"] = np.maximum(1, to_us(requested_s))
        tasks["demand"][:, 0] = size * cluster.schema.kinds[0].units_per
        tasks["size"] = size
        write_codes(tasks, cluster, tenants, None)
        run_us = np.maximum(1, to_us(run_s))
        return cls(name, cluster, tasks, run_us, ids, skipped or {}, tenants, waits_us)

    @property
    def demand_units(self) -> NDArray[np.int64]:
        """`(N, K)` integer units that a replica of each task asks for, of each kind."""
        demand: NDArray[np.int64] = self.tasks["demand"][:, : len(self.cluster.schema.kinds)]
        return demand

    @property
    def deadlines_us(self) -> NDArray[np.int64] | None:
        """`(N,)` deadlines in us on the clock of the submit times, -1 for none; None if all are."""
        deadlines_us: NDArray[np.int64] = self.tasks["deadline_us"]
        has_one = deadlines_us != NEVER_US
        return np.where(has_one, deadlines_us, -1) if has_one.any() else None

    @property
    def user_requested_us(self) -> NDArray[np.int64] | None:
        """`(N,)` requested times of the users in us, where `tasks` has predictions; else None."""
        limits_us: NDArray[np.int64] = self.tasks["limit_us"]
        return limits_us if (limits_us != self.tasks["requested_us"]).any() else None

    def check_feasible(self) -> None:
        """Refuse tasks that could never start on the cluster.

        Raises:
            InfeasibleTaskError: names the first such task, its demand and the largest node.
        """
        Intake(self.cluster).require_all_feasible(self.tasks, self.ids)

    def window(self, start: int, length: int) -> Workload:
        """Tasks `start .. start + length - 1`, submit times unchanged.

        Raises:
            WorkloadError: the window does not lie within the workload.
        """
        whole = all(isinstance(n, Integral) and not isinstance(n, bool) for n in (start, length))
        if not (whole and start >= 0 and length > 0 and start + length <= len(self)):
            raise WorkloadError(
                f"{self.name}: expected a window within its {len(self)} tasks (start >= 0,"
                f" length >= 1, start + length <= {len(self)}), got start {shown(start)} and"
                f" length {shown(length)}"
            )
        rows = slice(start, start + length)
        optional = {name: getattr(self, name) for name in OPTIONAL}
        taken: dict[str, Any] = {
            name: None if values is None else values[rows] for name, values in optional.items()
        }
        return replace(
            self,
            name=f"{self.name}[{start}:{start + length}]",
            tasks=self.tasks[rows],
            run_us=self.run_us[rows],
            ids=self.ids[rows],
            skipped={},
            **taken,
        )
