"""What a network sees of a task, a node and the cluster.

All features are ratios or scaled logarithms without a unit, mostly within [-1, 2] and never
beyond `FEATURE_LIMIT`, so that a policy trained on one cluster can run on another.
`SCHEMA_VERSION` changes with any of them.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.compiled import compiled, inlined
from lepton_rl.core.rules.kinds import num_divisible
from lepton_rl.core.rules.lepton import node_load
from lepton_rl.core.tables import NO_TASK, Ints, NodeTable, Records, View
from lepton_rl.encoding.logarithm import log10

__all__ = [
    "CANDIDATE_FEATURES",
    "CLUSTER_FEATURES",
    "FEATURE_LIMIT",
    "NODE_FEATURES",
    "SCHEMA_VERSION",
    "TASK_FEATURES",
    "Float32s",
    "device_share",
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
    # What never changes of a task; `window.facts_of` computes it once.
    "requested_time",  # log10(1 + requested time in s) / 6
    "share",  # dominant share of the whole cluster that the gang asks for, 0..1
    "share_log",  # 1 + log10(share) / 4, >= -1
    "area",  # log10(1 + requested time in s * share) / 6
    "device_share",  # the same share of devices alone, 0 if it asks for none
    "replicas",  # log10(replicas) / 3
    "urgency",  # urgency / 10, cut to -1..1
    "critical",  # 1 if critical
    # What depends on time, the cluster and the other tasks.
    "wait",  # log10(1 + wait in s) / 6
    "stretch",  # log10(1 + wait / requested time) / 4
    "fits",  # 1 if it could start now, on nodes that are not held for another task
    "share_left",  # free share of the cluster minus its own, -1..1
    "rank",  # position in order of arrival over the number pending, 0 = oldest
    "requested_time_to_mean",  # log10(requested time / mean of the pending tasks) / 4
    "area_to_mean",  # log10(area / mean of the pending tasks) / 4
    "deadline",  # requested time / time left, cut to 2, halved: 1/2 = must start now; 0 = none
    "delays_smallest",  # 1 if it fits but would delay the pending task of least area
    "delays_oldest",  # 1 if it fits but would delay the oldest pending task
)
"""Columns of `tasks`."""

NODE_FEATURES = (
    "load",  # dominant share in use, 0..1
    "free_cards",  # free share of its cards, 0..1; 0 if it has none
    "free_rest",  # free share of its scarcest kind that is no device, 0..1
    "size",  # its dominant share of the whole cluster, 0..1
    "replicas",  # log10(1 + replicas running there) / 3
    "held",  # 1 if reserved for a critical task
    "accepting",  # 1 unless it is draining or down
)
"""Columns of `nodes`."""

CANDIDATE_FEATURES = (
    "load_after",  # its load with one replica more, 0..1
    "share",  # dominant share of the node's capacity that a replica asks for, 0..1
    "left_over",  # what best-fit keeps low, per kind that it counts
    "alignment",  # what dot-product keeps low, 0..1
    "tetris",  # what tetris keeps high, 0..1
    "packing",  # what gpu-packing keeps low, over 3; -1..0
    "relief",  # what fgd keeps high: 1/2 where fragmentation stays as it is, 0..1
    "idle",  # 1 if nothing runs there
    "speed",  # speed for tasks of its class over that of the fastest node, 0..1
    "models",  # 1 if the task accepts only some device models
    "remaining",  # log10(replicas still to be placed) / 3
)
"""Columns of `candidates`: a node for the next replica of the task that has been chosen; all 0
where it may not run, and while a task is to be chosen."""

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


@inlined
def log_scale(value: float, scale: float) -> float:
    """log10(1 + value) / scale, for value >= 0."""
    return log10(1.0 + max(value, 0.0)) / scale


@compiled
def _largest_share(tasks: Records, nodes: NodeTable, row: int, first_kind: int) -> float:
    share = 0.0
    for k in range(first_kind, nodes.total.shape[0]):
        if nodes.total[k] > 0:
            asked = float(tasks[row].demand[k] * tasks[row].replicas)
            share = max(share, asked / nodes.total[k])
    return min(share, 1.0)


@compiled
def dominant_share(tasks: Records, nodes: NodeTable, row: int) -> float:
    """Largest share of the whole cluster, over its kinds, that the gang of task `row` asks for."""
    return _largest_share(tasks, nodes, row, 0)


@compiled
def device_share(tasks: Records, nodes: NodeTable, row: int) -> float:
    """`dominant_share` over device kinds alone; 0 for a task that asks for none."""
    return _largest_share(tasks, nodes, row, num_divisible(nodes))


@inlined
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


@inlined
def write_node(view: View, b: int, m: int, out: Float32s) -> None:
    """Write the features of one node into `out[b, m]`, `(B, M, G)` float32.

    They depend on nothing but the node's row of the pool.
    """
    nodes, row = view.nodes, view.pool.rows[b, m]
    first_device = num_divisible(nodes)
    cards = 0
    free_cards = 0
    free_rest = 1.0
    size = 0.0
    for k in range(nodes.total.shape[0]):
        capacity = nodes.rows[m].capacity[k]
        if capacity == 0:
            continue
        size = max(size, capacity / nodes.total[k])
        if k < first_device:
            free_rest = min(free_rest, row.free[k] / capacity)
        else:
            cards += capacity
            free_cards += row.free[k]
    out[b, m, 0] = node_load(nodes, view.pool, b, m)
    out[b, m, 1] = free_cards / cards if cards > 0 else 0.0
    out[b, m, 2] = free_rest
    out[b, m, 3] = size
    out[b, m, 4] = log_scale(float(row.replicas_on), 3.0)
    out[b, m, 5] = 1.0 if row.held_by != NO_TASK else 0.0
    out[b, m, 6] = 1.0 if row.accepting else 0.0
