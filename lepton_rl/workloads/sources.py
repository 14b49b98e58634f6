"""Opening a workload by name or path, and describing one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.clock import MICROSECOND, to_seconds
from lepton_rl.core.errors import ConfigError
from lepton_rl.core.naming import did_you_mean
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.settings import load_settings
from lepton_rl.workloads.kinds import TRACE_SUFFIXES, read_trace
from lepton_rl.workloads.lublin import LublinConfig, generate_lublin
from lepton_rl.workloads.scenarios.registry import SCENARIOS, generate_scenario
from lepton_rl.workloads.workload import Workload

__all__ = ["GENERATORS", "describe", "describe_cluster", "offered_load", "open_workload"]

GENERATORS = ("lublin", *SCENARIOS)
"""Names of generators."""

_COMPRESSED = ([".gz"], [".bz2"], [".xz"], [".zst"], [".zip"])

_QUANTILES = MappingProxyType({"p1": 0.01, "p25": 0.25, "p50": 0.5, "p75": 0.75, "p99": 0.99})


def open_workload(
    source: str | Path,
    *,
    processors: int | None = None,
    seed: int = 0,
    settings: Mapping[str, object] | None = None,
) -> Workload:
    """Read a trace or generate a workload.

    Args:
        source: a path of a trace, or the name of a generator: lublin, or a scenario
            (docs/scenarios.md).
        processors: machine size, for generators and SWF; overrides what the trace or the
            generator's default says.
        seed: for generators.
        settings: of the generator (`LublinConfig`, or the scenario's), e.g. `{"load": 0.9}`, or of
            the kind of trace (docs/workloads.md), e.g. `{"nodes": 60}`; `kind` there says what kind
            it is where the file does not.

    Raises:
        ConfigError: unknown name, suffix or setting, or a bad value; for an unknown one the
            message has the nearest right one.
        InputFileError: the file cannot be opened.
        WorkloadError: the file is not a usable trace.
    """
    name = str(source)
    given = dict(settings or {})
    if processors is not None:
        given["processors"] = processors
    if name == "lublin":
        return generate_lublin(load_settings(LublinConfig, given, name), seed)
    if name in SCENARIOS:
        return generate_scenario(name, given, seed)
    if not (name.lower().endswith(TRACE_SUFFIXES) or "kind" in given):
        raise ConfigError(_unknown(name))
    return read_trace(Path(name), given)


def _unknown(name: str) -> str:
    suffixes = Path(name.lower()).suffixes
    suffix = "".join(suffixes[-2:] if suffixes[-1:] in _COMPRESSED else suffixes[-1:])
    hint = did_you_mean(suffix, TRACE_SUFFIXES) if suffix else did_you_mean(name, GENERATORS)
    return (
        f"workload {name!r}: expected a path ending in {', '.join(TRACE_SUFFIXES)}, or the name of"
        f" a generator ({', '.join(GENERATORS)}); {hint}"
    )


def offered_load(workload: Workload) -> float:
    """Work offered over work possible: sum(run time x demand) / (span x capacity).

    The span runs from the first submit to the last; infinite if that is nothing. With several
    resource kinds it is the load of the scarcest.
    """
    tasks = workload.tasks
    run_s = to_seconds(workload.run_us)
    demand = tasks["demand"][:, : len(workload.cluster.schema.kinds)]
    work = (run_s * tasks["replicas"]) @ demand  # (K,) unit seconds
    capacity = _capacity(workload.cluster) * _span_s(workload)
    return float(
        np.max(np.divide(work, capacity, out=np.full(len(work), np.inf), where=capacity > 0))
    )


def describe(workload: Workload) -> dict[str, object]:
    """Figures of a workload, as plain values for tables and JSON.

    Returns:
        name; tasks and nodes (counts); processors (cores over all nodes); capacity (kind -> amount
        over all nodes, in the kind's unit); span_days (first to last submit); offered_load (see
        there; None where the span is nothing); run_time_s, gap_s (between submits) and size
        (processors a task), each as mean, p1 to p99 and max, size with serial too (share of tasks
        on at most one processor); overrun (share of tasks that run longer than requested);
        skipped (reason -> rows).
    """
    tasks, capacity = workload.tasks, _amounts(workload.cluster)
    load = offered_load(workload)
    return {
        "name": workload.name,
        "tasks": len(workload),
        "nodes": len(workload.cluster.nodes),
        "processors": capacity.get("cpu", 0.0),
        "capacity": capacity,
        "span_days": _span_s(workload) / 86_400,
        "offered_load": load if np.isfinite(load) else None,
        "run_time_s": _distribution(to_seconds(workload.run_us)),
        "gap_s": _distribution(to_seconds(np.diff(tasks["submit_us"]))),
        "size": {**_distribution(tasks["size"]), "serial": float(np.mean(tasks["size"] <= 1))},
        "overrun": float(np.mean(workload.run_us > tasks["requested_us"])),
        "skipped": dict(workload.skipped),
    }


def describe_cluster(cluster: Cluster) -> dict[str, object]:
    """Figures of a cluster, as plain values for tables and JSON.

    Returns:
        nodes (count); capacity (kind -> amount over all nodes, in the kind's unit); device_models
        (model -> nodes).
    """
    models = Counter(node.device_model for node in cluster.nodes if node.device_model)
    return {
        "nodes": len(cluster.nodes),
        "capacity": _amounts(cluster),
        "device_models": dict(sorted(models.items())),
    }


def _amounts(cluster: Cluster) -> dict[str, float]:
    """Kind -> amount over all nodes, in the kind's unit."""
    units = _capacity(cluster)
    kinds = cluster.schema.kinds
    return {kind.name: float(units[k] / kind.units_per) for k, kind in enumerate(kinds)}


def _capacity(cluster: Cluster) -> NDArray[np.int64]:
    """Integer units of each kind over all nodes, `(K,)`."""
    schema = cluster.schema
    units = [schema.to_units(node.capacity, node.name) for node in cluster.nodes]
    total: NDArray[np.int64] = np.sum(units, axis=0, dtype=np.int64)
    return total


def _span_s(workload: Workload) -> float:
    submit_us = workload.tasks["submit_us"]
    return float(submit_us[-1] - submit_us[0]) / MICROSECOND


def _distribution(values: NDArray[np.float64]) -> Mapping[str, float]:
    if len(values) == 0:
        return {}
    figures = {name: float(np.quantile(values, q)) for name, q in _QUANTILES.items()}
    return {"mean": float(values.mean()), **figures, "max": float(values.max())}
