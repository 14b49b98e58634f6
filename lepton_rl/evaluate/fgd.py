"""The packing protocol of Weng et al. (ATC'23): how much GPU share can be given out at all.

Pods are shuffled by the seed, then drawn again until their GPU requests reach a multiple of the
cluster's cards. They are placed one by one and never leave; one that fits nowhere is turned away.
The order of the nodes is shuffled once, and the lowest index wins ties. The figure is the allocated
share of all cards.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.errors import InputFileError
from lepton_rl.core.intake import node_table
from lepton_rl.core.rules.placement import Place
from lepton_rl.core.tables import NO_NODE, NodeTable, Records
from lepton_rl.core.typical import typical_tasks
from lepton_rl.sim.linear_packing import pack_linear
from lepton_rl.sim.packing import pack
from lepton_rl.workloads.csv_table import number, read_csv, text
from lepton_rl.workloads.sources import open_workload
from lepton_rl.workloads.workload import Workload

__all__ = [
    "ARRIVED",
    "FGD_SEEDS",
    "FGD_VERSION",
    "PUBLISHED_PLACES",
    "PackingRow",
    "allocated_share",
    "open_pods",
    "pod_lists",
    "published_means",
]

FGD_VERSION = 2
"""Counts up when figures under the name of the protocol would change."""

FGD_SEEDS = 10
"""Runs of each rule, with the seeds 0 to 9."""

PUBLISHED_FILE = "fgd_expected_summary.csv"
"""Beside the pod lists: the published means, derived from the simulator's expected results."""

_PUBLISHED_COLUMNS = (
    text("workload"), text("policy"), number("arrived_pct"), number("alloc_pct_mean", most=100),
)  # fmt: skip

ARRIVED = 1.3
"""GPU requests that arrive over the cluster's cards."""

PUBLISHED_PLACES = {
    "01-Random": Place.RANDOM,
    "02-DotProd": Place.DOT_PRODUCT,
    "03-GpuClustering": Place.GPU_CLUSTERING,
    "04-GpuPacking": Place.GPU_PACKING,
    "05-BestFit": Place.BEST_FIT,
    "06-FGD": Place.FGD,
}
"""Rules by the names of the published tables."""


def allocated_share(
    workload: Workload, place: Place | NDArray[np.float32], seed: int, part: float = 1.0
) -> float:
    """Allocated over all units of the first device kind, 0 to 1, after all have arrived.

    Args:
        workload: the pods, on their cluster.
        place: the placement rule, or the `(X,)` weights of a learned score (`sim.linear_score`).
        seed: of the order of pods and nodes.
        part: share of the nodes, drawn by the seed, that are there; for searches. Pods that none
            of them could hold are turned away.
    """
    random = np.random.default_rng(seed)
    whole, device = node_table(workload.cluster), workload.cluster.schema.num_divisible
    typical = typical_tasks(workload.tasks, whole)
    nodes = whole if part == 1.0 else _part_of(whole, part, seed)
    arriving = _arrivals(workload.tasks, nodes, device, random)
    shuffled = _shuffled(nodes, random)
    if isinstance(place, Place):
        chosen = pack(arriving, shuffled, int(place), typical)
    else:
        chosen = pack_linear(arriving, shuffled, place, typical)
    given = _asked(arriving, device)[chosen[:, 0] != NO_NODE].sum()
    return float(given / nodes.total[device])


def _asked(tasks: Records, device: int) -> NDArray[np.int64]:
    """Units of a device kind that each task asks for, `(N,)`."""
    asked: NDArray[np.int64] = tasks["demand"][:, device] * tasks["replicas"]
    return asked


def _arrivals(
    tasks: Records, nodes: NodeTable, device: int, random: np.random.Generator
) -> Records:
    """Tasks in random order, each once and then any, until they ask for `ARRIVED` times all."""
    order = random.permutation(len(tasks))
    asked, wanted = _asked(tasks, device), ARRIVED * nodes.total[device]
    mean = asked.mean()
    while asked[order].sum() < wanted:
        missing = int((wanted - asked[order].sum()) / mean) + 1
        order = np.concatenate([order, random.integers(len(tasks), size=missing)])
    count = int(np.searchsorted(np.cumsum(asked[order]), wanted)) + 1
    arriving: Records = tasks[order[:count]]
    return arriving


def _part_of(nodes: NodeTable, part: float, seed: int) -> NodeTable:
    count = max(1, round(part * len(nodes.rows)))
    kept = np.sort(np.random.default_rng([seed, 1]).choice(len(nodes.rows), count, replace=False))
    rows = nodes.rows[kept]
    total = rows["capacity"][:, : len(nodes.total)].sum(axis=0)
    return nodes._replace(rows=rows, cards=nodes.cards[kept], speed=nodes.speed[kept], total=total)


def _shuffled(nodes: NodeTable, random: np.random.Generator) -> NodeTable:
    order = random.permutation(len(nodes.rows))
    rows, cards, speed = nodes.rows[order], nodes.cards[order], nodes.speed[order]
    return nodes._replace(rows=rows, cards=cards, speed=speed)


@dataclass(frozen=True, slots=True)
class PackingRow:
    """One rule on one list of pods.

    Attributes:
        workload: name of the list.
        rule: as in the published tables.
        shares: `(seeds,)` allocated share of all cards, 0..1.
        published: mean of the published runs, 0..1; None where none is known.
    """

    workload: str
    rule: str
    shares: tuple[float, ...]
    published: float | None

    @property
    def mean(self) -> float:
        """Mean over the seeds, 0..1."""
        return float(np.mean(self.shares))

    @property
    def deviation(self) -> float:
        """Standard deviation over the seeds (n - 1), 0 for one seed."""
        return float(np.std(self.shares, ddof=1)) if len(self.shares) > 1 else 0.0

    @property
    def points(self) -> float | None:
        """Mean less the published one, in percentage points."""
        return None if self.published is None else 100 * (self.mean - self.published)


def pod_lists(folder: Path) -> dict[str, Path]:
    """The lists of pods in `folder`, or a folder in it, by name.

    Raises:
        InputFileError: there is none.
    """
    places = [folder, *sorted(path for path in folder.glob("*") if path.is_dir())]
    for place in places:
        found = sorted(place.glob("openb_pod_list_*.csv*"))
        if found:
            return {path.name.partition(".csv")[0]: path for path in found}
    raise InputFileError(
        f"protocol fgd: no openb_pod_list_*.csv in {folder} or a folder in it; name the folder that"
        " has them, with openb_node_list_gpu_node.csv, with --data"
    )


def open_pods(path: Path) -> Workload:
    """A list of pods on the openb nodes; times are of no use here, and some lists have none.

    Raises:
        LeptonError: see `open_workload`.
    """
    return open_workload(path, settings={"interval_s": 1.0, "run_time_s": 1.0})


def published_means(folder: Path) -> dict[tuple[str, str], float]:
    """(workload, rule) -> published mean share at 130 % arrived, 0..1; empty without the file.

    Raises:
        WorkloadError: the file is malformed; the message names line and field.
    """
    path = folder / PUBLISHED_FILE
    if not path.is_file():
        return {}
    table = read_csv(path, _PUBLISHED_COLUMNS)
    rows = zip(*(table[column.name].tolist() for column in _PUBLISHED_COLUMNS), strict=True)
    return {
        (workload, rule): percent / 100
        for workload, rule, arrived, percent in rows
        if arrived == 100 * ARRIVED
    }
