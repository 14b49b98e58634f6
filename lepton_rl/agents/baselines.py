"""Baselines that know the arrivals: the mean over rollouts of one arrival sequence.

What arrives moves returns more than what is chosen. Several rollouts of the same arrivals have that
in common, so the mean of what they still earned at the same time is a baseline that depends on the
arrivals and not on the action: it changes no expected gradient and takes most of its variance away
(Mao et al., "Variance reduction for reinforcement learning in input-driven environments",
ICLR 2019).
"""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["per_sequence", "returns_to_go", "sequence_baseline"]


def returns_to_go(rewards: Tensor, discounts: Tensor) -> Tensor:
    """Discounted sum of the rewards from each step on, `(T, B)` of whole episodes.

    Args:
        rewards: `(T, B)`, 0 after the end of an episode.
        discounts: `(T, B)` of what follows a step.
    """
    returns = torch.empty_like(rewards)
    carried = torch.zeros_like(rewards[0])
    for t in reversed(range(len(rewards))):
        carried = rewards[t] + discounts[t] * carried
        returns[t] = carried
    return returns


def sequence_baseline(returns: Tensor, clock_s: Tensor, lengths: Tensor, group: int) -> Tensor:
    """Mean return to go of the rollouts of a group at the time of each step.

    Between two decisions of a rollout its return to go is taken to fall linearly; after its last
    one it is 0.

    Args:
        returns: `(T, B)` of whole episodes.
        clock_s: `(T, B)` time of each decision since the episode began, ascending.
        lengths: `(B,)` decisions of each episode (>= 1).
        group: so many environments in a row had the same arrivals; divides B.

    Returns:
        `(T, B)`; what stands beyond the end of an episode means nothing.
    """
    baseline = torch.zeros_like(returns)
    for first in range(0, returns.shape[1], group):
        members = slice(first, first + group)
        times = clock_s[:, members].T.contiguous()
        for b in range(first, first + group):
            baseline[:, members] += _at(times, clock_s[:, b], returns[:, b], int(lengths[b])).T
    return baseline / group


def _at(times: Tensor, clock_s: Tensor, returns: Tensor, length: int) -> Tensor:
    """A rollout's return to go at given times: linear between its decisions, 0 after the last."""
    known_s, known = clock_s[:length].contiguous(), returns[:length]
    following = torch.searchsorted(known_s, times, right=True)
    before = (following - 1).clamp(min=0)
    after = following.clamp(max=length - 1)
    span = (known_s[after] - known_s[before]).clamp(min=1e-9)
    share = ((times - known_s[before]) / span).clamp(0, 1)
    found = known[before] + share * (known[after] - known[before])
    return torch.where(times > known_s[-1], torch.zeros_like(found), found)


def per_sequence(advantages: Tensor, lengths: Tensor, group: int) -> Tensor:
    """Advantages over their root mean square within each group of rollouts.

    Some windows are overloaded and others idle, and the advantages of the first would drown those
    of the others (as questions of unequal difficulty do; Shao et al., arXiv:2402.03300, divide by
    the deviation of a group too). Where all rollouts of a group are equal, they stay 0.

    Args:
        advantages: `(T, B)`.
        lengths: `(B,)` decisions of each episode; what stands beyond them is not counted.
        group: so many environments in a row had the same arrivals; divides B.
    """
    counted = torch.arange(len(advantages), device=lengths.device).unsqueeze(-1) < lengths
    squares = (advantages.square() * counted).sum(dim=0).view(-1, group).sum(dim=1)
    scale = (squares / lengths.view(-1, group).sum(dim=1)).sqrt()
    return advantages / scale.clamp(min=1e-8).repeat_interleave(group)
