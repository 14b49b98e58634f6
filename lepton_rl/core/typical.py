"""Typical tasks: what tasks usually ask for, which fragmentation is measured by.

Weng et al. (ATC'23), section 4: the most frequent specs (cores, devices, allowed models) that make
up 95 % of the tasks, by their shares. Memory does not count, as in the published simulator.
"""

from __future__ import annotations

import numpy as np

from lepton_rl.core.tables import Ints, NodeTable, Records, empty_typical

__all__ = ["COVERED", "typical_tasks"]

COVERED = 0.95
"""Share of the tasks that the typical ones stand for."""


def typical_tasks(tasks: Records, nodes: NodeTable, counts: Ints | None = None) -> Records:
    """The typical demands of one replica, the most frequent first.

    Args:
        tasks: `(N,)` records, N >= 1.
        nodes: of the cluster; tells which kinds are devices.
        counts: `(N,)` how many tasks each record stands for; None for one each.

    Returns:
        `(specs,)` demands, models and weights; the weights sum to 1.
    """
    num_kinds = len(nodes.total)
    num_divisible = num_kinds - (len(nodes.card_start) - 1)
    kinds = [0, *range(num_divisible, num_kinds)]
    specs = np.column_stack([tasks["demand"][:, kinds], tasks["models"]])
    unique, which = np.unique(specs, axis=0, return_inverse=True)
    weights = np.bincount(which.ravel(), counts)
    ranked = np.argsort(-weights, kind="stable")
    before = np.concatenate([[0], np.cumsum(weights[ranked])[:-1]])
    kept = ranked[before < COVERED * weights.sum()]
    table = empty_typical(len(kept), num_kinds)
    table["demand"][:, kinds] = unique[kept, :-1]
    table["models"] = unique[kept, -1]
    table["weight"] = weights[kept] / weights[kept].sum()
    return table
