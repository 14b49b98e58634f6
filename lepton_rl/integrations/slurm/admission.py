"""On which nodes a job may run at all: partition, features, named and excluded nodes, models."""

from __future__ import annotations

import re
from collections.abc import Iterable

from lepton_rl.integrations.slurm.gres import Gres
from lepton_rl.integrations.slurm.records import SlurmJob, SlurmNode

__all__ = ["admissible_nodes", "understands"]

_SIMPLE = re.compile(r"[\w.\-]+(?:[&,|][\w.\-]+)*", re.ASCII)
"""Features joined by `&` (or `,`) and `|`; no counts, brackets or exclusive or."""


def understands(features: str) -> bool:
    """Whether a constraint is one that we can judge; others are left to Slurm."""
    return not features or bool(_SIMPLE.fullmatch(features))


def admissible_nodes(job: SlurmJob, nodes: Iterable[SlurmNode]) -> frozenset[str]:
    """Names of the nodes that a job may run on, whatever is free there and whatever is down."""
    return frozenset(node.name for node in nodes if _admits(node, job))


def _admits(node: SlurmNode, job: SlurmJob) -> bool:
    if node.name in job.excluded_nodes or not node.partitions & set(job.partitions):
        return False
    if job.required_nodes and node.name not in job.required_nodes:
        return False
    wanted = (*job.gres_per_node, *job.gres_per_job, *job.gres_per_task)
    return _has_features(node.features, job.features) and all(_has(node, gres) for gres in wanted)


def _has_features(has: frozenset[str], features: str) -> bool:
    """Slurm reads such a constraint from left to right, without precedence."""
    if not features:
        return True
    name, *rest = re.split(r"([&,|])", features)
    answer = name in has
    for operator, each in zip(rest[::2], rest[1::2], strict=True):
        answer = (answer or each in has) if operator == "|" else (answer and each in has)
    return answer


def _has(node: SlurmNode, wanted: Gres) -> bool:
    return any(each.name == wanted.name and wanted.model in ("", each.model) for each in node.gres)
