"""Azure Functions: invocations of serverless functions (2021).

Source: Azure/AzurePublicDataset, sampled by vhive-serverless/invitro; Zhang et al., "Faster and
cheaper serverless computing on harvested resources", SOSP 2021. Columns: app, func, end_timestamp
(s), duration (s).

    submit time      end_timestamp - duration, at least 0: the trace has no waits
    run time         duration; 0 becomes 1 ms
    requested time   the run time: the trace has no estimates
    demand           `cores` of a node: the trace does not say
    tenant, class    app, func (both anonymised)
    id               line of the file

The default machine is one node of 16 cores; the sample keeps 8.4 of them busy.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from pydantic import Field

from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.settings import Settings
from lepton_rl.workloads.csv_table import number, read_csv, text
from lepton_rl.workloads.task_columns import TaskColumns, build_workload
from lepton_rl.workloads.text_file import stem_of
from lepton_rl.workloads.workload import Workload

__all__ = ["COLUMNS", "AzureFunctionsSettings", "read_azure_functions"]

COLUMNS = (text("app"), text("func"), number("end_timestamp"), number("duration"))

_SHORTEST_S = 1e-3
_MILLICORES = 1000


class AzureFunctionsSettings(Settings):
    """Settings of an Azure Functions trace.

    Attributes:
        nodes: how many.
        cores_per_node: of each.
        cores: an invocation holds.
    """

    nodes: int = Field(default=1, ge=1, le=1_000_000)
    cores_per_node: float = Field(default=16.0, ge=0.001, le=1e6)
    cores: float = Field(default=1.0, ge=0.001, le=1e6)


def read_azure_functions(path: Path, settings: AzureFunctionsSettings) -> Workload:
    """Read a trace; raises `InputFileError` or `WorkloadError` as `read_csv` does."""
    table = read_csv(path, COLUMNS)
    cluster = Cluster(
        tuple(Node(f"node-{n}", {"cpu": settings.cores_per_node}) for n in range(settings.nodes))
    )
    columns = TaskColumns(
        ids=np.arange(2, len(table) + 2).astype(np.str_),
        submit_s=np.maximum(0.0, table["end_timestamp"] - table["duration"]),
        run_s=table["duration"],
        demand={"cpu": np.full(len(table), round(settings.cores * _MILLICORES), np.int64)},
        tenants=table["app"],
        task_classes=table["func"],
    )
    return build_workload(stem_of(path), cluster, columns, shortest_run_s=_SHORTEST_S)
