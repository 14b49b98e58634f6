"""From columns of a trace to a workload: the steps that every reader shares.

Tasks are put in order of arrival, labels and device models become bits, and tasks that the cluster
can never hold are left out and counted. Nothing here goes task by task through Python objects, so
100,000 tasks take a moment; tasks that ask for the same are looked at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.clock import to_us
from lepton_rl.core.errors import InfeasibleTaskError, WorkloadError
from lepton_rl.core.intake import Intake, empty_tasks
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.resources import CARD, DEFAULT_SCHEMA, ResourceSchema
from lepton_rl.core.tables import NEVER_US, Records
from lepton_rl.core.tasks import Task
from lepton_rl.workloads.csv_table import MOST
from lepton_rl.workloads.record_codes import write_codes
from lepton_rl.workloads.workload import Workload

__all__ = ["TaskColumns", "build_workload", "count"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]
Names = NDArray[np.str_]

_DEVICES = DEFAULT_SCHEMA.names[DEFAULT_SCHEMA.num_divisible :]

SHORTEST_RUN_S = 1.0
"""Run time of a task whose log says 0 or less: the resolution of most logs."""


@dataclass(frozen=True, eq=False, kw_only=True)
class TaskColumns:
    """Tasks of a trace in any order, one entry a task in each array.

    Attributes:
        ids: names.
        submit_s: submit times in s, >= 0.
        run_s: true run times in s.
        demand: kind -> amount per replica in integer units (millicores, MiB, milli-cards).
        requested_s: requested times in s; None where the trace has none: run times are taken.
        replicas: gang sizes, None for 1.
        labels: required labels joined by `|`, '' for none; None for none at all.
        models: device models joined by `|`, '' for any; None for any at all.
        exclusive: whether it wants whole nodes; None for nobody.
        urgency: E_i of the Lepton priority; None for 0.
        tenants: who submitted it, '' where unknown; None if the trace never says.
        task_classes: what kind of work it is, '' where unknown; None if the trace never says.
        deadlines_s: on the clock of `submit_s`, inf for none; None if the trace has none.
        waits_s: recorded waits, NaN where unknown; None if the trace has none.
    """

    ids: Names
    submit_s: Floats
    run_s: Floats
    demand: Mapping[str, Ints]
    requested_s: Floats | None = None
    replicas: Ints | None = None
    labels: Names | None = None
    models: Names | None = None
    exclusive: Flags | None = None
    urgency: Floats | None = None
    tenants: Names | None = None
    task_classes: Names | None = None
    deadlines_s: Floats | None = None
    waits_s: Floats | None = None

    def take(self, rows: NDArray[np.int64] | Flags) -> TaskColumns:
        """These tasks alone, `(K,)` rows in this order, or where `(N,)` flags are set."""
        taken: dict[str, Any] = {
            name: None if value is None else value[rows]
            for name, value in vars(self).items()
            if name != "demand"
        }
        return TaskColumns(**taken, demand={k: v[rows] for k, v in self.demand.items()})


def count(skipped: dict[str, int], reason: str, applies: Flags) -> None:
    """Add the number of rows that a reason applies to, if there are any."""
    if number := int(np.count_nonzero(applies)):
        skipped[reason] = skipped.get(reason, 0) + number


def build_workload(
    name: str,
    cluster: Cluster,
    columns: TaskColumns,
    skipped: Mapping[str, int] | None = None,
    *,
    shortest_run_s: float = SHORTEST_RUN_S,
) -> Workload:
    """A workload of these tasks, by submit time, then in the order given.

    Run times <= 0 are raised, requested times <= 0 become the run time; a demand for cpu, memory or
    another divisible kind that no node has is left away (the node list does not say how much there
    is); tasks that could never start on the empty cluster are left out. Each is counted by reason.

    Args:
        name: of the workload.
        cluster: where it runs.
        columns: the tasks.
        skipped: what the reader has left out or changed already.
        shortest_run_s: what run times <= 0 become, > 0.

    Raises:
        WorkloadError: no task is left; the message has the reasons.
    """
    counts = dict(skipped or {})
    columns = _named_once(_within_time(columns, counts), counts)
    if len(columns.ids) == 0:
        raise WorkloadError(f"{name}: none of its rows is a task ({_shown(counts)})")
    columns = columns.take(np.argsort(columns.submit_s, kind="stable"))
    run_s, requested_s = _times(columns, shortest_run_s, counts)
    records = _records(cluster.schema, columns, requested_s)
    keep = _startable(cluster, columns, records, counts)
    if not keep.any():
        raise WorkloadError(
            f"{name}: none of its {len(keep)} tasks can run on {len(cluster.nodes)} nodes"
            f" ({_shown(counts)}); give it a larger cluster"
        )
    kept = columns.take(keep)
    records = records[keep]
    write_codes(records, cluster, kept.tenants, kept.task_classes)
    return Workload(
        name,
        cluster,
        records,
        np.maximum(1, to_us(run_s[keep])),
        kept.ids,
        counts,
        tenants=kept.tenants,
        waits_us=None if kept.waits_s is None else _or_unknown(kept.waits_s),
        task_classes=kept.task_classes,
    )


def _within_time(columns: TaskColumns, counts: dict[str, int]) -> TaskColumns:
    """Without tasks that no clock of ours can hold."""
    longest = np.maximum(columns.submit_s, columns.run_s)
    if columns.requested_s is not None:
        longest = np.maximum(longest, columns.requested_s)
    within = longest <= MOST
    count(counts, f"a time beyond {MOST:g} s: dropped", ~within)
    return columns if within.all() else columns.take(within)


def _named_once(columns: TaskColumns, counts: dict[str, int]) -> TaskColumns:
    """Without tasks whose name an earlier row has: a scheduler knows tasks by their names."""
    _, first = np.unique(columns.ids, return_index=True)
    if len(first) == len(columns.ids):
        return columns
    repeated = np.ones(len(columns.ids), np.bool_)
    repeated[first] = False
    count(counts, "name seen before: dropped", repeated)
    return columns.take(~repeated)


def _shown(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{reason}: {number}" for reason, number in counts.items())


def _times(
    columns: TaskColumns, shortest_s: float, counts: dict[str, int]
) -> tuple[Floats, Floats]:
    """Run times and requested times in s, all > 0."""
    run_s = columns.run_s
    count(counts, f"run time <= 0: {shortest_s:g} s taken", run_s <= 0)
    run_s = np.where(run_s <= 0, shortest_s, run_s)
    if columns.requested_s is None:
        counts["requested time unknown: run time taken"] = len(run_s)
        return run_s, run_s
    bad = columns.requested_s <= 0
    count(counts, "requested time <= 0: run time taken", bad)
    return run_s, np.where(bad, run_s, columns.requested_s)


def _records(schema: ResourceSchema, columns: TaskColumns, requested_s: Floats) -> Records:
    """Everything but the bits of labels and models."""
    records = empty_tasks(len(columns.ids), len(schema.kinds))
    records["submit_us"] = to_us(columns.submit_s)
    records["requested_us"] = np.maximum(1, to_us(requested_s))
    for position, kind in enumerate(schema.names):
        if kind in columns.demand:
            records["demand"][:, position] = columns.demand[kind]
    if columns.replicas is not None:
        records["replicas"] = columns.replicas
    if columns.exclusive is not None:
        records["exclusive"] = columns.exclusive
    if columns.urgency is not None:
        records["urgency"] = columns.urgency
    asked = records["demand"][:, : len(schema.kinds)]
    records["size"] = records["replicas"] * _processors(schema, asked)
    _write_limits(records, columns)
    return records


def _write_limits(records: Records, columns: TaskColumns) -> None:
    """Time limits and deadlines."""
    records["limit_us"] = records["requested_us"]
    if columns.deadlines_s is not None:
        deadlines_us = _or_unknown(columns.deadlines_s)
        records["deadline_us"] = np.where(deadlines_us < 0, NEVER_US, deadlines_us)


def _processors(schema: ResourceSchema, demand: Ints) -> Floats:
    """Cards a replica asks for if any, else amount of its first kind, as `Intake` has it."""
    sizes = demand[:, schema.num_divisible :].sum(axis=1) / CARD
    for position, kind in enumerate(schema.kinds[: schema.num_divisible]):
        sizes = np.where(sizes == 0, demand[:, position] / kind.units_per, sizes)
    return np.asarray(sizes, np.float64)


def _or_unknown(seconds: Floats) -> Ints:
    """Times in us, -1 where a time is not finite."""
    known = np.isfinite(seconds)
    return np.where(known, to_us(np.where(known, seconds, 0.0)), -1)


def _startable(
    cluster: Cluster, columns: TaskColumns, records: Records, counts: dict[str, int]
) -> Flags:
    """Which tasks the empty cluster can hold; writes the bits of labels and models."""
    intake = Intake(cluster)
    keep = _without_missing_kinds(cluster, columns, counts)
    keep &= _mark(intake, columns, records, counts)
    single = np.stack([records[name] for name in ("replicas", "labels", "models", "exclusive")])
    asked = np.concatenate([records["demand"], single.T], axis=1)
    _, first, group = np.unique(asked, axis=0, return_index=True, return_inverse=True)
    fits = np.array([_fits(intake, records, int(row)) for row in first], np.bool_)
    fits = fits[group.ravel()]
    count(counts, "larger than the cluster: dropped", keep & ~fits)
    return keep & fits


def _without_missing_kinds(cluster: Cluster, columns: TaskColumns, counts: dict[str, int]) -> Flags:
    keep = np.ones(len(columns.ids), np.bool_)
    for kind, amount in columns.demand.items():
        if kind in cluster.schema:
            continue
        if kind in _DEVICES:
            count(counts, f"no node has {kind}: dropped", keep & (amount > 0))
            keep &= amount == 0
        else:
            count(counts, f"no node says its {kind}: demand left away", keep & (amount > 0))
    return keep


def _mark(intake: Intake, columns: TaskColumns, records: Records, counts: dict[str, int]) -> Flags:
    """Write bits, each combination of labels and models once; False where no node has them."""
    empty = np.full(len(records), "", np.str_)
    labels = empty if columns.labels is None else columns.labels
    models = empty if columns.models is None else columns.models
    joined = np.char.add(np.char.add(labels, "\n"), models)
    names, group = np.unique(joined, return_inverse=True)
    table = empty_tasks(len(names), len(intake.cluster.schema.kinds))
    known = np.ones(len(names), np.bool_)
    for row, name in enumerate(names.tolist()):
        wanted = [frozenset(part.split("|")) - {""} for part in name.split("\n")]
        task = Task("any", {"cpu": 1}, 1.0, required_labels=wanted[0], device_models=wanted[1])
        try:
            intake.mark(table, row, task)
        except InfeasibleTaskError:
            known[row] = False
    records["labels"], records["models"] = table["labels"][group], table["models"][group]
    count(counts, "no node has its labels or device models: dropped", ~known[group])
    return np.asarray(known[group], np.bool_)


def _fits(intake: Intake, records: Records, row: int) -> bool:
    try:
        intake.require_feasible(records, row, "any")
    except InfeasibleTaskError:
        return False
    return True
