"""Whether a schedule is one of this workload on this cluster, before its figures are compared."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.errors import ConfigError, StateError
from lepton_rl.core.intake import node_table
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.tables import NO_NODE, Ints
from lepton_rl.sim.replay import Schedule
from lepton_rl.workloads.workload import Workload

__all__ = ["check_cluster", "check_schedule", "true_run_us"]


def check_cluster(workload: Workload, cluster: Cluster) -> None:
    """Refuse a cluster that the workload's rows were not described for.

    Raises:
        ConfigError: other resource kinds; or tasks ask for labels or device models, and the
            cluster has others of them.
    """
    kinds, expected = cluster.schema.names, workload.cluster.schema.names
    if kinds != expected:
        raise ConfigError(
            f"{workload.name}: tasks are measured in {', '.join(expected)} but the cluster has"
            f" {', '.join(kinds)}; describe the workload for this cluster"
        )
    asked = workload.tasks["labels"].any() or workload.tasks["models"].any()
    if asked and _names(cluster) != _names(workload.cluster):
        raise ConfigError(
            f"{workload.name}: tasks ask for labels or device models, and the cluster has others"
            " than the one they were described for; describe the workload for this cluster"
        )


def _names(cluster: Cluster) -> tuple[set[str], set[str]]:
    """Labels and device models: task rows hold their positions in this cluster's lists of them."""
    labels = {label for node in cluster.nodes for label in node.labels}
    return labels, {node.device_model for node in cluster.nodes if node.device_model}


def check_schedule(schedule: Schedule, workload: Workload, cluster: Cluster) -> None:
    """Refuse a schedule whose figures would not be comparable with those of others.

    Every task must be there, start no earlier than it was submitted and run its true time, and
    no resource kind may ever be given out beyond the capacity of the cluster. (Capacity per node
    is the simulator's own invariant and not checked again.)

    Raises:
        StateError: the first task, or the resource kind, for which this does not hold.
    """
    _check_tasks(schedule, workload, cluster)
    _check_capacity(schedule, workload, cluster)


def _check_tasks(schedule: Schedule, workload: Workload, cluster: Cluster) -> None:
    shapes = {a.shape for a in (schedule.submit_us, schedule.start_us, schedule.end_us)}
    if shapes != {(len(workload),)}:
        raise StateError(
            f"{workload.name}: expected a schedule of {len(workload)} tasks, got {sorted(shapes)}"
        )
    run_us = true_run_us(schedule, workload, cluster)
    span_us = schedule.end_us - schedule.start_us  # with the interruptions of preempted tasks
    wrong = {
        "has another submit time": schedule.submit_us != workload.tasks["submit_us"],
        "starts before it is submitted": schedule.start_us < schedule.submit_us,
        "does not run its true time": (span_us < run_us)
        | ((span_us > run_us) & ~workload.tasks["preemptible"]),
    }
    for problem, applies in wrong.items():
        if applies.any():
            task = workload.ids[np.argmax(applies)]
            raise StateError(f"{workload.name}: task {str(task)!r} {problem} in the schedule")


def true_run_us(schedule: Schedule, workload: Workload, cluster: Cluster) -> Ints:
    """How long each task runs on its nodes, `(N,)`: a gang is as fast as its slowest replica.

    Of a task that may be preempted only the last nodes are known, so it is what it needs there, but
    no more than the time from its first start to its end.
    """
    speed = node_table(cluster).speed
    if (speed == 1.0).all():
        return workload.run_us
    speeds = speed[schedule.nodes, workload.tasks["task_class"][:, None]]  # (N, G)
    slowest = np.where(schedule.nodes == NO_NODE, np.inf, speeds).min(axis=1)
    true_us: Ints = _scaled(workload.run_us, slowest)
    span_us = schedule.end_us - schedule.start_us
    may_move = workload.tasks["preemptible"] & (span_us >= _least_run_us(workload, speed))
    return np.where(may_move, np.minimum(true_us, span_us), true_us)


def _least_run_us(workload: Workload, speed: NDArray[np.float64]) -> Ints:
    """`(N,)` run time where each task runs fastest."""
    return _scaled(workload.run_us, speed.max(axis=0)[workload.tasks["task_class"]])


def _scaled(run_us: Ints, speed: NDArray[np.float64]) -> Ints:
    scaled: Ints = np.maximum(1, np.rint(run_us / speed)).astype(np.int64)
    return scaled


def _check_capacity(schedule: Schedule, workload: Workload, cluster: Cluster) -> None:
    """What is given out never exceeds the cluster; at one instant, ends come before starts.

    Tasks that may have been interrupted are left out, because a schedule does not record their
    single runs.
    """
    whole = schedule.end_us - schedule.start_us <= true_run_us(schedule, workload, cluster)
    whole &= ~workload.tasks["preemptible"] | (schedule.num_preemptions == 0)
    if not whole.any():
        return
    taken = workload.demand_units * workload.tasks["replicas"][:, None]  # (N, K)
    taken = taken[whole]
    times_us = np.concatenate([schedule.end_us[whole], schedule.start_us[whole]])
    in_use = np.cumsum(np.concatenate([-taken, taken])[np.argsort(times_us, kind="stable")], axis=0)
    over = np.flatnonzero(in_use.max(axis=0) > node_table(cluster).total)
    if len(over):
        kind = cluster.schema.kinds[int(over[0])]
        most = float(in_use[:, over[0]].max()) / kind.units_per
        has = float(node_table(cluster).total[over[0]]) / kind.units_per
        raise StateError(
            f"{workload.name}: the schedule gives out {most:g} {kind.unit} of {kind.name} at once;"
            f" the cluster has {has:g}"
        )
