"""ElasticFlow: training jobs of one Philly virtual cluster with deadlines.

Source: `ElasticFlow/traces_for_ElasticFlow/` of pkusys/ElasticFlow; Gu et al., "ElasticFlow: an
elastic serverless training platform for distributed deep learning", ASPLOS 2023.

    demand           n GPUs, more than `cards_per_node` as a gang of whole nodes; batch_size and
                     iterations, by which ElasticFlow grows and shrinks jobs, are not read
    submit time      submit_time, s
    run time         duration, s, on num_gpu cards
    requested time   the run time: the trace has no estimates
    deadline         ddl, s on the clock of submit_time (0.5 to 1.5 run times after the submit, so
                     many cannot be met without more cards)
    task class       model_name

The default of 16 nodes of 8 cards is ElasticFlow's own testbed; the load of this virtual cluster on
it is 0.15. With `nodes: 3` it is 0.81.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from lepton_rl.workloads.csv_table import number, read_csv, text, whole
from lepton_rl.workloads.gpu_pools import GpuPoolSettings, gang_demand, gpu_pool
from lepton_rl.workloads.task_columns import TaskColumns, build_workload
from lepton_rl.workloads.text_file import stem_of
from lepton_rl.workloads.workload import Workload

__all__ = ["COLUMNS", "ElasticFlowSettings", "read_elasticflow"]

COLUMNS = (
    text("job_id"), number("submit_time"), text("model_name"), number("ddl"),
    whole("num_gpu", least=1), number("duration"),
)  # fmt: skip


class ElasticFlowSettings(GpuPoolSettings):
    """Settings of an ElasticFlow trace."""

    nodes: int = Field(default=16, ge=1, le=1_000_000)


def read_elasticflow(path: Path, settings: ElasticFlowSettings) -> Workload:
    """Read a trace; raises `InputFileError` or `WorkloadError` as `read_csv` does."""
    table = read_csv(path, COLUMNS)
    skipped: dict[str, int] = {}
    demand, replicas = gang_demand(table["num_gpu"], settings.cards_per_node, skipped)
    columns = TaskColumns(
        ids=table["job_id"],
        submit_s=table["submit_time"],
        run_s=table["duration"],
        demand=demand,
        replicas=replicas,
        task_classes=table["model_name"],
        deadlines_s=table["ddl"],
    )
    return build_workload(stem_of(path), gpu_pool(settings), columns, skipped)
