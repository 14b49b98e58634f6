"""Lists of nodes that come with traces, as clusters.

openb       sn, cpu_milli, memory_mib, gpu (cards), model: Alibaba's GPU cluster of 2023
spot2026    node_name, cpu_num (vCPU), gpu_capacity_num (cards), gpu_model: Alibaba's cluster of
            spot GPUs, cluster-trace-v2026-spot-gpu; it does not say how much memory a node has
tiresias    one row: num_switch, num_node_p_switch, num_gpu_p_node, num_cpu_p_node, mem_p_node
            (GB, taken for GiB); each node carries the label of its switch (`switch-0`)
.machines   groups of equal nodes, tab-separated, of the Alea simulator (`machines`)
YAML        a cluster as in docs/cluster.md
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from lepton_rl.core.errors import ConfigError, InputFileError, WorkloadError
from lepton_rl.core.nodes import MAX_CARDS, Cluster, Node
from lepton_rl.workloads.csv_table import Column, number, read_csv, read_header, text, whole
from lepton_rl.workloads.machines import MACHINES_SUFFIX, read_node_groups

__all__ = ["NODE_LISTS", "NodeList", "node_list_of", "read_nodes"]

_MIB_PER_GIB = 1024
_MILLICORES = 1000

_OPENB = (
    text("sn"), whole("cpu_milli"), whole("memory_mib"), whole("gpu", most=MAX_CARDS),
    text("model"),
)  # fmt: skip
_SPOT = (
    text("node_name"), number("cpu_num"), whole("gpu_capacity_num", most=MAX_CARDS),
    text("gpu_model"),
)  # fmt: skip
_TIRESIAS = (
    whole("num_switch", 1, 1000), whole("num_node_p_switch", 1, 10_000),
    whole("num_gpu_p_node", 1, MAX_CARDS), number("num_cpu_p_node"), number("mem_p_node"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class NodeList:
    """One kind of node list.

    Attributes:
        name: for messages and documentation.
        columns: it is told by.
        read: its cluster.
    """

    name: str
    columns: tuple[Column, ...]
    read: Callable[[Path], Cluster]

    def is_list(self, header: frozenset[str]) -> bool:
        """Whether a file with this header is one."""
        return {column.name for column in self.columns} <= header


def read_nodes(path: Path) -> Cluster:
    """The cluster of a node list of any kind, or of a YAML description.

    Raises:
        InputFileError: the file cannot be opened.
        WorkloadError: it is a CSV file of no known kind, or malformed.
        ConfigError: it is YAML, and not that of a cluster.
    """
    if path.suffix.lower() in {".yaml", ".yml"}:
        return Cluster.from_yaml(path)
    if path.suffix.lower() == MACHINES_SUFFIX:
        return _of_groups(path)
    kind = node_list_of(read_header(path))
    if kind is None:
        expected = "; or ".join(
            f"{each.name}: {', '.join(column.name for column in each.columns)}"
            for each in NODE_LISTS.values()
        )
        raise WorkloadError(
            f"{path}, line 1: expected the header of a node list ({expected}), or a YAML file; give"
            " another file"
        )
    try:
        return kind.read(path)
    except InputFileError:
        raise
    except ConfigError as error:
        raise WorkloadError(f"{path}: {error}") from error


def _of_groups(path: Path) -> Cluster:
    return Cluster(
        tuple(
            Node(f"{group.cluster}{n}", {"cpu": group.cpus, "memory": group.memory_gib})
            for group in read_node_groups(path)
            for n in range(1, group.nodes + 1)
        )
    )


def node_list_of(header: frozenset[str]) -> NodeList | None:
    """The kind of node list with this header, None if it is of none."""
    return next((kind for kind in NODE_LISTS.values() if kind.is_list(header)), None)


def _read_openb(path: Path) -> Cluster:
    table = read_csv(path, _OPENB)
    rows = zip(*(table[column.name].tolist() for column in _OPENB), strict=True)
    return Cluster(
        tuple(
            Node(
                name,
                {"cpu": milli / _MILLICORES, "memory": mib / _MIB_PER_GIB, "gpu": cards},
                device_model=model,
            )
            for name, milli, mib, cards, model in rows
        )
    )


def _read_spot(path: Path) -> Cluster:
    table = read_csv(path, _SPOT)
    rows = zip(*(table[column.name].tolist() for column in _SPOT), strict=True)
    return Cluster(
        tuple(
            Node(name, {"cpu": cpu, "gpu": cards}, device_model=model)
            for name, cpu, cards, model in rows
        )
    )


def _read_tiresias(path: Path) -> Cluster:
    table = read_csv(path, _TIRESIAS)
    switches, per_switch, gpu, cpu, memory = (table[each.name].tolist()[0] for each in _TIRESIAS)
    capacity = {"cpu": cpu, "memory": memory, "gpu": gpu}
    return Cluster(
        tuple(
            Node(f"node-{switch}-{n}", capacity, labels=frozenset({f"switch-{switch}"}))
            for switch in range(switches)
            for n in range(per_switch)
        )
    )


NODE_LISTS: Mapping[str, NodeList] = {
    kind.name: kind
    for kind in (
        NodeList("openb", _OPENB, _read_openb),
        NodeList("spot2026", _SPOT, _read_spot),
        NodeList("tiresias", _TIRESIAS, _read_tiresias),
    )
}
"""Name -> kind of node list."""
