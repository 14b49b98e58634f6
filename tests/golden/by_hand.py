"""Whole schedules of a few tasks, for tests that work them out by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from lepton_rl.core.nodes import Cluster
from lepton_rl.core.tasks import Task
from lepton_rl.system import TaskRecord
from lepton_rl.workloads.workload import Workload
from tests.differential.both_ways import compare

MICRO = 1_000_000


def task(
    name: str, cores: float, run_s: float, *, at: float = 0, estimate_s: float = 0, **more: object
) -> Task:
    """A task submitted `at`, whose estimate is right unless told."""
    demand = {"cpu": cores, **more.pop("demand", {})}  # type: ignore[dict-item]
    return Task(
        name,
        demand,
        requested_time_s=estimate_s or run_s,
        submit_time_s=at,
        run_time_s=run_s,
        **more,  # type: ignore[arg-type]
    )


def run(
    cluster: Cluster,
    tasks: Sequence[Task],
    spec: str,
    predicted_s: dict[str, float] | None = None,
) -> dict[str, TaskRecord]:
    """What happens to each task, in the system and in the simulator alike."""
    work = Workload.from_tasks("by hand", cluster, tasks)
    if predicted_s:
        records = work.tasks.copy()
        for name, seconds in predicted_s.items():
            records["requested_us"][work.ids == name] = round(seconds * MICRO)
        work = replace(work, tasks=records)
    return {record.task_id: record for record in compare(work, spec).records}


def starts_s(records: dict[str, TaskRecord]) -> dict[str, float]:
    """When each task first started."""
    first = {name: record.first_start_us for name, record in records.items()}
    assert None not in first.values()
    return {name: float(np.float64(us) / MICRO) for name, us in first.items() if us is not None}


def node_of(records: dict[str, TaskRecord], name: str) -> int:
    """The node of a task of one replica."""
    (node,) = records[name].nodes
    return node
