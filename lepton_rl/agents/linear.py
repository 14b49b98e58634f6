"""Linear scores of tasks and of nodes: few enough weights for evolution to search, and readable.

Times, shares and waits stand in the features as logarithms, so a linear score orders as a product
of their powers does: SJF, SAF and WFP3 are points of the space. The features that tell who fits and
whom a task would delay let a score backfill without a rule. Placement rules are points of the space
of node scores, and the speed of a node, which no rule reads, is one of its features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from lepton_rl.agents.batch import Batch, Scores
from lepton_rl.agents.networks import SchedulingNetwork
from lepton_rl.core.tables import Floats
from lepton_rl.encoding.features import CLUSTER_FEATURES, TASK_FEATURES
from lepton_rl.sim.linear_score import NODE_SCORE_FEATURES

__all__ = ["NODE_STARTS", "TASK_STARTS", "LinearNetwork", "LinearWeights"]

_SJF = {"requested_time": -1.0}
_SAF = {"requested_time": -1.0, "share_log": -4 / 6}
_WFP3 = {"wait": 1.5, "requested_time": -1.5, "share_log": 1 / 3}
_BACKFILLS = {"fits": 1.5, "delays_smallest": -3.0}
_PROTECTS_OLDEST = {"fits": 1.5, "delays_oldest": -3.0}

TASK_STARTS = {
    "fcfs": {"rank": -1.0},
    "sjf": _SJF,
    "saf": _SAF,
    "wfp3": _WFP3,
    "most urgent": {"deadline": 1.0},
    "sjf, backfilling": {**_SJF, **_BACKFILLS},
    "saf, backfilling": {**_SAF, **_BACKFILLS},
    "fcfs, backfilling by saf": {**_SAF, **_PROTECTS_OLDEST},
}
"""Weights of task features that order as heuristics do. The scales of the features are taken out
(requested_time is log10(1 + s) / 6, share_log 1 + log10(share) / 4, wait log10(1 + s) / 6). Those
that backfill put first who fits and delays neither the smallest, or else the oldest, task."""

NODE_STARTS = {
    "first-fit": {},
    "best-fit": {"left_over": -1.0},
    "least-loaded": {"load": -1.0},
    "fgd": {"relief": 1.0},
    "fastest": {"speed": 1.0},
    "fastest, then first-fit by relief": {"speed": 1.0, "relief": 1.0, "load_after": -0.1},
}
"""Weights of `NODE_SCORE_FEATURES` that place as rules do, and two that go by the speed first."""


@dataclass(frozen=True, slots=True)
class LinearWeights:
    """Weights of the features of tasks and of nodes.

    Attributes:
        tasks: `(F, 1 + C)`; column 0 by itself, 1 + j times cluster feature j.
        nodes: `(X,)` by `NODE_SCORE_FEATURES`; not read where nodes are not chosen.
    """

    tasks: Floats
    nodes: Floats

    @classmethod
    def named(
        cls, tasks: Mapping[str, float], nodes: Mapping[str, float] | None = None
    ) -> LinearWeights:
        """With these of the features, whatever the cluster is like; others are 0."""
        weights = cls(
            np.zeros((len(TASK_FEATURES), 1 + len(CLUSTER_FEATURES))),
            np.zeros(len(NODE_SCORE_FEATURES)),
        )
        for name, value in tasks.items():
            weights.tasks[TASK_FEATURES.index(name), 0] = value
        for name, value in (nodes or {}).items():
            weights.nodes[NODE_SCORE_FEATURES.index(name)] = value
        return weights

    @classmethod
    def of(cls, flat: Floats) -> LinearWeights:
        """From what `flat` returns, `(D,)`; where it has no nodes, their weights are 0."""
        shape = len(TASK_FEATURES), 1 + len(CLUSTER_FEATURES)
        nodes = np.zeros(len(NODE_SCORE_FEATURES))
        of_nodes = flat[shape[0] * shape[1] :]
        nodes[: len(of_nodes)] = of_nodes
        return cls(flat[: shape[0] * shape[1]].reshape(shape).copy(), nodes)

    def flat(self, with_nodes: bool) -> Floats:
        """`(D,)` for a search: tasks row by row, D = F (1 + C), then nodes if wanted, X more."""
        parts = [self.tasks.ravel(), *([self.nodes] if with_nodes else [])]
        return np.concatenate(parts)


class LinearNetwork(SchedulingNetwork):
    """The scores of `sim.linear_episode` as a network, for validation and export.

    Args:
        weights: of tasks and nodes.
        chooses_nodes: whether nodes get logits too.
    """

    def __init__(self, weights: LinearWeights, *, chooses_nodes: bool = False) -> None:
        super().__init__()
        self.weights = _parameter(weights.tasks)
        self.node_weights = _parameter(weights.nodes) if chooses_nodes else None

    def forward(
        self, tasks: Tensor, nodes: Tensor, cluster: Tensor, candidates: Tensor | None = None
    ) -> Tensor:
        """See `SchedulingNetwork.forward`; waiting has the logit 0."""
        scores = (tasks * self._mixed(cluster).unsqueeze(1)).sum(-1)
        parts = [scores, torch.zeros_like(cluster[:, :1])]
        if candidates is not None:
            parts.append(self._placed(nodes, candidates))
        return torch.cat(parts, dim=-1)

    def judge(self, batch: Batch) -> Scores:
        """See `SchedulingNetwork.judge`; there is no value network, so values are 0."""
        scores = (batch.tasks * self._mixed(batch.cluster)[batch.owner]).sum(-1)
        nothing = batch.cluster.new_zeros(batch.rows)
        nodes = None if batch.candidates is None else self._placed(batch.nodes, batch.candidates)
        return Scores(tasks=scores, wait=nothing, nodes=nodes, values=nothing)

    def _mixed(self, cluster: Tensor) -> Tensor:
        """`(B, F)` weights of the task features, given the cluster."""
        return self.weights[:, 0] + cluster @ self.weights[:, 1:].T

    def _placed(self, nodes: Tensor, candidates: Tensor) -> Tensor:
        """`(B, M)` scores of the nodes."""
        assert self.node_weights is not None, "made for an environment without nodes"
        scores: Tensor = torch.cat([nodes, candidates], dim=-1) @ self.node_weights
        return scores


def _parameter(weights: Floats) -> nn.Parameter:
    return nn.Parameter(torch.as_tensor(weights, dtype=torch.float32))
