"""Choices among what is allowed: probabilities, entropies and samples, without empty slots.

A distribution over the allowed actions of each observation is a softmax over a segment of one flat
tensor. What is forbidden is not there, so it needs no large negative number in its place.
"""

from __future__ import annotations

import torch
from torch import Tensor

from lepton_rl.agents.batch import Batch, Scores
from lepton_rl.core.errors import InfeasibleDecisionError, StateError

__all__ = ["greedy", "judge_actions", "sample"]


def judge_actions(batch: Batch, scores: Scores, actions: Tensor) -> tuple[Tensor, Tensor]:
    """Log probabilities `(B,)` of actions, and entropies `(B,)` in nats.

    Args:
        batch: the observations.
        scores: of a network.
        actions: `(B,)` int64, allowed.
    """
    flat, owner, kept = _allowed(batch, scores)
    chosen = _position(batch, actions)
    if kept is not None:
        chosen = (kept.cumsum(0) - 1)[chosen]
    highest = flat.new_full((batch.rows,), -torch.inf)
    highest = highest.scatter_reduce(0, owner, flat.detach(), "amax")
    shifted = flat - highest.index_select(0, owner)
    total = flat.new_zeros(batch.rows).index_add(0, owner, shifted.exp())
    log_prob = shifted - total.log().index_select(0, owner)
    entropy = flat.new_zeros(batch.rows).index_add(0, owner, -log_prob.exp() * log_prob)
    return log_prob.index_select(0, chosen), entropy


def _allowed(batch: Batch, scores: Scores) -> tuple[Tensor, Tensor, Tensor | None]:
    """Logits of the allowed actions `(K,)`, whose they are, and which of all were kept.

    All are the tasks, then waiting in each observation, then the nodes of each. Where only tasks
    are offered, all of them are kept, and the third is None.
    """
    if scores.nodes is None and not bool(batch.mask[:, batch.slots].any()):
        return scores.tasks, batch.owner, None
    rows = torch.arange(batch.rows, device=batch.owner.device)
    flat, owner = [scores.tasks, scores.wait], [batch.owner, rows]
    kept = [batch.mask[batch.owner, batch.slot], batch.mask[:, batch.slots]]
    if scores.nodes is not None:
        flat.append(scores.nodes.flatten())
        owner.append(rows.repeat_interleave(scores.nodes.shape[1]))
        kept.append(batch.mask[:, batch.slots + 1 :].flatten())
    which = torch.cat(kept)
    return torch.cat(flat)[which], torch.cat(owner)[which], which


def _position(batch: Batch, actions: Tensor) -> Tensor:
    """`(B,)` where each action stands among all of `_allowed`.

    A task's place among those of its observation is its slot, because windows fill from slot 0.
    """
    first = batch.counts.cumsum(0) - batch.counts
    rows = torch.arange(batch.rows, device=actions.device)
    beyond = actions - batch.slots
    waits, tasks = len(batch.owner) + rows, first + actions
    nodes = len(batch.owner) + batch.rows + rows * batch.nodes.shape[1] + beyond - 1
    return torch.where(beyond < 0, tasks, torch.where(beyond == 0, waits, nodes))


def greedy(batch: Batch, scores: Scores) -> Tensor:
    """`(B,)` the first of the most probable actions."""
    return _masked(batch, scores).argmax(dim=-1)


def sample(batch: Batch, scores: Scores, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Actions `(B,)` by their probabilities, and their log probabilities `(B,)`.

    The largest of logit plus Gumbel noise has the probability of the softmax (Gumbel, 1954).

    Raises:
        StateError: an output of the network is not finite.
        InfeasibleDecisionError: an observation allows nothing.
    """
    log_probs = _masked(batch, scores).log_softmax(dim=-1)
    noise = torch.empty_like(log_probs).exponential_(generator=generator).clamp_(min=1e-30)
    actions = (log_probs - noise.log()).argmax(dim=-1)
    return actions, log_probs.gather(-1, actions.unsqueeze(-1)).squeeze(-1)


def _masked(batch: Batch, scores: Scores) -> Tensor:
    """Logits `(B, A)`, minus infinity where forbidden."""
    logits = scores.spread(batch)
    if not bool(torch.isfinite(logits).all()):
        raise StateError(
            "training diverged: the network's outputs are not finite; start again with a lower"
            " ppo.learning_rate"
        )
    if not bool(batch.mask.any(dim=-1).all()):
        raise InfeasibleDecisionError(
            "expected an action mask that allows something in every row, got one that forbids all"
        )
    return logits.masked_fill(~batch.mask, -torch.inf)
