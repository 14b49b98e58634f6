"""Observations as networks read them: the tasks that are there, without the empty slots.

Windows are mostly empty (6 of 128 slots are taken on average in the default training run), so the
tasks of all observations stand one after another in one tensor, and `owner` says whose they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["Batch", "Scores", "is_occupied"]


@dataclass(frozen=True, slots=True)
class Batch:
    """B observations with N tasks among them.

    Attributes:
        tasks: `(N, F)` occupied slots, those of one observation after those of another.
        owner: `(N,)` int64, ascending: the observation that each belongs to.
        slot: `(N,)` int64, ascending within an observation: the slot of each.
        nodes: `(B, M, G)`.
        cluster: `(B, C)`.
        mask: `(B, A)` bool: the actions that are allowed; A is Q + 1, or Q + 1 + M where nodes are
            chosen too.
        candidates: `(B, M, P)` what each node would be for the task whose nodes are being chosen;
            None where nodes are not chosen.
    """

    tasks: Tensor
    owner: Tensor
    slot: Tensor
    nodes: Tensor
    cluster: Tensor
    mask: Tensor
    candidates: Tensor | None = None

    @classmethod
    def of(
        cls,
        tasks: Tensor,
        nodes: Tensor,
        cluster: Tensor,
        mask: Tensor,
        candidates: Tensor | None = None,
    ) -> Batch:
        """From whole windows.

        A slot is occupied if the mask allows it; where nodes are chosen too, no task is allowed at
        times, and a slot is occupied if any of its features is not zero.

        Args:
            tasks: `(B, Q, F)`.
            nodes: `(B, M, G)`.
            cluster: `(B, C)`.
            mask: `(B, A)` bool.
            candidates: `(B, M, P)` or None.
        """
        taken = mask[:, : tasks.shape[1]] if candidates is None else is_occupied(tasks)
        owner, slot = taken.nonzero(as_tuple=True)
        return cls(tasks[owner, slot], owner, slot, nodes, cluster, mask, candidates)

    @property
    def rows(self) -> int:
        """B."""
        return len(self.cluster)

    @property
    def slots(self) -> int:
        """Q."""
        return self.mask.shape[1] - 1 - (0 if self.candidates is None else self.nodes.shape[1])

    @property
    def counts(self) -> Tensor:
        """`(B,)` tasks of each observation."""
        return torch.bincount(self.owner, minlength=self.rows)

    def padded(self) -> tuple[Tensor, Tensor, Tensor]:
        """Windows as narrow as the fullest of them.

        Returns:
            `(B, W, F)` tasks, `(B, W)` bool which of them are there, and `(N,)` the column of each
            task of this batch.
        """
        counts = self.counts
        first = counts.cumsum(0) - counts
        column = torch.arange(len(self.owner), device=first.device) - first[self.owner]
        width = max(1, int(counts.max()))
        tasks = self.tasks.new_zeros(self.rows, width, self.tasks.shape[1])
        tasks = tasks.index_put((self.owner, column), self.tasks)
        present = torch.arange(width, device=first.device) < counts.unsqueeze(-1)
        return tasks, present, column


@dataclass(frozen=True, slots=True)
class Scores:
    """What a network says of a `Batch`.

    Attributes:
        tasks: `(N,)` logit of each task.
        wait: `(B,)` logit of waiting.
        nodes: `(B, M)` logit of each node, None where nodes are not chosen.
        values: `(B,)` expected returns.
    """

    tasks: Tensor
    wait: Tensor
    nodes: Tensor | None
    values: Tensor

    def float(self) -> Scores:
        """The same in float32."""
        nodes = None if self.nodes is None else self.nodes.float()
        return Scores(self.tasks.float(), self.wait.float(), nodes, self.values.float())

    def spread(self, batch: Batch) -> Tensor:
        """Logits by action, `(B, A)`, 0 in empty slots; the mask is not applied."""
        dense = self.tasks.new_zeros(batch.rows, batch.slots)
        dense = dense.index_put((batch.owner, batch.slot), self.tasks)
        parts = [dense, self.wait.unsqueeze(-1), *([] if self.nodes is None else [self.nodes])]
        return torch.cat(parts, dim=-1)


def is_occupied(tasks: Tensor) -> Tensor:
    """`(B, Q)` which slots hold a task: unused ones are all zero."""
    return (tasks != 0).any(dim=-1)
