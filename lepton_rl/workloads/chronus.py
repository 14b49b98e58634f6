"""Chronus: Philly-derived training jobs with hard and soft deadlines.

Source: `code/data/exp/` of S-Lab-System-Group/ChronusArtifact; Gao et al., "Chronus: a novel
deadline-aware scheduler for deep learning training jobs", SoCC 2021. Times are in units of that
simulator; one unit is taken for `unit_s` seconds.

    demand           n GPUs, more than `cards_per_node` as a gang of whole nodes; jobs of no GPU are
                     dropped
    submit, run      submit_time, duration
    requested time   the run time: the trace has no estimates
    deadline         job_type strict: submit_time + expect_time_list; soft: the first entry of the
                     list, up to which the job has its full value (the values after it, from
                     expect_value_list, are not kept); best: none
    tenant           user
    task class       model_name

The trace names no machine. It asks for 1,100 cards at a time on average; the default of 160 nodes
of 8 cards makes that a load of 0.86 (SLO) or 0.88 (MIX2).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lepton_rl.core.errors import WorkloadError
from lepton_rl.workloads.csv_table import CsvTable, number, read_csv, text, whole
from lepton_rl.workloads.gpu_pools import GpuPoolSettings, gang_demand, gpu_pool
from lepton_rl.workloads.task_columns import TaskColumns, build_workload, count
from lepton_rl.workloads.text_file import stem_of
from lepton_rl.workloads.workload import Workload

__all__ = ["COLUMNS", "ChronusSettings", "read_chronus"]

COLUMNS = (
    text("job_id"), text("user"), whole("num_gpu"), number("submit_time"), number("duration"),
    text("model_name"), text("expect_time_list"), text("job_type"),
)  # fmt: skip

_TYPES = ("strict", "soft", "best")


class ChronusSettings(GpuPoolSettings):
    """Settings of a Chronus trace.

    Attributes:
        unit_s: seconds in one time unit of the trace.
    """

    nodes: int = Field(default=160, ge=1, le=1_000_000)
    unit_s: float = Field(default=1.0, gt=0, le=1e5)


def read_chronus(path: Path, settings: ChronusSettings) -> Workload:
    """Read a trace.

    Raises:
        InputFileError: the file cannot be opened.
        WorkloadError: it is malformed (line and field are named).
    """
    table = read_csv(path, COLUMNS)
    skipped: dict[str, int] = {}
    demand, replicas = gang_demand(table["num_gpu"], settings.cards_per_node, skipped)
    columns = TaskColumns(
        ids=table["job_id"],
        submit_s=table["submit_time"] * settings.unit_s,
        run_s=table["duration"] * settings.unit_s,
        demand=demand,
        replicas=replicas,
        tenants=table["user"],
        task_classes=table["model_name"],
        deadlines_s=_deadlines(table) * settings.unit_s,
    )
    has_gpu = table["num_gpu"] > 0
    count(skipped, "asks for no GPU: dropped", ~has_gpu)
    return build_workload(stem_of(path), gpu_pool(settings), columns.take(has_gpu), skipped)


def _deadlines(table: CsvTable) -> NDArray[np.float64]:
    """In time units on the clock of submit_time; inf for best-effort jobs."""
    lines = zip(table["job_type"].tolist(), table["expect_time_list"].tolist(), strict=True)
    relative = [_relative(table, line, *each) for line, each in enumerate(lines, start=2)]
    deadlines: NDArray[np.float64] = table["submit_time"] + np.array(relative)
    return deadlines


def _relative(table: CsvTable, line: int, job_type: str, times: str) -> float:
    if job_type not in _TYPES:
        raise WorkloadError(
            f"{table.path}, line {line}: field 'job_type' must be one of {', '.join(_TYPES)}, got"
            f" {job_type!r}; correct or remove the line"
        )
    first = times.split("-")[0]
    if not first.replace(".", "", 1).isdecimal() or len(first) > 12:
        raise WorkloadError(
            f"{table.path}, line {line}: field 'expect_time_list' must be times joined by '-', got"
            f" {times!r}; correct or remove the line"
        )
    return np.inf if job_type == "best" else float(first)
