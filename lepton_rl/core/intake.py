"""From descriptions (Task, Cluster) to the integer rows that the rules work on.

This is the one place where a task is checked against a cluster: what passes here can start on the
empty cluster, so a queue never waits for something that cannot come.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.clock import to_seconds, to_us
from lepton_rl.core.errors import ConfigError, InfeasibleTaskError
from lepton_rl.core.naming import did_you_mean
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.resources import CARD, DEFAULT_SCHEMA
from lepton_rl.core.rules.fit import first_without_room, gang_capacity
from lepton_rl.core.tables import (
    NEVER_US,
    NodeTable,
    PoolTable,
    Records,
    empty_pool,
    node_dtype,
    task_dtype,
)
from lepton_rl.core.tasks import Task

__all__ = ["Intake", "empty_tasks", "node_table", "task_classes"]

_MAX_BITS = 63


class Intake:
    """Translates tasks for one cluster.

    Args:
        cluster: the cluster the tasks will run on.
        tenants: tenant -> number, to go on from; grows with the tasks that are written.

    Raises:
        ConfigError: more than 63 different labels or device models.
    """

    def __init__(self, cluster: Cluster, tenants: dict[str, int] | None = None) -> None:
        self.cluster = cluster
        self.tenants = {"": 0} if tenants is None else tenants
        self.nodes = node_table(cluster)
        self._labels = _bits("labels", (label for node in cluster.nodes for label in node.labels))
        self._models = _bits("device models", _models(cluster))
        self._classes = task_classes(cluster)
        self._idle: PoolTable = empty_pool(self.nodes, 1)

    def leave_out(self, nodes: Collection[int]) -> None:
        """Count no more on these nodes, by index: they have been removed."""
        self._idle.rows["accepting"][0, list(nodes)] = False

    def table(self, tasks: Sequence[Task]) -> Records:
        """One row a task, in the order given.

        Raises:
            InfeasibleTaskError: a task is larger than the empty cluster can hold, or asks for
                kinds, labels or models that no node has.
            ConfigError: a demand is not an amount of its kind, e.g. 1.5 cards.
        """
        table = empty_tasks(len(tasks), len(self.cluster.schema.kinds))
        for row, task in enumerate(tasks):
            self.write(table, row, task)
        return table

    def write(self, table: Records, row: int, task: Task) -> None:
        """Describe `task` in `row`; raises as `table` does."""
        schema = self.cluster.schema
        where = f"task {task.id!r}: demand"
        missing = [n for n, a in task.demand.items() if a > 0 and n not in schema]
        if missing:
            # On a cluster without GPUs, "did you mean 'cpu'?" would be no answer to "gpu".
            is_misspelt = missing[0] not in DEFAULT_SCHEMA
            has = f"the cluster has {', '.join(schema.names)}"
            hint = did_you_mean(missing[0], schema.names) if is_misspelt else has
            raise InfeasibleTaskError(f"{where}: no node has the kind {missing[0]!r}; {hint}")
        demand = schema.to_units({n: a for n, a in task.demand.items() if n in schema}, where)
        table["submit_us"][row] = to_us(task.submit_time_s)
        table["requested_us"][row] = max(1, int(to_us(task.requested_time_s)))
        table["limit_us"][row] = table["requested_us"][row]
        if task.deadline_s is not None:
            table["deadline_us"][row] = to_us(task.deadline_s)
        if task.checkpoint_interval_s is not None:
            table["checkpoint_us"][row] = max(1, int(to_us(task.checkpoint_interval_s)))
        table["demand"][row, : len(demand)] = demand
        table["replicas"][row] = task.num_replicas
        table["size"][row] = task.num_replicas * self._processors(demand)
        table["urgency"][row] = task.urgency
        table["critical"][row] = task.critical
        self.mark(table, row, task)
        table["exclusive"][row] = task.exclusive_node
        table["preemptible"][row] = task.preemptible
        table["tenant"][row] = self.tenants.setdefault(task.tenant, len(self.tenants))
        self.require_feasible(table, row, task.id)

    def mark(self, table: Records, row: int, task: Task) -> None:
        """Write labels, models and task class alone: they change when a cluster grows.

        Raises:
            InfeasibleTaskError: no node has the label, or any of the models.
        """
        table["labels"][row] = self._mask(self._labels, task.required_labels, task, "label")
        table["models"][row] = self._mask(self._models, task.device_models, task, "device model")
        table["task_class"][row] = self._classes.get(task.task_class, 0)

    def describe(self, table: Records, row: int, task_id: str, run_us: int | None = None) -> Task:
        """The task that `write` would put in `row`: its inverse, for records of a trace.

        Its requested time is the user's, also where the record has a prediction. Tenants and
        classes get the names that this intake knows; a class that no node mentions is forgotten,
        it makes no difference.

        Args:
            table: records written for this cluster.
            row: which of them.
            task_id: name of the task, which records do not hold.
            run_us: its true run time in us, None where nobody knows it.
        """
        record = table[row]
        kinds = self.cluster.schema.kinds
        amounts = zip(kinds, record["demand"][: len(kinds)], strict=True)
        deadline_us, checkpoint_us = int(record["deadline_us"]), int(record["checkpoint_us"])
        return Task(
            task_id,
            {kind.name: int(units) / kind.units_per for kind, units in amounts if units},
            requested_time_s=float(to_seconds(record["limit_us"])),
            submit_time_s=float(to_seconds(record["submit_us"])),
            run_time_s=None if run_us is None else float(to_seconds(run_us)),
            num_replicas=int(record["replicas"]),
            urgency=float(record["urgency"]),
            critical=bool(record["critical"]),
            deadline_s=None if deadline_us == NEVER_US else float(to_seconds(deadline_us)),
            required_labels=_names(self._labels, int(record["labels"])),
            device_models=_names(self._models, int(record["models"])),
            exclusive_node=bool(record["exclusive"]),
            tenant=_name_of(self.tenants, int(record["tenant"])),
            task_class=_name_of(self._classes, int(record["task_class"])),
            preemptible=bool(record["preemptible"]),
            checkpoint_interval_s=float(to_seconds(checkpoint_us)) if checkpoint_us else None,
        )

    def require_feasible(self, table: Records, row: int, task_id: str) -> None:
        """Refuse a task that cannot start even on the empty cluster.

        Raises:
            InfeasibleTaskError: names the demand and the largest node.
        """
        replicas = int(table["replicas"][row])
        if gang_capacity(table, self.nodes, self._idle, 0, row) >= replicas:
            return
        schema = self.cluster.schema
        units_per = [kind.units_per for kind in schema.kinds]
        asked = _amounts(schema.names, units_per, table["demand"][row, : len(units_per)].tolist())
        largest = _amounts(schema.names, units_per, self.nodes.largest.tolist())
        raise InfeasibleTaskError(
            f"task {task_id!r} can never start: it asks for {replicas} x ({asked})"
            f" and {len(self.nodes.rows)} nodes offer at most ({largest}) each; lower its"
            " demand, its gang size or its required labels and models, or add nodes"
        )

    def require_all_feasible(self, table: Records, ids: Sequence[str] | NDArray[np.str_]) -> None:
        """Refuse a table in which a task cannot start even on the empty cluster.

        Args:
            table: `(N,)` records written for this cluster.
            ids: `(N,)` the tasks' names.

        Raises:
            InfeasibleTaskError: names the first such task, its demand and the largest node.
        """
        row = first_without_room(table, self.nodes, self._idle, 0)
        if row >= 0:
            self.require_feasible(table, row, str(ids[row]))

    def _processors(self, demand: Sequence[int]) -> float:
        """Cards if the task asks for any, else cores (the first kind)."""
        cards = sum(demand[self.cluster.schema.num_divisible :])
        if cards:
            return cards / CARD
        kinds = self.cluster.schema.kinds
        return next((d / k.units_per for d, k in zip(demand, kinds, strict=True) if d), 0.0)

    def _mask(self, bits: dict[str, int], wanted: frozenset[str], task: Task, what: str) -> int:
        for name in sorted(wanted - set(bits)):
            if what == "label" or not wanted & set(bits):
                hint = did_you_mean(name, bits)
                raise InfeasibleTaskError(
                    f"task {task.id!r}: no node has the {what} {name!r}; {hint}"
                )
        return sum(bits[name] for name in wanted & set(bits))


def node_table(cluster: Cluster) -> NodeTable:
    """The cluster's nodes as arrays, in the cluster's order."""
    schema = cluster.schema
    models = _bits("device models", _models(cluster))
    labels = _bits("labels", (label for node in cluster.nodes for label in node.labels))
    capacity = np.array(
        [schema.to_units(node.capacity, node.name) for node in cluster.nodes], np.int64
    )
    counts = capacity[:, schema.num_divisible :] // CARD
    widths = counts.max(axis=0, initial=0)
    card_start = np.concatenate([[0], np.cumsum(widths)]).astype(np.int64)
    cards = np.zeros((len(cluster.nodes), int(card_start[-1])), np.int64)
    for device in range(schema.num_devices):
        columns = np.arange(widths[device])
        cards[:, card_start[device] : card_start[device + 1]] = CARD * (
            columns[None] < counts[:, device, None]
        )
    rows = np.zeros(len(cluster.nodes), node_dtype(len(schema.kinds)))
    rows["capacity"][:, : capacity.shape[1]] = capacity
    rows["labels"] = [sum(labels[label] for label in node.labels) for node in cluster.nodes]
    rows["model"] = [models.get(node.device_model, 0) for node in cluster.nodes]
    classes = task_classes(cluster)
    speed = [[node.speed_of(name) for name in classes] for node in cluster.nodes]
    return NodeTable(
        rows,
        cards,
        card_start,
        total=capacity.sum(axis=0),
        largest=capacity.max(axis=0),
        speed=np.array(speed, np.float64),
    )


def task_classes(cluster: Cluster) -> dict[str, int]:
    """Columns of `NodeTable.speed`: the classes that nodes mention, after "" for all others."""
    named = {name for node in cluster.nodes for name in node.speed_factors}
    return {name: column for column, name in enumerate(["", *sorted(named - {""})])}


def empty_tasks(num_tasks: int, num_kinds: int) -> Records:
    """`num_tasks` records of zero demand, each one replica that asks for 1 us."""
    table = np.zeros(num_tasks, task_dtype(num_kinds))
    table["requested_us"] = table["limit_us"] = 1
    table["deadline_us"] = NEVER_US
    table["replicas"] = 1
    return table


def _models(cluster: Cluster) -> Iterable[str]:
    return (node.device_model for node in cluster.nodes if node.device_model)


def _bits(what: str, names: Iterable[str]) -> dict[str, int]:
    ordered = sorted(set(names))
    if len(ordered) > _MAX_BITS:
        raise ConfigError(f"cluster: at most {_MAX_BITS} different {what}, got {len(ordered)}")
    return {name: 1 << position for position, name in enumerate(ordered)}


def _name_of(numbers: Mapping[str, int], number: int) -> str:
    return next((name for name, each in numbers.items() if each == number), "")


def _names(bits: dict[str, int], mask: int) -> frozenset[str]:
    return frozenset(name for name, bit in bits.items() if mask & bit)


def _amounts(names: Sequence[str], units_per: Sequence[int], units: Sequence[int]) -> str:
    parts = zip(names, units_per, units, strict=True)
    return ", ".join(f"{name} {int(unit) / per:g}" for name, per, unit in parts)
