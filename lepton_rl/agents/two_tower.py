"""Two towers with latent cross-talk: tasks and nodes see each other through a few latent tokens.

Tasks and nodes are encoded each by itself (the towers). A few learned latent tokens attend to all
of them, as those of a Perceiver (Jaegle et al., ICML 2021) do, and every task and node attends to
the latents in turn. That costs a few times Q + M instead of Q x M, and keeps the network
equivariant to the order of tasks and of nodes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lepton_rl.agents.batch import Batch, Scores, is_occupied
from lepton_rl.agents.networks import SchedulingNetwork, mlp

__all__ = ["TwoTowerNetwork"]


class _Attention(nn.Module):
    """Attention of queries to values, added to the queries; one head.

    Args:
        width: of queries and values.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.scale = width**-0.5

    def forward(self, queries: Tensor, values: Tensor, present: Tensor | None) -> Tensor:
        """`(B, S, d)` for queries `(B, S, d)` and values `(B, V, d)`.

        Args:
            queries: who asks.
            values: who is asked.
            present: `(B, V)` bool, which values are there; at least one in each row. None for all.
        """
        weights = self.query(queries) @ self.key(values).transpose(1, 2) * self.scale
        if present is not None:
            weights = weights.masked_fill(~present.unsqueeze(1), -torch.inf)
        found: Tensor = queries + weights.softmax(dim=-1) @ self.value(values)
        return found


class TwoTowerNetwork(SchedulingNetwork):
    """Encoders for tasks and nodes, latent tokens between them, a head for each.

    Args:
        task_features: F.
        node_features: G.
        cluster_features: C.
        hidden: widths of the hidden layers; the last is that of the tokens.
        candidate_features: P, 0 where nodes are not chosen.
        num_latents: latent tokens.
    """

    def __init__(
        self,
        task_features: int,
        node_features: int,
        cluster_features: int,
        hidden: Sequence[int] = (32, 32),
        candidate_features: int = 0,
        num_latents: int = 4,
    ) -> None:
        super().__init__()
        width = hidden[-1]
        self.task_tower = mlp([task_features, *hidden])
        self.node_tower = mlp([node_features + candidate_features, *hidden])
        self.cluster_token = mlp([cluster_features, *hidden])
        self.latents = nn.Parameter(torch.randn(num_latents, width) * width**-0.5)
        self.gather = _Attention(width)
        self.mix = mlp([width, 2 * width, width])
        self.to_tasks = _Attention(width)
        self.to_nodes = _Attention(width) if candidate_features else None
        self.task_head = mlp([width, *hidden, 1])
        self.node_head = mlp([width, *hidden, 1]) if candidate_features else None
        self.waiter = mlp([width, width, 1])
        self.critic = mlp([width, *hidden, 1])

    def forward(
        self, tasks: Tensor, nodes: Tensor, cluster: Tensor, candidates: Tensor | None = None
    ) -> Tensor:
        """See `SchedulingNetwork.forward`; slots that are all zero are not there."""
        task_logits, wait, node_logits, _ = self._outputs(
            tasks, is_occupied(tasks), nodes, cluster, candidates
        )
        parts = [task_logits, wait.unsqueeze(-1), *([] if node_logits is None else [node_logits])]
        return torch.cat(parts, dim=-1)

    def judge(self, batch: Batch) -> Scores:
        """See `SchedulingNetwork.judge`."""
        tasks, present, column = batch.padded()
        task_logits, wait, node_logits, values = self._outputs(
            tasks, present, batch.nodes, batch.cluster, batch.candidates
        )
        return Scores(task_logits[batch.owner, column], wait, node_logits, values)

    def _outputs(
        self,
        tasks: Tensor,
        present: Tensor,
        nodes: Tensor,
        cluster: Tensor,
        candidates: Tensor | None,
    ) -> tuple[Tensor, Tensor, Tensor | None, Tensor]:
        """Logits of tasks `(B, S)`, of waiting `(B,)` and of nodes `(B, M)`, values `(B,)`."""
        own = nodes if candidates is None else torch.cat([nodes, candidates], dim=-1)
        task_tokens, node_tokens = self.task_tower(tasks), self.node_tower(own)
        whole = self.cluster_token(cluster).unsqueeze(1)
        latents = self._cross_talk(task_tokens, present, node_tokens, whole)
        task_logits = self.task_head(self.to_tasks(task_tokens, latents, None)).squeeze(-1)
        summary = latents.mean(dim=1)
        node_logits = None
        if candidates is not None:
            assert self.node_head is not None, "made for an environment without choice of nodes"
            assert self.to_nodes is not None
            node_logits = self.node_head(self.to_nodes(node_tokens, latents, None)).squeeze(-1)
        wait, values = self.waiter(summary).squeeze(-1), self.critic(summary).squeeze(-1)
        return task_logits, wait, node_logits, values

    def _cross_talk(
        self, task_tokens: Tensor, present: Tensor, node_tokens: Tensor, whole: Tensor
    ) -> Tensor:
        """Latents `(B, L, d)` that have seen the present tasks, the nodes and the whole."""
        tokens = torch.cat([task_tokens, node_tokens, whole], dim=1)
        others = present.new_ones(present.shape[0], node_tokens.shape[1] + 1)
        asked = self.latents.unsqueeze(0) + whole
        latents = self.gather(asked, tokens, torch.cat([present, others], dim=1))
        mixed: Tensor = latents + self.mix(latents)
        return mixed
