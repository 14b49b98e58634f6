"""PBS node requests, and the nodes whose properties they name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.workloads.machines import NodeGroup

__all__ = ["NodeProperties", "NodeRequest"]

_COUNT = re.compile(r"\d{1,6}")
_PROCESSORS = re.compile(r"ppn=(\d{1,6}(?:\.\d{1,3})?)")


@dataclass(frozen=True, slots=True)
class NodeRequest:
    """A PBS node request.

    Attributes:
        replicas: nodes it asks for (>= 1).
        cores: of each; None where it does not say.
        properties: every node must have.
        exclusive: whether nothing else may run there.
        is_uneven: whether its parts ask for unlike nodes, so that some get more than they need.
    """

    replicas: int
    cores: float | None
    properties: tuple[str, ...]
    exclusive: bool
    is_uneven: bool

    @classmethod
    def parse(cls, text: str) -> NodeRequest:
        """Read `nodes:ppn=N:property...`, parts joined by `+`, perhaps `#excl`.

        Raises:
            ValueError: a part asks for 0 nodes or cores.
        """
        body, _, flag = text.partition("#")
        parts = [_part(part) for part in body.split("+")]
        replicas = sum(nodes for nodes, _, _ in parts)
        cores = [cores for _, cores, _ in parts]
        if replicas < 1 or any(each is not None and each <= 0 for each in cores):
            raise ValueError("it asks for nothing")
        given = [each for each in cores if each is not None]
        properties = dict.fromkeys(name for _, _, names in parts for name in names)
        return cls(
            replicas, max(given) if given else None, tuple(properties), flag == "excl",
            len(set(cores)) > 1,
        )  # fmt: skip


def _part(text: str) -> tuple[int, float | None, list[str]]:
    """Nodes, cores and properties of `2:ppn=4:brno`; without a number in front it is one node."""
    nodes, cores, properties = 1, None, []
    for position, term in enumerate(text.split(":")):
        if position == 0 and _COUNT.fullmatch(term):
            nodes = int(term)
        elif found := _PROCESSORS.fullmatch(term):
            cores = float(found[1])
        elif term and not term.startswith("mem="):
            properties.append(term.removeprefix("host="))
    return nodes, cores, properties


class NodeProperties:
    """Nodes of the groups, and the labels that requests have asked for."""

    def __init__(self, groups: Sequence[NodeGroup]) -> None:
        self._nodes = [(f"{g.cluster}{n}", g) for g in groups for n in range(1, g.nodes + 1)]
        self._clusters = {group.cluster for group in groups}
        self._labels: dict[str, frozenset[str]] = {}  # property -> names of nodes that have it

    def labels_of(self, properties: Sequence[str]) -> str:
        """Properties that not every node has, joined by `|`."""
        for name in properties:
            if name not in self._labels:
                self._labels[name] = self._having(name)
        return "|".join(
            sorted(name for name in properties if len(self._labels[name]) < len(self._nodes))
        )

    def cluster(self) -> Cluster:
        """The nodes with the labels that were asked for."""
        telling = {n: have for n, have in self._labels.items() if len(have) < len(self._nodes)}
        return Cluster(
            tuple(
                Node(
                    name,
                    {"cpu": group.cpus, "memory": group.memory_gib},
                    labels=frozenset(label for label, have in telling.items() if name in have),
                )
                for name, group in self._nodes
            )
        )

    def _having(self, name: str) -> frozenset[str]:
        if name.startswith("^"):
            return frozenset(node for node, _ in self._nodes) - self._having(name[1:])
        host = name.split(".")[0]
        if any(node == host for node, _ in self._nodes):
            return frozenset({host})
        if name.startswith("cl_"):
            return frozenset(node for node, group in self._nodes if group.cluster == name[3:])
        if found := re.fullmatch(r"nodecpus(\d+)", name):
            return frozenset(node for node, group in self._nodes if group.cpus == int(found[1]))
        if re.sub(r"\d+$", "", host) in self._clusters and "." in name:
            return frozenset()  # a host of these clusters that is not there
        return frozenset(node for node, _ in self._nodes)
