"""Networks over tasks, nodes and the cluster; permutation-equivariant over tasks and nodes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["PriorityNetwork"]


def _mlp(sizes: Sequence[int]) -> nn.Sequential:
    """Linear layers of the given widths with ReLU between them."""
    layers: list[nn.Module] = []
    for before, after in pairwise(sizes):
        layers += [nn.Linear(before, after), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


class PriorityNetwork(nn.Module):
    """A learned priority function: one small MLP scores every pending task by itself.

    A task's score depends on its own features and on those of the cluster (with the nodes pooled),
    so it works for any number of slots and nodes, as the kernel network of RLScheduler (Zhang et
    al., SC'20) does. The value network pools over the tasks.

    Args:
        task_features: F.
        node_features: G.
        cluster_features: C.
        hidden: widths of the hidden layers.
    """

    def __init__(
        self,
        task_features: int,
        node_features: int,
        cluster_features: int,
        hidden: Sequence[int] = (32, 32),
    ) -> None:
        super().__init__()
        context = cluster_features + 2 * node_features
        self.scorer = _mlp([task_features + context, *hidden, 1])
        self.waiter = _mlp([context, *hidden[:1], 1])
        self.task_encoder = _mlp([task_features, *hidden])
        self.critic = _mlp([2 * hidden[-1] + context, *hidden, 1])

    def forward(self, tasks: Tensor, nodes: Tensor, cluster: Tensor) -> Tensor:
        """Logits `(B, Q + 1)`, the last for "wait"; the mask is not applied.

        Args:
            tasks: `(B, Q, F)`.
            nodes: `(B, M, G)`.
            cluster: `(B, C)`.
        """
        context = _context(nodes, cluster)
        spread = context.unsqueeze(1).expand(-1, tasks.shape[1], -1)
        scores = self.scorer(torch.cat([tasks, spread], dim=-1)).squeeze(-1)
        return torch.cat([scores, self.waiter(context)], dim=-1)

    def evaluate(
        self, tasks: Tensor, nodes: Tensor, cluster: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Logits as `forward` gives them, 0 in empty slots, and expected returns `(B, 1)`.

        Only occupied slots are computed: windows are mostly empty, so this is several times
        faster than the dense form.

        Args:
            tasks: `(B, Q, F)`.
            nodes: `(B, M, G)`.
            cluster: `(B, C)`.
            mask: `(B, Q + 1)` bool; its last column ("wait") is not used.
        """
        batch, slots = tasks.shape[:2]
        owner, slot = mask[:, :slots].nonzero(as_tuple=True)
        shown = tasks[owner, slot]
        context = _context(nodes, cluster)
        scores = self.scorer(torch.cat([shown, context[owner]], dim=-1)).squeeze(-1)
        dense = scores.new_zeros(batch, slots).index_put((owner, slot), scores)
        logits = torch.cat([dense, self.waiter(context)], dim=-1)

        encoded = torch.relu(self.task_encoder(shown))
        width = encoded.shape[-1]
        total = encoded.new_zeros(batch, width).index_add(0, owner, encoded)
        count = encoded.new_zeros(batch).index_add(0, owner, torch.ones_like(scores))
        highest = encoded.new_zeros(batch, width).scatter_reduce(
            0, owner.unsqueeze(-1).expand_as(encoded), encoded, "amax"
        )
        mean = total / count.clamp(min=1.0).unsqueeze(-1)
        return logits, self.critic(torch.cat([mean, highest, context], dim=-1))


def _context(nodes: Tensor, cluster: Tensor) -> Tensor:
    """Cluster features with the mean and the maximum over the nodes, `(B, C + 2 G)`."""
    return torch.cat([cluster, nodes.mean(dim=1), nodes.amax(dim=1)], dim=-1)
