"""What a schedule is worth: per-task figures, and their summary over one window.

With s the submit time, b the first start, e the end of a task, and r its run time, which is e - b
but for tasks that were interrupted:

    wait               b - s
    turnaround         e - s
    slowdown           (e - s) / r
    bounded slowdown   max(1, (e - s) / max(r, tau)), tau = 10 s

A figure that does not apply (deadline misses where nobody has a deadline) is NaN, printed as "-"
and null in JSON. Figures of the cluster are in `occupancy`.

Bounded slowdown and tau: Feitelson and Rudolph, "Metrics and benchmarking for parallel job
scheduling", JSSPP 1998, as used by RLScheduler (Zhang et al., SC'20).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.clock import to_seconds
from lepton_rl.core.errors import ConfigError
from lepton_rl.core.naming import did_you_mean
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.tables import NEVER_US, Ints
from lepton_rl.evaluate.occupancy import (
    device_utilisation,
    energy_kwh,
    fragmentation,
    utilisation,
)
from lepton_rl.evaluate.validity import check_cluster, check_schedule, true_run_us
from lepton_rl.sim.objective import BOUND_S
from lepton_rl.sim.replay import Schedule
from lepton_rl.workloads.workload import Workload

__all__ = [
    "METRICS",
    "METRICS_VERSION",
    "MetricInfo",
    "Metrics",
    "bounded_slowdowns",
    "deadline_misses",
    "jain_fairness",
    "measure",
    "metric_info",
    "slowdowns",
    "turnarounds_s",
    "utilisation",
    "waits_s",
]

Floats = NDArray[np.float64]

METRICS_VERSION = 2
"""Counts up when a figure of `measure` is added or computed in another way."""


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
        utilisation: see `occupancy.utilisation`, in 0..1.
        device_utilisation: that of the first device kind (GPU cards), 0..1; NaN without devices.
        fragmentation: idle share that typical tasks cannot use, 0..1, see `occupancy`.
        deadline_misses: share of the tasks with a deadline that ended after it; NaN without any.
        jain_fairness: see `jain_fairness`, above 0 to 1.
        energy_kwh: of all nodes, see `occupancy`; NaN if no node states its watts.
        preemptions: runs that were stopped for other work, >= 0.
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
    device_utilisation: float = math.nan
    fragmentation: float = math.nan
    deadline_misses: float = math.nan
    jain_fairness: float = math.nan
    energy_kwh: float = math.nan
    preemptions: float = math.nan


@dataclass(frozen=True, slots=True)
class MetricInfo:
    """How to read one field of `Metrics`.

    Attributes:
        title: for table heads.
        unit: `s`, `kWh`, `share` (0..1) or "" for a plain ratio or number.
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
        "device_utilisation": MetricInfo("GPU allocation", "share", lower_is_better=False),
        "fragmentation": MetricInfo("fragmentation", "share"),
        "deadline_misses": MetricInfo("deadline misses", "share"),
        "jain_fairness": MetricInfo("Jain fairness", "", lower_is_better=False),
        "energy_kwh": MetricInfo("energy", "kWh"),
        "preemptions": MetricInfo("preemptions", ""),
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


def slowdowns(schedule: Schedule, run_us: Ints | None = None) -> Floats:
    """Turnaround over run time of each task, `(N,)`, >= 1; run times must be > 0.

    Args:
        schedule: what happened.
        run_us: `(N,)` true run times; by default end - start.
    """
    return turnarounds_s(schedule) / _run_s(schedule, run_us)


def bounded_slowdowns(
    schedule: Schedule, bound_s: float = BOUND_S, run_us: Ints | None = None
) -> Floats:
    """Bounded slowdown of each task, `(N,)`, >= 1; `bound_s` is tau, > 0; see `slowdowns`."""
    run_s = _run_s(schedule, run_us)
    return np.maximum(1.0, turnarounds_s(schedule) / np.maximum(run_s, bound_s))


def _run_s(schedule: Schedule, run_us: Ints | None) -> Floats:
    return to_seconds(schedule.end_us - schedule.start_us if run_us is None else run_us)


def deadline_misses(schedule: Schedule, workload: Workload) -> float:
    """Share of the tasks with a deadline that ended after it, 0..1; NaN if none has one."""
    deadline_us = workload.tasks["deadline_us"]
    has_one = deadline_us != NEVER_US
    if not has_one.any():
        return math.nan
    return float((schedule.end_us > deadline_us)[has_one].mean())


def jain_fairness(bounded: Floats, tenants: NDArray[np.str_] | None) -> float:
    """Jain's index (sum x)^2 / (n sum x^2) of the mean bounded slowdowns x of n tenants.

    1 where all fare alike, 1/n where one has all the delay. Where fewer than two tenants are named,
    each task counts as a tenant. Source: Jain, Chiu, Hawe, "A quantitative measure of fairness and
    discrimination for resource allocation in shared computer systems", DEC-TR-301, 1984.

    Args:
        bounded: `(N,)` bounded slowdowns.
        tenants: `(N,)` names; None if the source has none.
    """
    values = bounded
    if tenants is not None:
        names, which = np.unique(tenants, return_inverse=True)
        if len(names) > 1:
            values = np.bincount(which.ravel(), bounded) / np.bincount(which.ravel())
    return float(values.sum() ** 2 / (len(values) * (values**2).sum()))


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
    run_us = true_run_us(schedule, workload, cluster)
    wait_s, turnaround_s = waits_s(schedule), turnarounds_s(schedule)
    bounded = bounded_slowdowns(schedule, bound_s, run_us)
    return Metrics(
        mean_wait_s=float(wait_s.mean()),
        p95_wait_s=float(np.quantile(wait_s, 0.95)),
        max_wait_s=float(wait_s.max()),
        mean_turnaround_s=float(turnaround_s.mean()),
        p95_turnaround_s=float(np.quantile(turnaround_s, 0.95)),
        mean_slowdown=float(slowdowns(schedule, run_us).mean()),
        mean_bounded_slowdown=float(bounded.mean()),
        p95_bounded_slowdown=float(np.quantile(bounded, 0.95)),
        makespan_s=float(to_seconds(schedule.end_us.max() - schedule.submit_us.min())),
        utilisation=utilisation(schedule, workload, cluster, run_us),
        device_utilisation=device_utilisation(schedule, workload, cluster, run_us),
        fragmentation=fragmentation(schedule, workload, cluster),
        deadline_misses=deadline_misses(schedule, workload),
        jain_fairness=jain_fairness(bounded, workload.tenants),
        energy_kwh=energy_kwh(schedule, workload, cluster),
        preemptions=float(schedule.num_preemptions),
    )
