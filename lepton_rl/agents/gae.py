"""Generalised advantage estimation (Schulman et al., ICLR 2016), with a discount for each step."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["advantages_of", "discounts_of"]


def advantages_of(
    rewards: Tensor, values: Tensor, terminated: Tensor, discounts: Tensor, lam: float
) -> Tensor:
    """Sum over k of (product of lam * discount) * delta_(t+k), up to the end of the episode.

    Where the rollout is cut off, the value of the state after it stands for what would follow.

    Args:
        rewards: `(T, B)`.
        values: `(T + 1, B)`, the last of the state after the rollout.
        terminated: `(T, B)` bool, whether the episode ended with that step.
        discounts: `(T, B)` of what follows a step.
        lam: lambda, 0 to 1.

    Returns:
        `(T, B)`.
    """
    follows = discounts * (~terminated)
    deltas = rewards + follows * values[1:] - values[:-1]
    advantages = torch.empty_like(rewards)
    carried = torch.zeros_like(rewards[0])
    for t in reversed(range(len(rewards))):
        carried = deltas[t] + lam * follows[t] * carried
        advantages[t] = carried
    return advantages


def discounts_of(elapsed_s: Tensor, gamma: float, rate_per_s: float) -> Tensor:
    """Discount of what follows a step that took `elapsed_s`: gamma * exp(-rate * elapsed).

    Args:
        elapsed_s: `(T, B)` seconds of the simulated clock from one decision to the next.
        gamma: for each decision.
        rate_per_s: for the time that passes, as in semi-Markov decision processes (Bradtke and
            Duff, NIPS 1994); 0 for none.
    """
    return gamma * torch.exp(-rate_per_s * elapsed_s)
