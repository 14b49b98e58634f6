"""A log-linear priority: few enough weights for evolution to search, and readable ones.

Times, shares and waits stand in the features as logarithms, so a linear score orders as a product
of their powers does: SJF, SAF and WFP3 are points of the space. The features that tell who fits and
whom a task would delay let a score backfill without a rule.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from lepton_rl.agents.batch import Batch, Scores
from lepton_rl.agents.networks import SchedulingNetwork
from lepton_rl.core.tables import Floats
from lepton_rl.encoding.features import CLUSTER_FEATURES, TASK_FEATURES

__all__ = ["LINEAR_STARTS", "LinearNetwork", "weights_of"]

_SJF = {"requested_time": -1.0}
_SAF = {"requested_time": -1.0, "share_log": -4 / 6}
_WFP3 = {"wait": 1.5, "requested_time": -1.5, "share_log": 1 / 3}
_BACKFILLS = {"fits": 1.5, "delays_smallest": -3.0}
_PROTECTS_OLDEST = {"fits": 1.5, "delays_oldest": -3.0}

LINEAR_STARTS = {
    "fcfs": {"rank": -1.0},
    "sjf": _SJF,
    "saf": _SAF,
    "wfp3": _WFP3,
    "sjf, backfilling": {**_SJF, **_BACKFILLS},
    "saf, backfilling": {**_SAF, **_BACKFILLS},
    "fcfs, backfilling by saf": {**_SAF, **_PROTECTS_OLDEST},
}
"""Weights of task features that order as heuristics do. The scales of the features are taken out
(requested_time is log10(1 + s) / 6, share_log 1 + log10(share) / 4, wait log10(1 + s) / 6). Those
that backfill put first who fits and delays neither the smallest, or else the oldest, task."""


def weights_of(named: dict[str, float]) -> Floats:
    """`(F, 1 + C)` weights with these of task features, whatever the cluster is like."""
    weights = np.zeros((len(TASK_FEATURES), 1 + len(CLUSTER_FEATURES)))
    for name, value in named.items():
        weights[TASK_FEATURES.index(name), 0] = value
    return weights


class LinearNetwork(SchedulingNetwork):
    """The score of `sim.scored.play_scored` as a network, for validation and export.

    Args:
        weights: `(F, 1 + C)`.
    """

    def __init__(self, weights: Floats) -> None:
        super().__init__()
        self.weights = nn.Parameter(torch.as_tensor(weights, dtype=torch.float32))

    def forward(
        self, tasks: Tensor, nodes: Tensor, cluster: Tensor, candidates: Tensor | None = None
    ) -> Tensor:
        """See `SchedulingNetwork.forward`; waiting has the logit 0, and no nodes are chosen."""
        scores = (tasks * self._mixed(cluster).unsqueeze(1)).sum(-1)
        return torch.cat([scores, torch.zeros_like(cluster[:, :1])], dim=-1)

    def judge(self, batch: Batch) -> Scores:
        """See `SchedulingNetwork.judge`; there is no value network, so values are 0."""
        scores = (batch.tasks * self._mixed(batch.cluster)[batch.owner]).sum(-1)
        nothing = batch.cluster.new_zeros(batch.rows)
        return Scores(tasks=scores, wait=nothing, nodes=None, values=nothing)

    def _mixed(self, cluster: Tensor) -> Tensor:
        """`(B, F)` weights of the task features, given the cluster."""
        return self.weights[:, 0] + cluster @ self.weights[:, 1:].T
