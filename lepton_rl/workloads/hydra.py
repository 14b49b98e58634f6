"""Hydra: a batch of single-GPU jobs whose run time is known for each GPU type, with deadlines.

Source: `cases/` of dos-lab/Hydra; Yang et al., "Hydra: deadline-aware and efficiency-oriented
scheduling for deep learning jobs on heterogeneous GPUs", IEEE TC 2023.

    demand           one GPU of any type
    submit time      norm_job_submit_time, s
    run time         that on an A100 (column A100, s), the fastest type of the file
    requested time   the run time: the trace has no estimates
    deadline         ddl, s on the clock of the submit time; inf for none
    task class       the pair of speeds: `V100 1.83, GTX2080Ti 2.58` runs 1.83 times as long on a
                     V100; `decimals` of the ratios are kept (with 2, run times there are within
                     0.4 % of the file's)

The machine has nodes of each type, with speed factors per task class. The trace names none; the
default is two nodes of four cards for each type.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lepton_rl.core.nodes import MAX_CARDS
from lepton_rl.core.resources import CARD
from lepton_rl.core.settings import Settings
from lepton_rl.workloads.csv_table import CsvTable, number, read_csv, text
from lepton_rl.workloads.gpu_pools import typed_pool
from lepton_rl.workloads.task_columns import TaskColumns, build_workload
from lepton_rl.workloads.text_file import stem_of
from lepton_rl.workloads.workload import Workload

__all__ = ["COLUMNS", "HydraSettings", "read_hydra"]

REFERENCE = "A100"
OTHERS = ("V100", "GTX2080Ti")

_SHORTEST_S = 1e-3
COLUMNS = (
    text("job_name"), number("norm_job_submit_time"), number("ddl", infinite=True),
    *(number(model, least=_SHORTEST_S) for model in (REFERENCE, *OTHERS)),
)  # fmt: skip


class HydraSettings(Settings):
    """Settings of a Hydra case.

    Attributes:
        a100_nodes: nodes with A100 cards.
        v100_nodes: nodes with V100 cards.
        gtx2080ti_nodes: nodes with GTX 2080 Ti cards.
        cards_per_node: of each.
        decimals: of the run time ratios by which jobs are told into classes.
    """

    a100_nodes: int = Field(default=2, ge=1, le=100_000)
    v100_nodes: int = Field(default=2, ge=1, le=100_000)
    gtx2080ti_nodes: int = Field(default=2, ge=1, le=100_000)
    cards_per_node: int = Field(default=4, ge=1, le=MAX_CARDS)
    decimals: int = Field(default=2, ge=1, le=6)


def read_hydra(path: Path, settings: HydraSettings) -> Workload:
    """Read a case; raises `InputFileError` or `WorkloadError` as `read_csv` does."""
    table = read_csv(path, COLUMNS)
    ratios = _ratios(table, settings.decimals)
    classes = np.array([_class_of(row) for row in ratios.tolist()], np.str_)
    names, first = np.unique(classes, return_index=True)
    speeds = {
        model: dict(zip(names.tolist(), (1 / ratios[first, column]).tolist(), strict=True))
        for column, model in enumerate(OTHERS)
    }
    counts = (settings.a100_nodes, settings.v100_nodes, settings.gtx2080ti_nodes)
    nodes = dict(zip((REFERENCE, *OTHERS), counts, strict=True))
    cluster = typed_pool(nodes, settings.cards_per_node, {REFERENCE: {}, **speeds})
    columns = TaskColumns(
        ids=table["job_name"],
        submit_s=table["norm_job_submit_time"],
        run_s=table[REFERENCE],
        demand={"gpu": np.full(len(table), CARD, np.int64)},
        task_classes=classes,
        deadlines_s=table["ddl"],
    )
    return build_workload(stem_of(path), cluster, columns)


def _ratios(table: CsvTable, decimals: int) -> NDArray[np.float64]:
    """Run times on the other types over that on the reference, `(N, 2)`, > 0."""
    exact = np.stack([table[model] / table[REFERENCE] for model in OTHERS], axis=1)
    rounded: NDArray[np.float64] = np.round(exact, decimals)
    return np.maximum(rounded, 10.0**-decimals)


def _class_of(ratios: list[float]) -> str:
    return ", ".join(f"{model} {ratio:g}" for model, ratio in zip(OTHERS, ratios, strict=True))
