"""Philly: training jobs of a GPU cluster at Microsoft, 2017, as `philly.csv` of ElasticFlow.

Source: Jeon et al., "Analysis of large-scale multi-tenant GPU clusters for DNN training workloads",
ATC 2019; the file is `pollux/pollux_simulator/traces/philly.csv` of pkusys/ElasticFlow.

    timestamp   submit time, local time of the cluster; rows are in no order
    duration    run time in s
    num_gpus    whole GPUs
    gpu_time    duration x num_gpus, not read
    cluster     virtual cluster

A row becomes one task:

    demand           n GPUs on one node where n <= `cards_per_node`; else a gang of whole nodes,
                     ceil(n / cards_per_node) replicas of `cards_per_node` GPUs each. A job that is
                     rounded up so (12 GPUs to 2 x 8) is counted as changed.
    submit time      seconds since the first submit of the file
    requested time   the run time: the trace has no estimates
    tenant           virtual cluster
    id               line of the file: jobs have no names

The machine is a pool of `nodes` equal nodes with `cards_per_node` GPUs and nothing else, since the
trace says nothing of cpu and memory. The default of 420 nodes is what `philly_node_sequence.csv`
(HeliosArtifact) has in 102,704 of its 105,644 minutes. On so many nodes of 8 cards this list, which
is a part of what ran there, offers a load of 0.11 and nothing waits; with `nodes: 60` it is 0.8.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from lepton_rl.workloads.csv_table import moment, number, read_csv, text, whole
from lepton_rl.workloads.gpu_pools import GpuPoolSettings, gang_demand, gpu_pool
from lepton_rl.workloads.task_columns import TaskColumns, build_workload
from lepton_rl.workloads.text_file import stem_of
from lepton_rl.workloads.workload import Workload

__all__ = ["PhillySettings", "read_philly"]

COLUMNS = (moment("timestamp"), number("duration"), whole("num_gpus", least=1), text("cluster"))


class PhillySettings(GpuPoolSettings):
    """Settings of a Philly job list; see the module for the default."""

    nodes: int = Field(default=420, ge=1, le=1_000_000)


def read_philly(path: Path, settings: PhillySettings) -> Workload:
    """Read a job list.

    Args:
        path: the list, plain or gzip.
        settings: size of the pool.

    Raises:
        InputFileError: the file cannot be opened.
        WorkloadError: it is malformed (line and field are named).
    """
    table = read_csv(path, COLUMNS)
    skipped: dict[str, int] = {}
    demand, replicas = gang_demand(table["num_gpus"], settings.cards_per_node, skipped)
    columns = TaskColumns(
        ids=np.arange(2, len(table) + 2).astype(np.str_),
        submit_s=table["timestamp"] - table["timestamp"].min(),
        run_s=table["duration"],
        demand=demand,
        replicas=replicas,
        tenants=table["cluster"],
    )
    return build_workload(stem_of(path), gpu_pool(settings), columns, skipped)
