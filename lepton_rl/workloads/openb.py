"""openb: pods on a heterogeneous GPU cluster with fractional GPUs (Alibaba, 2023).

Source: `data/csv/` of hkust-adsl/kubernetes-scheduler-simulator, the traces of Weng et al., "Beware
of fragmentation: scheduling GPU-sharing workloads with fragmentation gradient descent", ATC 2023.

    node list    see `lepton_rl.workloads.node_lists`
    pod list     name, cpu_milli, memory_mib, num_gpu (cards), gpu_milli (thousandths of a card that
                 it takes of each; below 1000 only with one card), and, where the list has times and
                 constraints: gpu_spec (device models joined by `|`, empty for any), qos,
                 creation_time, deletion_time, scheduled_time (s from the start of the trace,
                 scheduled_time empty for pods that never started)

A pod becomes one task of one replica:

    demand           cpu in millicores, memory in MiB; n > 1 or one whole card: n cards; one card
                     with gpu_milli < 1000: that share of one card
    submit time      creation_time
    run time         deletion_time - creation_time, the pod's life (0: 1 s). It includes the time a
                     pod was pending; for those that never started it is how long they were wanted.
    requested time   the run time. Pods state none, so policies that order by it know the truth
                     here: read their results as an upper bound, or use a predictor.
    recorded wait    scheduled_time - creation_time
    task class       qos (LS, BE, Burstable, Guaranteed)
    device models    gpu_spec; models that no node has are left away, and a pod that names only
                     such is dropped

A list without times (multigpu50) gets one pod every `interval_s` seconds, each for `run_time_s`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lepton_rl.core.nodes import Cluster
from lepton_rl.core.resources import CARD
from lepton_rl.core.settings import Settings
from lepton_rl.workloads.beside import file_beside
from lepton_rl.workloads.csv_table import CsvTable, number, read_csv, text, whole
from lepton_rl.workloads.node_lists import read_nodes
from lepton_rl.workloads.task_columns import TaskColumns, build_workload, count
from lepton_rl.workloads.text_file import stem_of
from lepton_rl.workloads.workload import Workload

__all__ = ["NODE_LIST", "POD_COLUMNS", "OpenbSettings", "read_openb"]

NODE_LIST = "openb_node_list_gpu_node.csv"
"""The nodes of the published evaluation: 1,213 with GPUs. `openb_node_list_all_node.csv` has 310
nodes without as well."""

POD_COLUMNS = (
    text("name"), whole("cpu_milli"), whole("memory_mib"), whole("num_gpu", most=1000),
    whole("gpu_milli", most=CARD),
)  # fmt: skip
_MORE_COLUMNS = (
    text("gpu_spec"), text("qos"), number("creation_time"), number("deletion_time"),
    number("scheduled_time", empty=np.nan),
)  # fmt: skip


class OpenbSettings(Settings):
    """Settings of an openb pod list.

    Attributes:
        nodes: the node list (of any kind that `lepton_rl.workloads.node_lists` reads), a path, or a
            bare file name beside the pod list.
        interval_s: time between pods of a list without times.
        run_time_s: run time of pods of a list without times; the default is the median of the
            default list.
        every_node: keep one node of so many, in the order of the list, for a smaller cluster.
        speed_up: pods arrive so many times as fast; how long they run stays.
    """

    nodes: str = NODE_LIST
    interval_s: float = Field(default=1.0, gt=0, le=1e6)
    run_time_s: float = Field(default=540.0, gt=0, le=1e9)
    every_node: int = Field(default=1, ge=1)
    speed_up: float = Field(default=1.0, gt=0, le=1e6)


def read_openb(path: Path, settings: OpenbSettings) -> Workload:
    """Read a pod list and the nodes that belong to it.

    Args:
        path: a pod list, plain or gzip.
        settings: where the nodes are.

    Raises:
        InputFileError: a file cannot be opened.
        WorkloadError: a file is malformed (file, line and field are named), or there is no node
            list.
    """
    table = read_csv(path, POD_COLUMNS, _MORE_COLUMNS)
    cluster = read_nodes(file_beside(path, settings.nodes, "its node list", "nodes"))
    cluster = Cluster(cluster.nodes[:: settings.every_node])
    skipped: dict[str, int] = {}
    columns = _tasks(table, settings, skipped)
    return build_workload(stem_of(path), cluster, columns, skipped)


def _tasks(table: CsvTable, settings: OpenbSettings, skipped: dict[str, int]) -> TaskColumns:
    submit_s, run_s, waits_s = _times(table, settings, skipped)
    return TaskColumns(
        ids=table["name"],
        submit_s=submit_s / settings.speed_up,
        run_s=run_s,
        demand={
            "cpu": table["cpu_milli"],
            "memory": table["memory_mib"],
            "gpu": _milli_cards(table, skipped),
        },
        models=table.columns.get("gpu_spec"),
        task_classes=table.columns.get("qos"),
        waits_s=waits_s,
    )


def _milli_cards(table: CsvTable, skipped: dict[str, int]) -> NDArray[np.int64]:
    cards, share = table["num_gpu"], table["gpu_milli"]
    odd = ((cards > 1) & (share < CARD)) | ((cards == 1) & (share == 0))
    count(skipped, "a share of no or several cards: whole cards taken", odd)
    return np.where((cards == 1) & ~odd, share, cards * CARD)


def _times(
    table: CsvTable, settings: OpenbSettings, skipped: dict[str, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64] | None]:
    """Submit times, run times and recorded waits in s."""
    if not {"creation_time", "deletion_time"} <= set(table.columns):
        reason = "the list has no times: interval_s and run_time_s taken"
        skipped[reason] = len(table)
        arrivals = np.arange(len(table), dtype=np.float64) * settings.interval_s
        return arrivals, np.full(len(table), settings.run_time_s, np.float64), None
    created, deleted = table["creation_time"], table["deletion_time"]
    scheduled = table.columns.get("scheduled_time")
    if scheduled is None:
        return created, deleted - created, None
    count(skipped, "never started in the log: its life taken as run time", np.isnan(scheduled))
    return created, deleted - created, scheduled - created
