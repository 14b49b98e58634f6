"""Node and Cluster: the machines, as the operator describes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from typing import Any

from lepton_rl.core.checks import (
    require_amounts,
    require_count,
    require_names,
    require_number,
    require_text,
    shown,
)
from lepton_rl.core.errors import ConfigError
from lepton_rl.core.resources import CARD, DEFAULT_SCHEMA, ResourceSchema
from lepton_rl.core.settings import read_yaml, require_mapping

__all__ = ["Cluster", "Node", "NodeState"]

MAX_CARDS = 63
"""Card sets are kept as bits of an int64, with columns for the most cards of each device kind."""


class NodeState(StrEnum):
    """Whether a node takes tasks, and runs any."""

    UP = "up"
    """takes tasks"""
    DRAINING = "draining"
    """takes none; what runs there may end"""
    DOWN = "down"
    """takes none; what ran there has been evicted"""


@dataclass(frozen=True, slots=True)
class Node:
    """One machine.

    Attributes:
        name: unique name.
        capacity: kind -> amount, in the kind's unit; device kinds in whole cards.
        device_model: model of its device cards (A100, T4, U250), "" where it has none.
        labels: what tasks may require of it (zone, trust).
        speed_factors: task class -> how fast its tasks run here (> 0; 2 halves their times);
            "" stands for all classes that are not named, which run at 1 otherwise.
        idle_watts: power it draws with nothing running (>= 0).
        peak_watts: power at load 1 (>= `idle_watts`); in between it is linear in the load.
    """

    name: str
    capacity: Mapping[str, float]
    device_model: str = ""
    labels: frozenset[str] = field(default_factory=frozenset)
    speed_factors: Mapping[str, float] = field(default_factory=dict)
    idle_watts: float = 0.0
    peak_watts: float = 0.0

    def __post_init__(self) -> None:
        require_text(self.name, "node: name")
        where = f"node {self.name!r}"
        capacity = require_amounts(self.capacity, f"{where}: capacity")
        if not isinstance(self.device_model, str):
            raise ConfigError(f"{where}: device_model must be a string, got {self.device_model!r}")
        object.__setattr__(self, "capacity", MappingProxyType(capacity))
        object.__setattr__(self, "labels", require_names(self.labels, f"{where}: labels"))
        factors = _require_factors(self.speed_factors, f"{where}: speed_factors")
        object.__setattr__(self, "speed_factors", MappingProxyType(factors))
        _require_watts(self.idle_watts, 0.0, f"{where}: idle_watts")
        _require_watts(self.peak_watts, self.idle_watts, f"{where}: peak_watts")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle and copy by building it again, because a mapping proxy can do neither."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        values["capacity"] = dict(self.capacity)
        values["speed_factors"] = dict(self.speed_factors)
        return Node, tuple(values.values())

    def speed_of(self, task_class: str) -> float:
        """How fast tasks of a class run here; 1 is as their times say."""
        return float(self.speed_factors.get(task_class, self.speed_factors.get("", 1.0)))


@dataclass(frozen=True, slots=True)
class Cluster:
    """Nodes and the resource kinds they are measured in.

    Attributes:
        nodes: at least one; names differ. Their order breaks ties in placement.
        schema: the kinds in use; kinds that no node has are dropped.
    """

    nodes: tuple[Node, ...]
    schema: ResourceSchema = DEFAULT_SCHEMA

    def __post_init__(self) -> None:
        if not isinstance(self.nodes, Sequence) or not all(isinstance(n, Node) for n in self.nodes):
            raise ConfigError(f"cluster: nodes must be a list of Node, got {shown(self.nodes)}")
        object.__setattr__(self, "nodes", tuple(self.nodes))
        if not self.nodes:
            raise ConfigError("cluster: expected at least one node, got none")
        _refuse_equal_names(self.nodes)
        _check_cards(self.nodes, self.schema)
        used = {name for node in self.nodes for name, a in node.capacity.items() if a > 0}
        object.__setattr__(self, "schema", self.schema.restricted_to(used))

    @classmethod
    def pool(cls, processors: int) -> Cluster:
        """One pool of interchangeable processors, as batch-queue traces describe a machine."""
        return cls((Node("pool", {"cpu": processors}),))

    @classmethod
    def from_yaml(cls, path: str | Path) -> Cluster:
        """Read a cluster description (see docs/cluster.md for the keys).

        Raises:
            ConfigError: the file is missing, is not YAML, has an unknown key or a bad value; the
                message names the file, the node and the key.
        """
        data = require_mapping(read_yaml(path), f"{path}", {"nodes"})
        entries = data.get("nodes")
        if not isinstance(entries, list) or not entries:
            raise ConfigError(f"{path}: nodes must be a non-empty list, got {shown(entries)}")
        nodes: list[Node] = []
        for position, entry in enumerate(entries):
            nodes.extend(_nodes_from(entry, f"{path}: nodes[{position}]"))
        try:
            return cls(tuple(nodes))
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error


_FASTEST = 1e6
"""Keeps a mistyped factor from making times that no clock can tell apart."""


def _require_factors(value: object, what: str) -> dict[str, float]:
    if not isinstance(value, Mapping) or not all(isinstance(name, str) for name in value):
        raise ConfigError(f"{what} must map task classes to factors, got {shown(value)}")
    for name, factor in value.items():
        expected = f"{what}: {name} must be a factor from {1 / _FASTEST:g} to {_FASTEST:g}"
        if not 1 / _FASTEST <= require_number(factor, expected) <= _FASTEST:
            raise ConfigError(f"{expected}, got {shown(factor)}")
    return dict(value)


def _require_watts(value: object, least: float, what: str) -> None:
    expected = f"{what} must be a finite number of watts >= {least:g}"
    if require_number(value, expected) < least:
        raise ConfigError(f"{expected}, got {shown(value)}")


def _refuse_equal_names(nodes: Sequence[Node]) -> None:
    seen: set[str] = set()
    for node in nodes:
        if node.name in seen:
            raise ConfigError(f"cluster: two nodes are named {node.name!r}; names must differ")
        seen.add(node.name)


def _check_cards(nodes: Sequence[Node], schema: ResourceSchema) -> None:
    """Cards are whole, and the widest node of each device kind fits one set of card columns."""
    most = [0] * schema.num_devices
    for node in nodes:
        where = f"node {node.name!r}: capacity"
        units = schema.to_units(node.capacity, where)[schema.num_divisible :]
        if any(amount % CARD for amount in units):
            raise ConfigError(
                f"{where}: device kinds must be whole cards, got {shown(dict(node.capacity))}"
            )
        most = [max(pair) for pair in zip(most, units, strict=True)]
    if sum(most) > MAX_CARDS * CARD:
        names = schema.names[schema.num_divisible :]
        got = ", ".join(f"{name} {m // CARD}" for name, m in zip(names, most, strict=True))
        raise ConfigError(
            f"cluster: the most cards a node has of each device kind must add up to at most"
            f" {MAX_CARDS}, got {got}; describe wider machines as several nodes"
        )


_NODE_KEYS = {
    "name", "count", "capacity", "device_model", "labels",
    "speed_factors", "idle_watts", "peak_watts",
}  # fmt: skip

_MOST_NODES = 1_000_000
"""Keeps a mistyped count from filling the memory."""


def _nodes_from(entry: object, where: str) -> list[Node]:
    """One entry describes `count` equal nodes: `gpu` with count 2 gives gpu-0 and gpu-1."""
    item = require_mapping(entry, where, _NODE_KEYS)
    name = require_text(item.get("name"), f"{where}: name")
    count = require_count(item.get("count", 1), f"{where}: count", _MOST_NODES)
    require_mapping(item.get("capacity"), f"{where}: capacity", None)
    names = [name] if count == 1 else [f"{name}-{index}" for index in range(count)]
    model, labels = item.get("device_model", ""), item.get("labels", [])
    more = {key: item[key] for key in ("speed_factors", "idle_watts", "peak_watts") if key in item}
    try:
        return [Node(each, item["capacity"], model, labels, **more) for each in names]
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from error
