"""Muri: training jobs with Philly's arrivals, durations and GPU counts, and a model assigned.

Source: `simulator/trace-data/` of Rivendile/Muri; Zhao et al., "Multi-resource interleaving for
deep learning training", SIGCOMM 2022. Times of the file are in ms.

    demand           n GPUs, more than `cards_per_node` as a gang of whole nodes
    submit time      submit_time
    run time         duration (= iterations x iteration_time, rounded up to 1 s)
    requested time   the run time: the trace has no estimates
    task class       model_name
    urgency          priority (0 or 1)

The time an iteration spends on each of three resources (resource_time_0..2) says how well jobs
interleave on shared cards. Nothing here shares cards so; it is not read. The default of 8 nodes of
8 cards is Muri's own testbed, on which the two public traces offer loads of 2.0 and 5.4: the paper
is about overload. For a load of 0.8 set `nodes: 20` (trace1) or `nodes: 54` (trace2).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from lepton_rl.workloads.csv_table import number, read_csv, text, whole
from lepton_rl.workloads.gpu_pools import GpuPoolSettings, gang_demand, gpu_pool
from lepton_rl.workloads.task_columns import TaskColumns, build_workload
from lepton_rl.workloads.text_file import stem_of
from lepton_rl.workloads.workload import Workload

__all__ = ["COLUMNS", "MuriSettings", "read_muri"]

_MOST_MS = 1e14
_MS_PER_S = 1000

COLUMNS = (
    text("job_id"), whole("num_gpu", least=1), number("submit_time", most=_MOST_MS),
    text("model_name"), number("duration", most=_MOST_MS), number("resource_time_0"),
    number("priority"),
)  # fmt: skip


class MuriSettings(GpuPoolSettings):
    """Settings of a Muri trace."""

    nodes: int = Field(default=8, ge=1, le=1_000_000)


def read_muri(path: Path, settings: MuriSettings) -> Workload:
    """Read a trace; raises `InputFileError` or `WorkloadError` as `read_csv` does."""
    table = read_csv(path, COLUMNS)
    skipped: dict[str, int] = {}
    demand, replicas = gang_demand(table["num_gpu"], settings.cards_per_node, skipped)
    columns = TaskColumns(
        ids=table["job_id"],
        submit_s=table["submit_time"] / _MS_PER_S,
        run_s=table["duration"] / _MS_PER_S,
        demand=demand,
        replicas=replicas,
        task_classes=table["model_name"],
        urgency=table["priority"].astype(np.float64),
    )
    return build_workload(stem_of(path), gpu_pool(settings), columns, skipped)
