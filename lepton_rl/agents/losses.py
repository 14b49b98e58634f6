"""The loss of proximal policy optimisation (Schulman et al., arXiv:1707.06347)."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["Losses", "ppo_losses"]


class Losses(NamedTuple):
    """Scalars of one batch; the first three have gradients.

    Attributes:
        policy: minus the clipped surrogate objective.
        value: mean squared error of the expected returns.
        entropy: minus the mean entropy of the choices, in nats.
        approx_kl: estimate of KL(old policy, new policy): mean of ratio - 1 - log ratio.
        clip_fraction: share of decisions whose ratio was outside of the clip range.
    """

    policy: Tensor
    value: Tensor
    entropy: Tensor
    approx_kl: Tensor
    clip_fraction: Tensor


def ppo_losses(
    log_probs: Tensor,
    old_log_probs: Tensor,
    entropies: Tensor,
    values: Tensor,
    advantages: Tensor,
    returns: Tensor,
    clip_range: float,
) -> Losses:
    """Losses of a batch; all arguments are `(B,)`.

    Args:
        log_probs: of the actions, now.
        old_log_probs: of the actions, when they were chosen.
        entropies: of the distributions, now.
        values: expected returns, now.
        advantages: of the actions; made zero-mean and of unit variance within the batch.
        returns: what the values should be.
        clip_range: epsilon.
    """
    if len(advantages) > 1:
        advantages = (advantages - advantages.mean()) / (advantages.std() + 1e-8)
    log_ratio = log_probs - old_log_probs
    ratio = log_ratio.exp()
    clipped = ratio.clamp(1 - clip_range, 1 + clip_range)
    with torch.no_grad():
        approx_kl = (ratio - 1 - log_ratio).mean()
        clip_fraction = ((ratio - 1).abs() > clip_range).float().mean()
    return Losses(
        policy=-torch.minimum(advantages * ratio, advantages * clipped).mean(),
        value=functional.mse_loss(values, returns),
        entropy=-entropies.mean(),
        approx_kl=approx_kl,
        clip_fraction=clip_fraction,
    )
