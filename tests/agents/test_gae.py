"""Advantages and returns, computed again from their definition."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from lepton_rl.agents.gae import advantages_of, discounts_of

STEPS, ENVS = 40, 3


def advantages_by_hand(
    rewards: np.ndarray, values: np.ndarray, ends: np.ndarray, discounts: np.ndarray, lam: float
) -> np.ndarray:
    """Sum over k of (product of lam * discount) * delta_{t+k} up to the end of the episode."""
    advantages = np.zeros_like(rewards)
    for b in range(rewards.shape[1]):
        for t in range(len(rewards)):
            weight = 1.0
            for k in range(t, len(rewards)):
                following = 0.0 if ends[k, b] else values[k + 1, b]
                delta = rewards[k, b] + discounts[k, b] * following - values[k, b]
                advantages[t, b] += weight * delta
                if ends[k, b]:
                    break
                weight *= discounts[k, b] * lam
    return advantages


def experience(seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Rewards, values, ends and times of random episodes."""
    rng = np.random.default_rng(seed)
    ends = rng.random((STEPS, ENVS)) < 0.1
    return (
        torch.tensor(rng.normal(size=(STEPS, ENVS))),
        torch.tensor(rng.normal(size=(STEPS + 1, ENVS))),
        torch.tensor(ends),
        torch.tensor(rng.exponential(100.0, (STEPS, ENVS))),
    )


@pytest.mark.parametrize("rate", [0.0, 1e-3])
@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.97), (0.9, 0.5), (1.0, 1.0), (0.99, 0.0)])
def test_advantages_are_those_of_the_definition(gamma: float, lam: float, rate: float) -> None:
    rewards, values, ends, elapsed_s = experience()
    discounts = discounts_of(elapsed_s, gamma, rate)

    found = advantages_of(rewards, values, ends, discounts, lam)

    by_hand = advantages_by_hand(
        rewards.numpy(), values.numpy(), ends.numpy(), discounts.numpy(), lam
    )
    assert ends.any(dim=0).all()
    np.testing.assert_allclose(found.numpy(), by_hand, rtol=1e-9, atol=1e-12)


def test_discounts_by_time_by_hand() -> None:
    found = discounts_of(torch.tensor([[0.0, 100.0]]), gamma=0.5, rate_per_s=0.01)

    assert found.tolist() == [pytest.approx([0.5, 0.5 * math.exp(-1)])]


def test_undiscounted_whole_episodes_give_what_is_left_to_earn() -> None:
    rewards, values, ends, _ = experience()
    found = advantages_of(rewards, values, ends, torch.ones_like(rewards), 1.0)

    for b in range(ENVS):
        end = int(ends[:, b].int().argmax())
        left = rewards[: end + 1, b].flip(0).cumsum(0).flip(0)
        torch.testing.assert_close((found + values[:-1])[: end + 1, b], left)


def test_where_the_rollout_is_cut_off_the_value_stands_for_what_follows() -> None:
    reward, ended = torch.tensor([[1.0]]), torch.tensor([[True]])
    values = torch.tensor([[0.25], [10.0]])

    assert advantages_of(reward, values, ~ended, torch.ones(1, 1), 0.9).item() == 10.75
    assert advantages_of(reward, values, ended, torch.ones(1, 1), 0.9).item() == 0.75
