"""Networks over tasks, nodes and the cluster; permutation-equivariant over tasks and nodes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from lepton_rl.agents.batch import Batch, Scores

__all__ = ["PriorityNetwork", "SchedulingNetwork", "Widths", "mlp"]

Widths = tuple[int, int, int, int]
"""Features of a task, a node, the cluster and a candidate node; the last 0 where nodes are not
chosen."""


def mlp(sizes: Sequence[int]) -> nn.Sequential:
    """Linear layers of the given widths with ReLU between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class SchedulingNetwork(nn.Module):
    """What PPO, validation and export ask of a network."""

    def forward(
        self, tasks: Tensor, nodes: Tensor, cluster: Tensor, candidates: Tensor | None = None
    ) -> Tensor:
        """Logits `(B, Q + 1)`, the last for "wait"; the mask is not applied.

        Args:
            tasks: `(B, Q, F)`, all zero in unused slots.
            nodes: `(B, M, G)`.
            cluster: `(B, C)`.
            candidates: `(B, M, P)` where nodes are chosen too; then the logits are
                `(B, Q + 1 + M)`, the last M for the nodes.
        """
        raise NotImplementedError

    def judge(self, batch: Batch) -> Scores:
        """Logits and values of a batch without empty slots; equal to `forward` where that is."""
        raise NotImplementedError

    def evaluate(
        self,
        tasks: Tensor,
        nodes: Tensor,
        cluster: Tensor,
        mask: Tensor,
        candidates: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """`judge` of whole windows: logits `(B, A)`, 0 in empty slots, and values `(B, 1)`.

        Args:
            tasks: `(B, Q, F)`.
            nodes: `(B, M, G)`.
            cluster: `(B, C)`.
            mask: `(B, A)` bool; see `Batch.of`.
            candidates: `(B, M, P)` or None.
        """
        batch = Batch.of(tasks, nodes, cluster, mask, candidates)
        scores = self.judge(batch)
        return scores.spread(batch), scores.values.unsqueeze(-1)


class PriorityNetwork(SchedulingNetwork):
    """A learned priority function: one small MLP scores every pending task by itself.

    A task's score depends on its own features and on those of the cluster (with the nodes pooled),
    so it works for any number of slots and nodes, as the kernel network of RLScheduler (Zhang et
    al., SC'20) does. A node's score depends on its own features, on what it would be for the chosen
    task, and on the cluster. The value network pools over the tasks.

    Args:
        task_features: F.
        node_features: G.
        cluster_features: C.
        hidden: widths of the hidden layers.
        candidate_features: P, 0 where nodes are not chosen.
    """

    def __init__(
        self,
        task_features: int,
        node_features: int,
        cluster_features: int,
        hidden: Sequence[int] = (32, 32),
        candidate_features: int = 0,
    ) -> None:
        super().__init__()
        context = cluster_features + 2 * node_features
        self.scorer = mlp([task_features + context, *hidden, 1])
        self.waiter = mlp([context, *hidden[:1], 1])
        self.task_encoder = mlp([task_features, *hidden])
        self.critic = mlp([2 * hidden[-1] + context, *hidden, 1])
        self.placer = (
            mlp([node_features + candidate_features + context, *hidden, 1])
            if candidate_features
            else None
        )

    def forward(
        self, tasks: Tensor, nodes: Tensor, cluster: Tensor, candidates: Tensor | None = None
    ) -> Tensor:
        """See `SchedulingNetwork.forward`."""
        context = _context(nodes, cluster)
        scores = _score(self.scorer, tasks, context, None)
        parts = [scores, self.waiter(context)]
        if candidates is not None:
            parts.append(self._place(nodes, candidates, context))
        return torch.cat(parts, dim=-1)

    def judge(self, batch: Batch) -> Scores:
        """See `SchedulingNetwork.judge`."""
        context = _context(batch.nodes, batch.cluster)
        return Scores(
            tasks=_score(self.scorer, batch.tasks, context, batch.owner),
            wait=self.waiter(context).squeeze(-1),
            nodes=None
            if batch.candidates is None
            else self._place(batch.nodes, batch.candidates, context),
            values=self._value(batch, context),
        )

    def _value(self, batch: Batch, context: Tensor) -> Tensor:
        encoded = torch.relu(self.task_encoder(batch.tasks))
        total = encoded.new_zeros(batch.rows, encoded.shape[-1])
        total = total.index_add(0, batch.owner, encoded)
        mean = total / batch.counts.clamp(min=1).unsqueeze(-1)
        highest = torch.segment_reduce(  # 0 without tasks, and never less because of the ReLU
            encoded, "max", lengths=batch.counts, unsafe=True, initial=0
        )
        value: Tensor = self.critic(torch.cat([mean, highest, context], dim=-1))
        return value.squeeze(-1)

    def _place(self, nodes: Tensor, candidates: Tensor, context: Tensor) -> Tensor:
        assert self.placer is not None, "the network was made for an environment without nodes"
        return _score(self.placer, torch.cat([nodes, candidates], dim=-1), context, None)


def _context(nodes: Tensor, cluster: Tensor) -> Tensor:
    """Cluster features with the mean and the maximum over the nodes, `(B, C + 2 G)`."""
    return torch.cat([cluster, nodes.mean(dim=1), nodes.amax(dim=1)], dim=-1)


def _score(layers: nn.Sequential, own: Tensor, context: Tensor, owner: Tensor | None) -> Tensor:
    """`layers` of each row of `own` beside the context of its observation.

    The context's part of the first layer is computed once an observation, not once a task.

    Args:
        layers: begins with a linear layer over own features and context.
        own: `(B, S, d)`, or `(N, d)` with an `owner`.
        context: `(B, c)`.
        owner: `(N,)` observation of each row.

    Returns:
        `(B, S)` or `(N,)`.
    """
    first = layers[0]
    assert isinstance(first, nn.Linear)
    width = own.shape[-1]
    shared = functional.linear(context, first.weight[:, width:], first.bias)
    spread = shared.unsqueeze(1) if owner is None else shared.index_select(0, owner)
    hidden = functional.linear(own, first.weight[:, :width]) + spread
    if owner is None:  # as one matrix, of which ONNX Runtime fuses product, bias and ReLU
        scores: Tensor = layers[1:](hidden.flatten(0, 1))
        return scores.view(own.shape[0], -1)
    result: Tensor = layers[1:](hidden)
    return result.squeeze(-1)
