"""A log-linear priority with holds: few enough weights for evolution, and readable ones.

Times, shares and waits stand in the features as logarithms, so a linear score orders as a product
of their powers does: SJF, SAF and WFP3 are points of the space. The features that tell who fits and
whom a task would delay let a score backfill without a rule.

A hold is a weighted sum of the same features beside a constant. Where it is above 0 it lowers the
score steeply, so that the task is held back; where waiting is offered, nodes then stay free for
tasks to come. One headroom for long tasks is a single hold.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from lepton_rl.agents.batch import Batch, Scores
from lepton_rl.agents.networks import SchedulingNetwork
from lepton_rl.core.tables import Floats
from lepton_rl.encoding.features import CLUSTER_FEATURES, TASK_FEATURES
from lepton_rl.sim.scored import HOLD_SLOPE

__all__ = ["HEADROOM", "LINEAR_STARTS", "ScoreNetwork", "ScoreWeights", "weights_of"]

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

HEADROOM = {"requested_time": 1.0, "share_left": -3.0, "share": -0.25}
"""Weights of task features of the hold that a search begins with, beside the constant
`_HEADROOM_FROM`: above 0 for a task of 3 hours if less than 8 % of the cluster would be left, of 1
hour if less than 5 %, of 6 minutes or less never; the wider the task, the less is kept."""
_HEADROOM_FROM, _NEVER = -0.43, -1.0


@dataclass(frozen=True, slots=True)
class ScoreWeights:
    """What `sim.scored.play_scored` scores by.

    Attributes:
        linear: `(F, 1 + C)` of the task features, and of their products with the cluster's.
        holds: `(H, 1 + F + C)` a constant, task features, cluster features.
    """

    linear: Floats
    holds: Floats

    def flat(self) -> Floats:
        """All of them, `(d,)`."""
        return np.concatenate([self.linear.ravel(), self.holds.ravel()])

    def like(self, flat: Floats) -> ScoreWeights:
        """Weights of the same shapes from `flat()` of others."""
        linear, holds = np.split(flat, [self.linear.size])
        return ScoreWeights(linear.reshape(self.linear.shape), holds.reshape(self.holds.shape))


def weights_of(named: dict[str, float], num_holds: int = 0) -> ScoreWeights:
    """Weights with these of task features, whatever the cluster is like.

    Args:
        named: by `TASK_FEATURES`.
        num_holds: H; the first is `HEADROOM`, the others never hold anybody.
    """
    features = len(TASK_FEATURES), len(CLUSTER_FEATURES)
    linear = np.zeros((features[0], 1 + features[1]))
    for name, value in named.items():
        linear[TASK_FEATURES.index(name), 0] = value
    holds = np.zeros((num_holds, 1 + sum(features)))
    holds[:, 0] = _NEVER
    if num_holds:
        holds[0, 0] = _HEADROOM_FROM
        for name, value in HEADROOM.items():
            holds[0, 1 + TASK_FEATURES.index(name)] = value
    return ScoreWeights(linear, holds)


class ScoreNetwork(SchedulingNetwork):
    """The score of `sim.scored.play_scored` as a network, for validation and export.

    Args:
        weights: what it scores by.
    """

    def __init__(self, weights: ScoreWeights) -> None:
        super().__init__()
        self.linear = nn.Parameter(torch.as_tensor(weights.linear, dtype=torch.float32))
        self.holds = nn.Parameter(torch.as_tensor(weights.holds, dtype=torch.float32))

    def forward(
        self, tasks: Tensor, nodes: Tensor, cluster: Tensor, candidates: Tensor | None = None
    ) -> Tensor:
        """See `SchedulingNetwork.forward`; waiting has the logit 0, and no nodes are chosen."""
        mixed, offsets = self._given(cluster)
        scores = self._scored(tasks, mixed.unsqueeze(1), offsets.unsqueeze(1))
        return torch.cat([scores, torch.zeros_like(cluster[:, :1])], dim=-1)

    def judge(self, batch: Batch) -> Scores:
        """See `SchedulingNetwork.judge`; there is no value network, so values are 0."""
        mixed, offsets = self._given(batch.cluster)
        scores = self._scored(batch.tasks, mixed[batch.owner], offsets[batch.owner])
        nothing = batch.cluster.new_zeros(batch.rows)
        return Scores(tasks=scores, wait=nothing, nodes=None, values=nothing)

    def _given(self, cluster: Tensor) -> tuple[Tensor, Tensor]:
        """Weights of the task features, `(B, F)`, and the rest of the holds, `(B, H)`."""
        mixed = self.linear[:, 0] + cluster @ self.linear[:, 1:].T
        offsets = self.holds[:, 0] + cluster @ self.holds[:, 1 + len(TASK_FEATURES) :].T
        return mixed, offsets

    def _scored(self, tasks: Tensor, mixed: Tensor, offsets: Tensor) -> Tensor:
        """Scores `(...)` of tasks `(..., F)`."""
        held = tasks @ self.holds[:, 1 : 1 + len(TASK_FEATURES)].T + offsets
        return (tasks * mixed).sum(-1) - HOLD_SLOPE * torch.relu(held).sum(-1)
