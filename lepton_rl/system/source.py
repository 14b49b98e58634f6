"""Tasks from wherever they are described: a list, or a workload's records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.intake import Intake
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.tables import Ints, Records
from lepton_rl.core.tasks import Task

__all__ = ["RecordedTasks", "estimates_of", "tasks_from"]


@runtime_checkable
class RecordedTasks(Protocol):
    """What a `lepton_rl.workloads.workload.Workload` offers."""

    @property
    def cluster(self) -> Cluster:
        """The cluster whose kinds, labels and models `tasks` is written for."""
        ...

    @property
    def tasks(self) -> Records:
        """One record a task, `(N,)`."""
        ...

    @property
    def run_us(self) -> Ints:
        """True run times in us, `(N,)`."""
        ...

    @property
    def ids(self) -> NDArray[np.str_]:
        """Names, `(N,)`."""
        ...

    @property
    def tenants(self) -> NDArray[np.str_] | None:
        """Who submitted each task, `(N,)`, '' where unknown; None if nobody says."""
        ...


def tasks_from(source: RecordedTasks | Iterable[Task]) -> Iterator[Task]:
    """The tasks of `source`, in its order, as their users submitted them."""
    if not isinstance(source, RecordedTasks):
        yield from source
        return
    intake = Intake(source.cluster, _tenant_numbers(source))
    for row, (task_id, run_us) in enumerate(zip(source.ids, source.run_us, strict=True)):
        task = intake.describe(source.tasks, row, str(task_id), int(run_us))
        tenant = "" if source.tenants is None else str(source.tenants[row])
        yield task if task.tenant == tenant else replace(task, tenant=tenant)


def _tenant_numbers(source: RecordedTasks) -> dict[str, int]:
    """Tenant -> its number in the records of the first of its tasks."""
    if source.tenants is None:
        return {}
    names, first = np.unique(source.tenants, return_index=True)
    numbers = source.tasks["tenant"][first]
    return dict(zip(names.tolist(), numbers.tolist(), strict=True))


def estimates_of(source: RecordedTasks | Iterable[Task]) -> dict[str, int]:
    """Task -> predicted run time in us, where `source` has predictions."""
    if not isinstance(source, RecordedTasks):
        return {}
    predicted = source.tasks["requested_us"] != source.tasks["limit_us"]
    ids, estimates_us = source.ids[predicted], source.tasks["requested_us"][predicted]
    return dict(zip(ids.tolist(), estimates_us.tolist(), strict=True))
