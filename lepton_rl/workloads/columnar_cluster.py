"""A cluster as arrays, and back; part of the columnar workload format."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.resources import ResourceKind, ResourceSchema
from lepton_rl.workloads.array_checks import Arrays, ArraySpec

__all__ = ["CLUSTER_SPECS", "cluster_arrays", "cluster_from"]

CLUSTER_SPECS: Mapping[str, ArraySpec] = {
    "kinds.names": ArraySpec("U", "K"),
    "kinds.units": ArraySpec("U", "K"),
    "kinds.units_per": ArraySpec("int64", "K", 1, 2**53),
    "kinds.is_device": ArraySpec("bool", "K"),
    "nodes.names": ArraySpec("U", "M"),
    "nodes.capacity": ArraySpec("float64", "MK", 0, 2**53, nan=True),  # NaN: the node names none
    "nodes.models": ArraySpec("U", "M"),
    "nodes.labels": ArraySpec("int64", "M", 0),  # bits, in the order of labels.names
    "nodes.idle_watts": ArraySpec("float64", "M", 0, 1e300),
    "nodes.peak_watts": ArraySpec("float64", "M", 0, 1e300),
    "nodes.speeds": ArraySpec("int64", "M", 0),  # row of speeds.factors
    "labels.names": ArraySpec("U", "L"),
    "speeds.classes": ArraySpec("U", "C"),
    "speeds.factors": ArraySpec("float64", "SC", 1e-6, 1e6, nan=True),  # NaN: not named
}
"""K resource kinds, M nodes, L labels, C task classes, S different sets of speed factors."""


def cluster_arrays(cluster: Cluster) -> dict[str, NDArray[Any]]:
    """Arrays as in `CLUSTER_SPECS`.

    A kind of which no node has anything is not in the schema, and so not kept.
    """
    kinds, nodes = cluster.schema.kinds, cluster.nodes
    labels = sorted({label for node in nodes for label in node.labels})
    bit = {label: 1 << position for position, label in enumerate(labels)}
    names = cluster.schema.names
    return {
        "kinds.names": np.array(names, np.str_),
        "kinds.units": np.array([kind.unit for kind in kinds], np.str_),
        "kinds.units_per": np.array([kind.units_per for kind in kinds], np.int64),
        "kinds.is_device": np.array([kind.is_device for kind in kinds], np.bool_),
        "nodes.names": np.array([node.name for node in nodes], np.str_),
        "nodes.capacity": np.array(
            [[node.capacity.get(name, np.nan) for name in names] for node in nodes], np.float64
        ),
        "nodes.models": np.array([node.device_model for node in nodes], np.str_),
        "nodes.labels": np.array([sum(bit[label] for label in n.labels) for n in nodes], np.int64),
        "nodes.idle_watts": np.array([node.idle_watts for node in nodes], np.float64),
        "nodes.peak_watts": np.array([node.peak_watts for node in nodes], np.float64),
        "labels.names": np.array(labels, np.str_),
        **_speed_arrays(nodes),
    }


def _speed_arrays(nodes: tuple[Node, ...]) -> dict[str, NDArray[Any]]:
    """Nodes of one kind have the same factors, so each set of them is kept once."""
    classes = sorted({name for node in nodes for name in node.speed_factors})
    sets: dict[tuple[tuple[str, float], ...], int] = {}
    rows = [sets.setdefault(tuple(sorted(n.speed_factors.items())), len(sets)) for n in nodes]
    factors = np.full((len(sets), len(classes)), np.nan)
    for each, row in sets.items():
        named = dict(each)
        factors[row] = [named.get(name, np.nan) for name in classes]
    return {
        "nodes.speeds": np.array(rows, np.int64),
        "speeds.classes": np.array(classes, np.str_),
        "speeds.factors": factors,
    }


def cluster_from(arrays: Arrays) -> Cluster:
    """The cluster of arrays that were checked.

    Raises:
        WorkloadError: arrays do not fit together.
        ConfigError: a node or a kind is not what one can be.
    """
    labels, nodes_of = _labels(arrays), arrays["nodes.speeds"]
    if len(nodes_of) and int(nodes_of.max()) >= len(arrays["speeds.factors"]):
        raise arrays.fail("nodes.speeds", "rows of speeds.factors")
    speeds = [_named(arrays["speeds.classes"], row) for row in arrays["speeds.factors"]]
    kinds = arrays["kinds.names"]
    rows = zip(
        *(arrays[f"nodes.{name}"].tolist() for name in ("names", "models", "labels", "speeds")),
        arrays["nodes.idle_watts"].tolist(),
        arrays["nodes.peak_watts"].tolist(),
        arrays["nodes.capacity"],
        strict=True,
    )
    nodes = tuple(
        Node(
            name, _named(kinds, capacity), model, _with_bits(labels, bits), speeds[speed],
            idle, peak,
        )
        for name, model, bits, speed, idle, peak, capacity in rows
    )  # fmt: skip
    cluster = Cluster(nodes, _schema(arrays))
    if cluster.schema.names != tuple(kinds.tolist()):
        raise arrays.fail("kinds.names", "kinds that a node has")
    return cluster


def _schema(arrays: Arrays) -> ResourceSchema:
    names = ("kinds.names", "kinds.units", "kinds.units_per", "kinds.is_device")
    columns = zip(*(arrays[name].tolist() for name in names), strict=True)
    return ResourceSchema(tuple(ResourceKind(*column) for column in columns))


def _labels(arrays: Arrays) -> list[str]:
    """Their positions are those of the bits, so they must be the nodes' own, in order."""
    labels: list[str] = arrays["labels.names"].tolist()
    if len(labels) > 63 or labels != sorted(set(labels)):
        raise arrays.fail("labels.names", "at most 63 different labels, sorted")
    arrays.require_bits("nodes.labels", len(labels))
    used = int(np.bitwise_or.reduce(arrays["nodes.labels"], initial=0))
    if used != (1 << len(labels)) - 1:
        raise arrays.fail("labels.names", "labels that a node carries")
    return labels


def _with_bits(names: list[str], bits: int) -> frozenset[str]:
    return frozenset(name for position, name in enumerate(names) if bits >> position & 1)


def _named(names: NDArray[np.str_], values: NDArray[np.float64]) -> dict[str, float]:
    """Name -> value, without those that are NaN."""
    pairs = zip(names.tolist(), values.tolist(), strict=True)
    return {name: value for name, value in pairs if value == value}
