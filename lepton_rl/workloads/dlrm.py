"""DLRM: long-running inference instances of recommendation models, with many resources (Alibaba).

Source: cluster-trace-gpu-v2025 of alibaba/clusterdata; Yang et al., "GPU-disaggregated serving for
deep learning recommendation models at scale", NSDI 2025.

    demand           *_request: cpu (vCPU), memory (GiB), disk (GiB), rdma (% of a NIC), gpu (cards)
    required label   role: CN instances run on CPU nodes, HN instances on GPU nodes
    submit time      creation_time, s; empty (it was there before the trace began): 0
    run time         deletion_time - creation_time; deletion_time empty (it outlives the trace):
                     `end_s`
    requested time   the run time: instances have no end that anybody knows beforehand, so policies
                     that order by it see more than they could
    recorded wait    scheduled_time - creation_time
    tenant, class    app_name, role

max_instance_per_node, the most instances of an app on a node, is not represented; instances that
have one are counted. The trace names no machine: the default nodes are round figures that hold the
largest instance of their role, and just more of them than its busiest moment needs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.resources import CARD, DEFAULT_SCHEMA, ResourceKind, ResourceSchema
from lepton_rl.core.settings import Settings
from lepton_rl.workloads.csv_table import CsvTable, number, read_csv, text, whole
from lepton_rl.workloads.task_columns import TaskColumns, build_workload, count
from lepton_rl.workloads.text_file import stem_of
from lepton_rl.workloads.workload import Workload

__all__ = ["COLUMNS", "DlrmNode", "DlrmSettings", "read_dlrm"]

COLUMNS = (
    text("instance_sn"), text("role"), text("app_name"), number("cpu_request", most=1e6),
    whole("gpu_request", most=1000), number("rdma_request", most=1e6),
    number("memory_request", most=1e6), number("disk_request", most=1e9),
    whole("max_instance_per_node", least=-1), number("creation_time", empty=np.nan),
    number("scheduled_time", empty=np.nan), number("deletion_time", empty=np.nan),
)  # fmt: skip

_SCHEMA = ResourceSchema(
    (
        DEFAULT_SCHEMA.kind("cpu"),
        DEFAULT_SCHEMA.kind("memory"),
        ResourceKind("disk", "GiB", 1024),
        ResourceKind("rdma", "% of a NIC", 1000),
        DEFAULT_SCHEMA.kind("gpu"),
    )
)


class DlrmNode(Settings):
    """One kind of node.

    Attributes:
        nodes: how many.
        cpu: vCPU of each.
        memory_gib: of each.
        disk_gib: of each.
        rdma_percent: NICs of each, in percent of one.
        gpu: cards of each.
    """

    nodes: int = Field(ge=1, le=100_000)
    cpu: float = Field(gt=0, le=1e6)
    memory_gib: float = Field(gt=0, le=1e6)
    disk_gib: float = Field(gt=0, le=1e9)
    rdma_percent: float = Field(gt=0, le=1e6)
    gpu: int = Field(default=0, ge=0, le=63)


class DlrmSettings(Settings):
    """Settings of a DLRM trace.

    Attributes:
        cpu_nodes: nodes for CN instances.
        gpu_nodes: nodes for HN instances.
        end_s: when the trace ends.
    """

    cpu_nodes: DlrmNode = DlrmNode(
        nodes=2400, cpu=192, memory_gib=1024, disk_gib=2048, rdma_percent=100
    )
    gpu_nodes: DlrmNode = DlrmNode(
        nodes=500, cpu=128, memory_gib=1024, disk_gib=4096, rdma_percent=400, gpu=8
    )
    end_s: float = Field(default=31 * 86_400.0, gt=0, le=1e10)


def read_dlrm(path: Path, settings: DlrmSettings) -> Workload:
    """Read a trace; raises `InputFileError` or `WorkloadError` as `read_csv` does."""
    table = read_csv(path, COLUMNS)
    skipped: dict[str, int] = {}
    count(skipped, "max_instance_per_node not kept", table["max_instance_per_node"] > 0)
    submit_s, run_s = _life(table, settings.end_s, skipped)
    columns = TaskColumns(
        ids=table["instance_sn"],
        submit_s=submit_s,
        run_s=run_s,
        demand={kind.name: _units(table, kind) for kind in _SCHEMA.kinds},
        labels=table["role"],
        tenants=table["app_name"],
        task_classes=table["role"],
        waits_s=table["scheduled_time"] - table["creation_time"],
    )
    return build_workload(stem_of(path), _cluster(settings), columns, skipped)


def _units(table: CsvTable, kind: ResourceKind) -> NDArray[np.int64]:
    amount = table[f"{kind.name}_request"]
    units: NDArray[np.int64] = np.rint(amount * kind.units_per).astype(np.int64)
    return units if kind.name != "gpu" else amount * CARD


def _life(
    table: CsvTable, end_s: float, skipped: dict[str, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    created, deleted = table["creation_time"], table["deletion_time"]
    count(skipped, "there before the trace began: submitted at 0", np.isnan(created))
    count(skipped, f"outlives the trace: ends at {end_s:g} s", np.isnan(deleted))
    submit_s = np.where(np.isnan(created), 0.0, created)
    return submit_s, np.where(np.isnan(deleted), end_s, deleted) - submit_s


def _cluster(settings: DlrmSettings) -> Cluster:
    nodes: list[Node] = []
    for role, kind in (("CN", settings.cpu_nodes), ("HN", settings.gpu_nodes)):
        capacity = {
            "cpu": kind.cpu,
            "memory": kind.memory_gib,
            "disk": kind.disk_gib,
            "rdma": kind.rdma_percent,
            "gpu": kind.gpu,
        }
        labels = frozenset({role})
        nodes += [Node(f"{role}-{n}", capacity, labels=labels) for n in range(kind.nodes)]
    return Cluster(tuple(nodes), _SCHEMA)
