"""The packing protocol of Weng et al. (ATC'23): how much GPU share can be given out at all.

Pods are shuffled by the seed, then drawn again until their GPU requests reach a multiple of the
cluster's cards. They are placed one by one and never leave; one that fits nowhere is turned away.
The order of the nodes is shuffled once, and the lowest index wins ties. The figure is the allocated
share of all cards.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.intake import node_table
from lepton_rl.core.rules.placement import Place
from lepton_rl.core.tables import NO_NODE, NodeTable, Records
from lepton_rl.core.typical import typical_tasks
from lepton_rl.sim.packing import pack
from lepton_rl.workloads.workload import Workload

__all__ = ["ARRIVED", "PUBLISHED_PLACES", "allocated_share"]

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


def allocated_share(workload: Workload, place: Place, seed: int) -> float:
    """Allocated over all units of the first device kind, 0 to 1, after all have arrived.

    Args:
        workload: the pods, on their cluster.
        place: the placement rule.
        seed: of the order of pods and nodes.
    """
    random = np.random.default_rng(seed)
    nodes, device = node_table(workload.cluster), workload.cluster.schema.num_divisible
    typical = typical_tasks(workload.tasks, nodes)
    arriving = _arrivals(workload.tasks, nodes, device, random)
    shuffled = _shuffled(nodes, random)
    placed = pack(arriving, shuffled, int(place), typical)[:, 0] != NO_NODE
    given = _asked(arriving, device)[placed].sum()
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


def _shuffled(nodes: NodeTable, random: np.random.Generator) -> NodeTable:
    order = random.permutation(len(nodes.rows))
    rows, cards, speed = nodes.rows[order], nodes.cards[order], nodes.speed[order]
    return nodes._replace(rows=rows, cards=cards, speed=speed)
