"""Slots: the nodes by index, while nodes come and go.

Records and executors name a node by its index, so an index means one node for as long as a
scheduler lives: new nodes are appended, a removed one leaves an empty slot behind, and a node that
comes back under its old name gets its old index.
"""

from __future__ import annotations

from collections.abc import Iterable

from lepton_rl.core.checks import shown
from lepton_rl.core.errors import ConfigError, NotFoundError
from lepton_rl.core.intake import Intake, node_table
from lepton_rl.core.naming import did_you_mean
from lepton_rl.core.nodes import Cluster, Node, NodeState
from lepton_rl.core.tables import NodeTable

__all__ = ["Slots"]


class Slots:
    """All nodes there are and were.

    Args:
        cluster: the nodes at first, all of them up.

    Attributes:
        cluster: every node by index, those that were removed included.
        states: `NodeState` of each slot.
        absent: indices of the nodes that have been removed.
        has_changed: whether a node ever failed, came or went.
    """

    def __init__(self, cluster: Cluster) -> None:
        self.states = [NodeState.UP] * len(cluster.nodes)
        self.absent: set[int] = set()
        self.has_changed = False
        self._set(cluster)

    def _set(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self._index = {node.name: m for m, node in enumerate(cluster.nodes)}
        self.has_power = any(node.peak_watts for node in cluster.nodes)

    def knows(self, name: str) -> bool:
        """Whether there is a node of this name."""
        return self._index.get(name, -1) not in {-1, *self.absent}

    def index_of(self, name: str) -> int:
        """Index of a node that is there.

        Raises:
            NotFoundError: there is none of this name.
        """
        m = self._index.get(name)
        if m is None or m in self.absent:
            known = [node.name for node in self.present()]
            raise NotFoundError(
                f"no node {name!r} in the cluster; {did_you_mean(str(name), known)}"
            )
        return m

    def present(self) -> tuple[Node, ...]:
        """The nodes that are there, in the order of their indices."""
        nodes = enumerate(self.cluster.nodes)
        return tuple(node for m, node in nodes if m not in self.absent)

    def add(self, nodes: Iterable[Node]) -> None:
        """Take in new nodes, all of them or none; they are up.

        Raises:
            ConfigError: one has the name of a node that is there, or a kind that the cluster had
                not when the scheduler began.
        """
        grown, back, names = list(self.cluster.nodes), [], {node.name for node in self.present()}
        for node in nodes:
            self._check(node, names)
            names.add(node.name)
            if node.name in self._index:
                back.append(self._index[node.name])
                grown[back[-1]] = node
            else:
                grown.append(node)
        cluster = Cluster(tuple(grown), self.cluster.schema)
        self.has_changed = True
        self.absent.difference_update(back)
        for m in back:
            self.states[m] = NodeState.UP
        self.states += [NodeState.UP] * (len(grown) - len(self.states))
        self._set(cluster)

    def set_state(self, m: int, state: NodeState) -> None:
        """A node is up, draining or down from now on."""
        self.has_changed = True
        self.states[m] = state

    def remove(self, m: int) -> None:
        """A node is there no longer."""
        self.has_changed = True
        self.absent.add(m)
        self.states[m] = NodeState.DOWN

    def table(self) -> NodeTable:
        """The nodes as the rules see them; an empty slot offers nothing."""
        table = node_table(self.cluster)
        for m in self.absent:
            table.total[:] -= table.rows["capacity"][m, : len(table.total)]
            table.rows["capacity"][m] = 0
            table.cards[m] = 0
        table.largest[:] = table.rows["capacity"].max(axis=0)[: len(table.largest)]
        return table

    def intake(self, tenants: dict[str, int]) -> Intake:
        """What checks tasks against the nodes that are there, whatever state these are in.

        Args:
            tenants: numbers that are in use (see `Intake`).
        """
        intake = Intake(self.cluster, tenants)
        intake.leave_out(self.absent)
        return intake

    def _check(self, node: Node, names: set[str]) -> None:
        if not isinstance(node, Node):
            raise ConfigError(f"expected a Node to add, got {shown(node)}")
        if node.name in names:
            raise ConfigError(f"a node named {node.name!r} is there already; names must differ")
        for kind, amount in node.capacity.items():
            if amount > 0 and kind not in self.cluster.schema:
                has = ", ".join(self.cluster.schema.names)
                raise ConfigError(
                    f"node {node.name!r}: capacity: the cluster has no kind {kind!r}, only {has};"
                    " kinds are fixed when a scheduler begins"
                )
