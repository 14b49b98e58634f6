"""Linear scores of tasks and of nodes: few enough weights for evolution to search, and readable.

Times, shares and waits stand in the features as logarithms, so a linear score orders as a product
of their powers does: SJF, SAF and WFP3 are points of the space. The features that tell who fits and
whom a task would delay let a score backfill without a rule. Placement rules are points of the space
of node scores.

A hold is a weighted sum of the features of a task and of the cluster beside a constant. Where it is
above 0 it lowers the score of the task steeply, so that the task is held back; where waiting is
offered, nodes then stay free for tasks to come. One headroom for long tasks is a single hold.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from lepton_rl.agents.batch import Batch, Scores
from lepton_rl.agents.networks import SchedulingNetwork
from lepton_rl.core.tables import Floats
from lepton_rl.encoding.features import CLUSTER_FEATURES, TASK_FEATURES
from lepton_rl.sim.linear_episode import HOLD_SLOPE
from lepton_rl.sim.linear_score import NODE_SCORE_FEATURES

__all__ = ["HEADROOMS", "NODE_STARTS", "TASK_STARTS", "LinearNetwork", "LinearWeights"]

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
    "fastest": {"speed": 1.0, "left_over": -1e-3},
    "fastest, then first-fit by relief": {"speed": 1.0, "relief": 1.0, "load_after": -0.1},
}
"""Weights of `NODE_SCORE_FEATURES` that place as rules do, and one that mixes three of them."""

_NARROW = {"requested_time": 1.0, "share_left": -3.0, "share": -0.25}
_MEDIUM = {**_NARROW, "share_left": -2.0}
_WIDE = {**_NARROW, "share_left": -1.5}

HEADROOMS = {
    "narrow": _NARROW,
    "medium": _MEDIUM,
    "wide": _WIDE,
    "narrow, waning": {**_NARROW, "wait": -0.3},
    "medium, waning": {**_MEDIUM, "wait": -0.3},
    "wide, waning": {**_WIDE, "wait": -0.5},
}
"""Weights of task features of the holds that a search may begin with, beside the constant
`_HEADROOM_FROM`. The narrow one is above 0 for a task of 3 hours if less than 8 % of the cluster
would be left, of 1 hour if less than 5 %, of 6 minutes or less never; the wider the task, the less
is kept. The next two keep 1.5 times and twice as much. Waning ones let go of who has waited: the
narrow one keeps 6 points less for a task that has waited an hour, and 8 points less after a day."""
_HEADROOM_FROM, _NEVER = -0.43, -1.0


@dataclass(frozen=True, slots=True)
class LinearWeights:
    """What `sim.linear_episode` scores by.

    Attributes:
        tasks: `(F, 1 + C)`; column 0 by itself, 1 + j times cluster feature j.
        nodes: `(X,)` by `NODE_SCORE_FEATURES`; not read where nodes are not chosen.
        holds: `(H, 1 + F + C)`; a constant, task features, cluster features.
    """

    tasks: Floats
    nodes: Floats
    holds: Floats

    @classmethod
    def named(
        cls,
        tasks: Mapping[str, float],
        nodes: Mapping[str, float] | None = None,
        holds: Sequence[Mapping[str, float]] = (),
        num_holds: int | None = None,
    ) -> LinearWeights:
        """With these of the features, whatever the cluster is like; others are 0.

        Args:
            tasks: by `TASK_FEATURES`.
            nodes: by `NODE_SCORE_FEATURES`.
            holds: by `TASK_FEATURES`, as `HEADROOMS` are.
            num_holds: H; those beyond `holds` never hold anybody. None for as many as `holds`.
        """
        count = len(holds) if num_holds is None else num_holds
        weights = cls(
            np.zeros((len(TASK_FEATURES), 1 + len(CLUSTER_FEATURES))),
            np.zeros(len(NODE_SCORE_FEATURES)),
            np.zeros((count, 1 + len(TASK_FEATURES) + len(CLUSTER_FEATURES))),
        )
        for name, value in tasks.items():
            weights.tasks[TASK_FEATURES.index(name), 0] = value
        for name, value in (nodes or {}).items():
            weights.nodes[NODE_SCORE_FEATURES.index(name)] = value
        weights.holds[:, 0] = _NEVER
        for h, hold in enumerate(holds):
            weights.holds[h, 0] = _HEADROOM_FROM
            for name, value in hold.items():
                weights.holds[h, 1 + TASK_FEATURES.index(name)] = value
        return weights

    def flat(self, with_nodes: bool) -> Floats:
        """`(D,)` for a search: tasks and holds row by row, then the nodes if wanted."""
        parts = [self.tasks.ravel(), self.holds.ravel(), *([self.nodes] if with_nodes else [])]
        return np.concatenate(parts)

    def like(self, flat: Floats) -> LinearWeights:
        """Weights of these shapes from a `flat`, `(D,)`; without nodes in it, theirs are 0."""
        ends = self.tasks.size, self.tasks.size + self.holds.size
        tasks, holds, of_nodes = np.split(flat, ends)
        nodes = np.zeros(self.nodes.shape)
        nodes[: len(of_nodes)] = of_nodes
        shaped = tasks.reshape(self.tasks.shape), nodes, holds.reshape(self.holds.shape)
        return LinearWeights(*(each.copy() for each in shaped))


class LinearNetwork(SchedulingNetwork):
    """The scores of `sim.linear_episode` as a network, for validation and export.

    Args:
        weights: of tasks and nodes.
        chooses_nodes: whether nodes get logits too.
    """

    def __init__(self, weights: LinearWeights, *, chooses_nodes: bool = False) -> None:
        super().__init__()
        self.weights = _parameter(weights.tasks)
        self.holds = _parameter(weights.holds)
        self.node_weights = _parameter(weights.nodes) if chooses_nodes else None

    def forward(
        self, tasks: Tensor, nodes: Tensor, cluster: Tensor, candidates: Tensor | None = None
    ) -> Tensor:
        """See `SchedulingNetwork.forward`; waiting has the logit 0."""
        mixed, offsets = self._given(cluster)
        scores = self._scored(tasks, mixed.unsqueeze(1), offsets.unsqueeze(1))
        parts = [scores, torch.zeros_like(cluster[:, :1])]
        if candidates is not None:
            parts.append(self._placed(nodes, candidates))
        return torch.cat(parts, dim=-1)

    def judge(self, batch: Batch) -> Scores:
        """See `SchedulingNetwork.judge`; there is no value network, so values are 0."""
        mixed, offsets = self._given(batch.cluster)
        scores = self._scored(batch.tasks, mixed[batch.owner], offsets[batch.owner])
        nothing = batch.cluster.new_zeros(batch.rows)
        nodes = None if batch.candidates is None else self._placed(batch.nodes, batch.candidates)
        return Scores(tasks=scores, wait=nothing, nodes=nodes, values=nothing)

    def _given(self, cluster: Tensor) -> tuple[Tensor, Tensor]:
        """Weights of the task features, `(B, F)`, and the rest of the holds, `(B, H)`."""
        mixed = self.weights[:, 0] + cluster @ self.weights[:, 1:].T
        offsets = self.holds[:, 0] + cluster @ self.holds[:, 1 + len(TASK_FEATURES) :].T
        return mixed, offsets

    def _scored(self, tasks: Tensor, mixed: Tensor, offsets: Tensor) -> Tensor:
        """Scores `(...)` of tasks `(..., F)`."""
        scores = (tasks * mixed).sum(-1)
        if len(self.holds) == 0:
            return scores
        held = tasks @ self.holds[:, 1 : 1 + len(TASK_FEATURES)].T + offsets
        return scores - HOLD_SLOPE * torch.relu(held).sum(-1)

    def _placed(self, nodes: Tensor, candidates: Tensor) -> Tensor:
        """`(B, M)` scores of the nodes."""
        assert self.node_weights is not None, "made for an environment without nodes"
        scores: Tensor = torch.cat([nodes, candidates], dim=-1) @ self.node_weights
        return scores


def _parameter(weights: Floats) -> nn.Parameter:
    return nn.Parameter(torch.as_tensor(weights, dtype=torch.float32))
