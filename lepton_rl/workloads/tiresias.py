"""Tiresias: training jobs, and the cluster they are meant for.

Source: `simulator/` of SymbioticLab/Tiresias; Gu et al., "Tiresias: a GPU cluster manager for
distributed deep learning", NSDI 2019.

    job list        job_id, num_gpu, submit_time (s), model_name, duration (s)
    cluster file    nodes, see `lepton_rl.workloads.node_lists`

    demand           n GPUs, more than a node has as a gang of whole nodes; no cpu and memory, which
                     the jobs do not state
    requested time   the run time: the trace has no estimates
    task class       model_name
"""

from __future__ import annotations

from pathlib import Path

from lepton_rl.core.settings import Settings
from lepton_rl.workloads.beside import file_beside
from lepton_rl.workloads.csv_table import number, read_csv, text, whole
from lepton_rl.workloads.gpu_pools import gang_demand
from lepton_rl.workloads.node_lists import read_nodes
from lepton_rl.workloads.task_columns import TaskColumns, build_workload
from lepton_rl.workloads.text_file import stem_of
from lepton_rl.workloads.workload import Workload

__all__ = ["COLUMNS", "TiresiasSettings", "read_tiresias"]

CLUSTER_FILE = "tiresias_cluster_spec.csv"

COLUMNS = (
    text("job_id"), whole("num_gpu", least=1), number("submit_time"), text("model_name"),
    number("duration"),
)  # fmt: skip


class TiresiasSettings(Settings):
    """Settings of a Tiresias job list.

    Attributes:
        nodes: the cluster file, a path, or a bare file name beside the job list.
    """

    nodes: str = CLUSTER_FILE


def read_tiresias(path: Path, settings: TiresiasSettings) -> Workload:
    """Read a job list and its cluster file.

    Raises:
        InputFileError: a file cannot be opened.
        WorkloadError: a file is malformed, or there is no cluster file.
    """
    table = read_csv(path, COLUMNS)
    cluster = read_nodes(file_beside(path, settings.nodes, "its cluster file", "nodes"))
    skipped: dict[str, int] = {}
    per_node = max(int(node.capacity.get("gpu", 0)) for node in cluster.nodes) or 1
    demand, replicas = gang_demand(table["num_gpu"], per_node, skipped)
    columns = TaskColumns(
        ids=table["job_id"],
        submit_s=table["submit_time"],
        run_s=table["duration"],
        demand=demand,
        replicas=replicas,
        task_classes=table["model_name"],
    )
    return build_workload(stem_of(path), cluster, columns, skipped)
