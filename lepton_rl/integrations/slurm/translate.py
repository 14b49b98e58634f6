"""From Slurm's nodes and jobs to the Cluster and Tasks that policies know."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from lepton_rl.core.errors import ConfigError
from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.resources import CARD, DEFAULT_SCHEMA, ResourceKind, ResourceSchema
from lepton_rl.core.tasks import Task
from lepton_rl.integrations.slurm.admission import admissible_nodes
from lepton_rl.integrations.slurm.gres import Gres
from lepton_rl.integrations.slurm.records import Share, SlurmJob, SlurmNode
from lepton_rl.integrations.slurm.settings import SlurmSettings

__all__ = ["Translator"]

_MIB_PER_GIB = 1024.0
_MOST_NODE_SETS = 60
"""Labels are bits of an int64."""


class Translator:
    """Describes one snapshot's nodes and jobs.

    Slurm's ways of saying where a job may run (partition, features, named nodes, card models) all
    end in a set of nodes. Each set that is not the whole cluster becomes one label.

    Args:
        nodes: of the snapshot.
        jobs: that will be described.
        settings: which GRES are which device kind.
        origin_s: Unix time of 0 on the policies' clock.
    """

    def __init__(
        self,
        nodes: Sequence[SlurmNode],
        jobs: Iterable[SlurmJob],
        settings: SlurmSettings,
        origin_s: float,
    ) -> None:
        self._nodes = {node.name: node for node in nodes}
        self._settings, self._origin_s = settings, origin_s
        self._labels: dict[frozenset[str], str] = {}
        for job in jobs:
            self._label(admissible_nodes(job, nodes))
        self.cluster = self._cluster()

    def seconds(self, unix_s: float) -> float:
        """A Unix time on the policies' clock, >= 0."""
        return max(0.0, unix_s - self._origin_s)

    def task(self, job: SlurmJob, name: str) -> Task:
        """A pending job, or one element of a pending array.

        Args:
            job: as Slurm has it.
            name: id of the task.

        Raises:
            ConfigError: no node admits it, or too many different sets of nodes are asked for.
        """
        admitted = admissible_nodes(job, self._nodes.values())
        if not admitted:
            raise ConfigError(f"job {name}: no node has its partition, features and cards")
        replicas = self._replicas(job, admitted)
        if replicas > len(admitted):
            raise ConfigError(f"job {name}: it needs {replicas} nodes of {len(admitted)}")
        cards = {
            kind: count for kind, count in self._cards_per_node(job, replicas).items() if count
        }
        memory = _memory_mib(job, replicas)
        return Task(
            name,
            {"cpu": math.ceil(job.cpus / replicas), "memory": memory / _MIB_PER_GIB, **cards},
            requested_time_s=job.limit_s or self._settings.default_limit_s,
            submit_time_s=self.seconds(job.submit_s),
            num_replicas=replicas,
            required_labels=self._label(admitted),
            exclusive_node=job.is_exclusive or _takes_all_memory(job),
            tenant=job.user,
        )

    def held(self, job: SlurmJob, share: Share, name: str) -> Task:
        """What a running job holds on one node, as a task of its own.

        Slurm may spread a job unevenly, which a gang of equal replicas cannot tell.
        """
        node = self._nodes[share.node]
        return Task(
            name,
            {
                "cpu": min(share.cpus, node.cpus),
                "memory": min(share.memory_mib, node.memory_mib) / _MIB_PER_GIB,
                **_within(self._cards(share.gres), self._cards(node.gres)),
            },
            requested_time_s=job.limit_s or self._settings.default_limit_s,
            submit_time_s=self.seconds(job.submit_s),
            exclusive_node=job.is_exclusive,
            tenant=job.user,
        )

    def _cluster(self) -> Cluster:
        nodes = tuple(self._node(node) for node in self._nodes.values())
        return Cluster(nodes, _schema(self._settings.device_kinds.values()))

    def _node(self, node: SlurmNode) -> Node:
        kinds = self._settings.device_kinds
        models = [each.model for each in node.gres if each.name in kinds and each.model]
        return Node(
            node.name,
            {
                "cpu": node.cpus,
                "memory": node.memory_mib / _MIB_PER_GIB,
                **self._cards(node.gres),
            },
            device_model=models[0] if models else "",
            labels=frozenset(label for names, label in self._labels.items() if node.name in names),
        )

    def _label(self, admitted: frozenset[str]) -> frozenset[str]:
        if len(admitted) == len(self._nodes):
            return frozenset()
        if admitted not in self._labels:
            if len(self._labels) == _MOST_NODE_SETS:
                return frozenset({"one node set too many"})
            self._labels[admitted] = f"node set {len(self._labels)}"
        return frozenset({self._labels[admitted]})

    def _cards(self, gres: Iterable[Gres]) -> dict[str, int]:
        """Device kind -> cards."""
        found: dict[str, int] = {}
        for each in gres:
            kind = self._settings.device_kinds.get(each.name)
            if kind is not None:
                found[kind] = found.get(kind, 0) + each.count
        return found

    def _cards_per_node(self, job: SlurmJob, replicas: int) -> dict[str, int]:
        whole = self._cards(job.gres_per_job)
        for kind, count in self._cards(job.gres_per_task).items():
            whole[kind] = whole.get(kind, 0) + count * job.tasks
        found = self._cards(job.gres_per_node)
        for kind, count in whole.items():
            found[kind] = found.get(kind, 0) + math.ceil(count / replicas)
        return found

    def _replicas(self, job: SlurmJob, admitted: frozenset[str]) -> int:
        """Nodes that it will need: Slurm spreads it where no single one has CPUs enough."""
        least = max(1, job.node_count, len(job.required_nodes))
        cpus = [self._nodes[name].cpus for name in admitted]
        for replicas in range(least, len(admitted) + 1):
            if sum(each * replicas >= job.cpus for each in cpus) >= replicas:
                return replicas
        return least


def _schema(device_kinds: Iterable[str]) -> ResourceSchema:
    """The usual kinds, and the device kinds that the settings add."""
    more = sorted(set(device_kinds) - set(DEFAULT_SCHEMA.names))
    added = tuple(ResourceKind(name, "cards", CARD, is_device=True) for name in more)
    return replace(DEFAULT_SCHEMA, kinds=(*DEFAULT_SCHEMA.kinds, *added))


def _memory_mib(job: SlurmJob, replicas: int) -> float:
    if job.memory_per_node_mib is not None:
        return job.memory_per_node_mib
    return (job.memory_per_cpu_mib or 0) * math.ceil(job.cpus / replicas)


def _takes_all_memory(job: SlurmJob) -> bool:
    """Without a limit, or with `--mem=0`, Slurm gives a job the memory of the whole node."""
    return not job.memory_per_node_mib and not job.memory_per_cpu_mib


def _within(cards: Mapping[str, int], most: Mapping[str, int]) -> dict[str, int]:
    return {kind: min(count, most.get(kind, 0)) for kind, count in cards.items() if kind in most}
