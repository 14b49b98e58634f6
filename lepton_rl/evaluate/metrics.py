"""What a schedule is worth: per-task figures, and their summary over one window.

With s the submit time, b the start, e the end of a task, and r = e - b its run time:

    wait               b - s
    turnaround         e - s
    slowdown           (e - s) / r
    bounded slowdown   max(1, (e - s) / max(r, tau)), tau = 10 s

Bounded slowdown and tau: Feitelson and Rudolph, "Metrics and benchmarking for parallel job
scheduling", JSSPP 1998, as used by RLScheduler (Zhang et al., SC'20).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.clock import to_seconds
from lepton_rl.core.errors import ConfigError
from lepton_rl.core.intake import node_table
from lepton_rl.core.naming import did_you_mean
from lepton_rl.core.nodes import Cluster
from lepton_rl.evaluate.validity import check_cluster, check_schedule
from lepton_rl.sim.objective import BOUND_S
from lepton_rl.sim.replay import Schedule
from lepton_rl.workloads.workload import Workload

__all__ = [
    "METRICS",
    "MetricInfo",
    "Metrics",
    "bounded_slowdowns",
    "measure",
    "metric_info",
    "slowdowns",
    "turnarounds_s",
    "utilisation",
    "waits_s",
]

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Metrics:
    """Summary of one schedule of one window; p95 is the 95th percentile, linearly interpolated.

    Attributes:
        mean_wait_s: >= 0.
        p95_wait_s: >= 0.
        max_wait_s: >= 0.
        mean_turnaround_s: > 0.
        p95_turnaround_s: > 0.
        mean_slowdown: >= 1.
        mean_bounded_slowdown: >= 1.
        p95_bounded_slowdown: >= 1.
        makespan_s: from the first submit to the last end, > 0.
        utilisation: see `utilisation`, in 0..1.
    """

    mean_wait_s: float
    p95_wait_s: float
    max_wait_s: float
    mean_turnaround_s: float
    p95_turnaround_s: float
    mean_slowdown: float
    mean_bounded_slowdown: float
    p95_bounded_slowdown: float
    makespan_s: float
    utilisation: float


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """How to read one field of `Metrics`.

    Attributes:
        title: for table heads.
        unit: `s`, `share` (0..1) or "" for a plain ratio.
        lower_is_better: False if higher is.
        over_windows: how the figures of several windows become one, `mean` or `max`. The p95 of
            several windows is the mean of each window's own.
    """

    title: str
    unit: str
    lower_is_better: bool = True
    over_windows: str = "mean"


METRICS: Mapping[str, MetricInfo] = MappingProxyType(
    {
        "mean_wait_s": MetricInfo("mean wait", "s"),
        "p95_wait_s": MetricInfo("p95 wait", "s"),
        "max_wait_s": MetricInfo("max wait", "s", over_windows="max"),
        "mean_turnaround_s": MetricInfo("mean turnaround", "s"),
        "p95_turnaround_s": MetricInfo("p95 turnaround", "s"),
        "mean_slowdown": MetricInfo("mean slowdown", ""),
        "mean_bounded_slowdown": MetricInfo("mean bounded slowdown", ""),
        "p95_bounded_slowdown": MetricInfo("p95 bounded slowdown", ""),
        "makespan_s": MetricInfo("makespan", "s"),
        "utilisation": MetricInfo("utilisation", "share", lower_is_better=False),
    }
)
"""Field of `Metrics` -> how to read it."""

assert tuple(METRICS) == tuple(field.name for field in fields(Metrics))


def metric_info(name: str) -> MetricInfo:
    """How to read the metric called `name`.

    Raises:
        ConfigError: there is no such metric.
    """
    if name not in METRICS:
        raise ConfigError(f"unknown metric {name!r}; {did_you_mean(name, METRICS)}")
    return METRICS[name]


def waits_s(schedule: Schedule) -> Floats:
    """Wait of each task in s, `(N,)`."""
    return to_seconds(schedule.start_us - schedule.submit_us)


def turnarounds_s(schedule: Schedule) -> Floats:
    """Submit to end of each task in s, `(N,)`."""
    return to_seconds(schedule.end_us - schedule.submit_us)


def slowdowns(schedule: Schedule) -> Floats:
    """Turnaround over run time of each task, `(N,)`, >= 1; run times must be > 0."""
    return turnarounds_s(schedule) / to_seconds(schedule.end_us - schedule.start_us)


def bounded_slowdowns(schedule: Schedule, bound_s: float = BOUND_S) -> Floats:
    """Bounded slowdown of each task, `(N,)`, >= 1; `bound_s` is tau, > 0."""
    run_s = to_seconds(schedule.end_us - schedule.start_us)
    return np.maximum(1.0, turnarounds_s(schedule) / np.maximum(run_s, bound_s))


def utilisation(schedule: Schedule, workload: Workload, cluster: Cluster) -> float:
    """Allocated over available resource-seconds, from the first submit to the last end.

    Allocated is what tasks asked for, from start to end; an exclusive task counts with its demand,
    not with the whole nodes it keeps from others. With several resource kinds it is the figure of
    the busiest. The window includes filling the empty cluster at the start and draining it at the
    end, so a longer window of the same load shows a higher figure.

    Returns:
        A share, 0..1.
    """
    window_s = float(to_seconds(schedule.end_us.max() - schedule.submit_us.min()))
    held_s = to_seconds(schedule.end_us - schedule.start_us) * workload.tasks["replicas"]
    allocated = held_s @ workload.demand_units  # (K,) unit seconds
    return float(np.max(allocated / (node_table(cluster).total * window_s)))


def measure(
    schedule: Schedule, workload: Workload, cluster: Cluster, bound_s: float = BOUND_S
) -> Metrics:
    """Check a schedule of `workload` on `cluster`, and sum it up.

    Args:
        schedule: what happened.
        workload: what should have been scheduled.
        cluster: where; see `check_cluster`.
        bound_s: tau of the bounded slowdown, > 0.

    Raises:
        ConfigError: the workload was not described for this cluster.
        StateError: the schedule is not one of this workload on this cluster; see `check_schedule`.
    """
    check_cluster(workload, cluster)
    check_schedule(schedule, workload, cluster)
    wait_s, turnaround_s = waits_s(schedule), turnarounds_s(schedule)
    bounded = bounded_slowdowns(schedule, bound_s)
    return Metrics(
        mean_wait_s=float(wait_s.mean()),
        p95_wait_s=float(np.quantile(wait_s, 0.95)),
        max_wait_s=float(wait_s.max()),
        mean_turnaround_s=float(turnaround_s.mean()),
        p95_turnaround_s=float(np.quantile(turnaround_s, 0.95)),
        mean_slowdown=float(slowdowns(schedule).mean()),
        mean_bounded_slowdown=float(bounded.mean()),
        p95_bounded_slowdown=float(np.quantile(bounded, 0.95)),
        makespan_s=float(to_seconds(schedule.end_us.max() - schedule.submit_us.min())),
        utilisation=utilisation(schedule, workload, cluster),
    )
