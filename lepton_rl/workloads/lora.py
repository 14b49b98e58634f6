"""LoRA: image-generation requests of a diffusion service with their execution times (Alibaba).

Source: cluster-trace-v2026-GenAI of alibaba/clusterdata.

    submit time      gmt_create, in s since the first
    run time         exec_time_seconds; requests that never executed (0 s, still pending when the
                     trace was taken) are dropped; failed ones are kept, they held a GPU
    requested time   the run time: the trace has no estimates
    demand           one GPU
    tenant, class    groupId (user group), predict_type (TXT_2_IMG, ...)
    id               line of the file

The trace names no machine, and keeps 0.39 GPUs busy on average. The default is one node of one
card; requests come in bursts, so they wait.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from lepton_rl.core.resources import CARD
from lepton_rl.workloads.csv_table import moment, number, read_csv, text
from lepton_rl.workloads.gpu_pools import GpuPoolSettings, gpu_pool
from lepton_rl.workloads.task_columns import TaskColumns, build_workload, count
from lepton_rl.workloads.text_file import stem_of
from lepton_rl.workloads.workload import Workload

__all__ = ["COLUMNS", "LoraSettings", "read_lora"]

COLUMNS = (
    moment("gmt_create"), text("predict_type"), number("exec_time_seconds", empty=0.0),
    text("groupId"),
)  # fmt: skip


class LoraSettings(GpuPoolSettings):
    """Settings of a LoRA trace."""

    nodes: int = Field(default=1, ge=1, le=1_000_000)
    cards_per_node: int = Field(default=1, ge=1, le=63)


def read_lora(path: Path, settings: LoraSettings) -> Workload:
    """Read a trace; raises `InputFileError` or `WorkloadError` as `read_csv` does."""
    table = read_csv(path, COLUMNS)
    skipped: dict[str, int] = {}
    executed = table["exec_time_seconds"] > 0
    count(skipped, "never executed: dropped", ~executed)
    columns = TaskColumns(
        ids=np.arange(2, len(table) + 2).astype(np.str_),
        submit_s=table["gmt_create"] - table["gmt_create"].min(),
        run_s=table["exec_time_seconds"],
        demand={"gpu": np.full(len(table), CARD, np.int64)},
        tenants=table["groupId"],
        task_classes=table["predict_type"],
    )
    return build_workload(stem_of(path), gpu_pool(settings), columns.take(executed), skipped)
