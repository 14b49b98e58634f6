"""What a schedule does with the cluster over time: allocation, fragmentation, energy.

A task that was interrupted (preempted, or its node lost) counts as running from its first start to
its end in what is sampled over time, because a schedule does not record its single runs; in
resource-seconds it counts with its true run time only.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.clock import MICROSECOND, to_seconds
from lepton_rl.core.intake import node_table
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.schedule import Schedule
from lepton_rl.core.tables import NO_NODE, Ints, NodeTable, Records
from lepton_rl.core.typical import typical_tasks
from lepton_rl.workloads.workload import Workload

__all__ = [
    "allocated_shares",
    "allocated_units",
    "device_utilisation",
    "energy_kwh",
    "fragmentation",
    "utilisation",
]

Floats = NDArray[np.float64]

_INSTANTS = 32
"""Moments at which fragmentation is looked at, the middles of as many equal parts of the time."""

_JOULES_PER_KWH = 3.6e6


def allocated_shares(
    schedule: Schedule, workload: Workload, cluster: Cluster, run_us: Ints
) -> Floats:
    """`(K,)` allocated over available resource-seconds, from the first submit to the last end.

    Allocated is what tasks asked for, for their true run times `run_us`; an exclusive task counts
    with its demand, not with the whole nodes it keeps from others.
    """
    window_s = float(to_seconds(schedule.end_us.max() - schedule.submit_us.min()))
    held_s = to_seconds(run_us) * workload.tasks["replicas"]
    shares: Floats = (held_s @ workload.demand_units) / (node_table(cluster).total * window_s)
    return shares


def utilisation(
    schedule: Schedule, workload: Workload, cluster: Cluster, run_us: Ints | None = None
) -> float:
    """The largest of `allocated_shares`, 0..1: that of the busiest kind.

    The window includes filling the empty cluster at the start and draining it at the end, so a
    longer window of the same load shows a higher figure.

    Args:
        schedule: what happened.
        workload: the work.
        cluster: where.
        run_us: `(N,)` true run times; by default end - start.
    """
    run_us = schedule.end_us - schedule.start_us if run_us is None else run_us
    return float(allocated_shares(schedule, workload, cluster, run_us).max())


def device_utilisation(
    schedule: Schedule, workload: Workload, cluster: Cluster, run_us: Ints
) -> float:
    """As `utilisation`, of the first device kind (GPU cards), 0..1; NaN without devices.

    Args:
        schedule: what happened.
        workload: the work.
        cluster: where.
        run_us: `(N,)` true run times.
    """
    devices = cluster.schema.num_divisible
    if devices == len(cluster.schema.kinds):
        return math.nan
    return float(allocated_shares(schedule, workload, cluster, run_us)[devices])


def allocated_units(
    schedule: Schedule, workload: Workload, cluster: Cluster, times_us: Ints
) -> Ints:
    """`(T, M, K)` units that are in use on each node at each of the ascending times `times_us`.

    At the instant at which it starts a task is there, at the one at which it ends it is gone.
    """
    shape = (len(times_us) + 1, len(cluster.nodes), len(cluster.schema.kinds))
    changes = np.zeros(shape, np.int64)
    task, replica = np.nonzero(schedule.nodes != NO_NODE)
    nodes, units = schedule.nodes[task, replica], workload.demand_units[task]
    first = np.searchsorted(times_us, schedule.start_us)[task]
    last = np.searchsorted(times_us, schedule.end_us)[task]
    np.add.at(changes, (first, nodes), units)
    np.subtract.at(changes, (last, nodes), units)
    in_use: Ints = np.cumsum(changes, axis=0)[:-1]
    return in_use


def fragmentation(schedule: Schedule, workload: Workload, cluster: Cluster) -> float:
    """Share of what is idle that typical tasks cannot use, 0..1; NaN if nothing is ever idle.

    Of the first device kind, or of the first kind in a cluster without devices: at 32 moments
    between the first submit and the last end, F(node) = sum over the typical tasks m of p_m f_m,
    where f_m is all that is free on the node if a replica of m cannot run there or does not ask
    for that kind, else 0; the sum of F over the sum of what is free. After Weng et al., "Beware of
    Fragmentation", ATC'23, section 4, on the level of nodes: a schedule does not record which
    cards a task got, so parts of cards that are too small for it count as usable.
    """
    nodes = node_table(cluster)
    kind = cluster.schema.num_divisible % len(cluster.schema.kinds)
    begin_us, end_us = int(schedule.submit_us.min()), int(schedule.end_us.max())
    middles = (2 * np.arange(_INSTANTS) + 1) / (2 * _INSTANTS)
    times_us = begin_us + np.rint(middles * (end_us - begin_us)).astype(np.int64)
    capacity = nodes.rows["capacity"][:, : len(nodes.total)]
    free = np.maximum(capacity - allocated_units(schedule, workload, cluster, times_us), 0)
    idle = free[:, :, kind]
    if not idle.any():
        return math.nan
    typical = typical_tasks(workload.tasks, nodes)
    lost = sum(float(spec["weight"]) * _unusable(free, idle, nodes, spec, kind) for spec in typical)
    return float(lost / idle.sum())


def _unusable(free: Ints, idle: Ints, nodes: NodeTable, spec: Records, kind: int) -> int:
    """Units of `idle` on nodes where a typical task cannot run."""
    demand = spec["demand"][: free.shape[2]]
    if demand[kind] == 0:
        return int(idle.sum())
    allowed = (nodes.rows["model"] & spec["models"] != 0) | (spec["models"] == 0)
    can_run = (free >= demand).all(axis=2) & allowed
    return int(idle[~can_run].sum())


def energy_kwh(schedule: Schedule, workload: Workload, cluster: Cluster) -> float:
    """Energy of all nodes from the first submit to the last end; NaN if no node states its watts.

    Idle power all the time, and (peak - idle) times the load, the node's dominant share in use, as
    `ResourcePool.watts` has it.
    """
    rise = np.array([node.peak_watts - node.idle_watts for node in cluster.nodes])
    idle_watts = sum(node.idle_watts for node in cluster.nodes)
    if not rise.any() and idle_watts == 0:
        return math.nan
    makespan_s = (int(schedule.end_us.max()) - int(schedule.submit_us.min())) / MICROSECOND
    loaded = (m for m in range(len(cluster.nodes)) if rise[m] > 0)
    extra = sum(rise[m] * _load_seconds(schedule, workload, cluster, m) for m in loaded)
    return float(idle_watts * makespan_s + extra) / _JOULES_PER_KWH


def _load_seconds(schedule: Schedule, workload: Workload, cluster: Cluster, node: int) -> float:
    """Integral of the load of a node over time, in s."""
    task, _ = np.nonzero(schedule.nodes == node)
    units = workload.demand_units[task]
    times_us = np.concatenate([schedule.start_us[task], schedule.end_us[task]])
    order = np.argsort(times_us, kind="stable")
    in_use = np.cumsum(np.concatenate([units, -units])[order], axis=0)[:-1]
    capacity = node_table(cluster).rows["capacity"][node, : units.shape[1]]
    loads = (in_use[:, capacity > 0] / capacity[capacity > 0]).max(axis=1, initial=0.0)
    return float(loads @ to_seconds(np.diff(times_us[order])))
