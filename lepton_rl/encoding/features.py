"""What a network sees of a task, a node and the cluster.

All features are ratios or scaled logarithms without a unit, mostly within [-1, 2] and never
beyond `FEATURE_LIMIT`, so that a policy trained on one cluster can run on another.
`SCHEMA_VERSION` changes with any of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.compiled import compiled
from lepton_rl.core.rules.lepton import node_load
from lepton_rl.core.tables import NO_TASK, Ints, NodeTable, Records, View
from lepton_rl.encoding.logarithm import log10

__all__ = [
    "CLUSTER_FEATURES",
    "FEATURE_LIMIT",
    "NODE_FEATURES",
    "SCHEMA_VERSION",
    "TASK_FEATURES",
    "Float32s",
    "dominant_share",
    "free_share",
    "log_scale",
    "write_node",
]

Float32s = NDArray[np.float32]

SCHEMA_VERSION = 2

FEATURE_LIMIT = 4.0
"""Every feature lies within -4 and 4; ratios of extreme times are cut to that."""

TASK_FEATURES = (
    "requested_time",  # log10(1 + requested time in s) / 6
    "share",  # dominant share of the whole cluster that the gang asks for, 0..1
    "share_log",  # 1 + log10(share) / 4, >= -1
    "area",  # log10(1 + requested time in s * share) / 6
    "wait",  # log10(1 + wait in s) / 6
    "stretch",  # log10(1 + wait / requested time) / 4
    "fits",  # 1 if it could start now, on nodes that are not held for another task
    "share_left",  # free share of the cluster minus its own, -1..1
    "rank",  # position in order of arrival over the number pending, 0 = oldest
    "requested_time_to_mean",  # log10(requested time / mean of the pending tasks) / 4
    "area_to_mean",  # log10(area / mean of the pending tasks) / 4
    "urgency",  # urgency / 10, cut to -1..1
    "critical",  # 1 if critical
    "delays_smallest",  # 1 if it fits but would delay the pending task of least area
    "delays_oldest",  # 1 if it fits but would delay the oldest pending task
)
"""Columns of `tasks`."""

NODE_FEATURES = (
    "load",  # dominant share in use, 0..1
    "free_cards",  # free share of its cards, 0..1; 0 if it has none
    "size",  # its dominant share of the whole cluster, 0..1
    "replicas",  # log10(1 + replicas running there) / 3
    "held",  # 1 if reserved for a critical task
)
"""Columns of `nodes`."""

CLUSTER_FEATURES = (
    "free_share",  # share of the cluster that is free, of its scarcest kind, 0..1
    "pending",  # log10(1 + pending tasks) / 4
    "pending_area",  # log10(1 + pending work in cluster-seconds) / 6
    "outside_window",  # share of the pending tasks that the window leaves out, 0..1
    "running",  # log10(1 + running tasks) / 4
    "next_release",  # log10(1 + seconds until the next expected end) / 6
    "oldest_wait",  # log10(1 + longest wait in s) / 6
    "mean_requested_time",  # log10(1 + mean requested time of the pending tasks in s) / 6
    "smallest_starts_in",  # log10(1 + seconds until the task of least area could start) / 6
    "oldest_starts_in",  # log10(1 + seconds until the oldest task could start) / 6
)
"""Entries of `cluster`."""


@compiled
def log_scale(value: float, scale: float) -> float:
    """log10(1 + value) / scale, for value >= 0."""
    return log10(1.0 + max(value, 0.0)) / scale


@compiled
def dominant_share(tasks: Records, nodes: NodeTable, row: int) -> float:
    """Largest share of the whole cluster, over its kinds, that the gang of task `row` asks for."""
    share = 0.0
    for k in range(nodes.total.shape[0]):
        if nodes.total[k] > 0:
            asked = float(tasks[row].demand[k] * tasks[row].replicas)
            share = max(share, asked / nodes.total[k])
    return min(share, 1.0)


@compiled
def free_share(nodes: NodeTable, free: Ints) -> float:
    """Share of the cluster that is free, of its scarcest kind (0 to 1).

    Args:
        nodes: node table.
        free: `(K,)` units that are free on all nodes together.
    """
    scarcest = 1.0
    for k in range(nodes.total.shape[0]):
        if nodes.total[k] > 0:
            scarcest = min(scarcest, free[k] / nodes.total[k])
    return scarcest


@compiled
def write_node(view: View, b: int, m: int, out: Float32s) -> None:
    """Write the features of one node into `out[b, m]`, `(B, M, G)` float32."""
    nodes, pool = view.nodes, view.pool
    cards = 0
    free_cards = 0
    for column in range(nodes.cards.shape[1]):
        cards += nodes.cards[m, column]
        free_cards += pool.card_free[b, m, column]
    size = 0.0
    for k in range(nodes.total.shape[0]):
        if nodes.total[k] > 0:
            size = max(size, nodes.rows[m].capacity[k] / nodes.total[k])
    out[b, m, 0] = node_load(nodes, pool, b, m)
    out[b, m, 1] = free_cards / cards if cards > 0 else 0.0
    out[b, m, 2] = size
    out[b, m, 3] = log_scale(float(pool.rows[b, m].replicas_on), 3.0)
    out[b, m, 4] = 1.0 if pool.rows[b, m].held_by != NO_TASK else 0.0
