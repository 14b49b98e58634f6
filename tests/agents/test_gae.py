"""Advantages and returns that PPO learns from, computed again without Stable-Baselines3."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sb3_contrib import MaskablePPO
from stable_baselines3.common.callbacks import BaseCallback

from lepton_rl.agents.sb3_policy import SchedulingPolicy
from lepton_rl.policies.registry import rule_of
from tests.trained import vec_env

STEPS, ENVS = 40, 3


class Recorder(BaseCallback):
    """Keeps what the environments told, before SB3 does anything with it."""

    def __init__(self) -> None:
        super().__init__()
        self.rewards: list[np.ndarray] = []
        self.dones: list[np.ndarray] = []

    def _on_step(self) -> bool:
        self.rewards.append(self.locals["rewards"].copy())
        self.dones.append(self.locals["dones"].copy())
        return True


def advantages_by_hand(
    rewards: np.ndarray, values: np.ndarray, dones: np.ndarray, gamma: float, lam: float
) -> np.ndarray:
    """Sum of (gamma lam)^k delta_{t+k} up to the end of the episode (Schulman et al., 2016).

    Args:
        rewards: `(T, B)`.
        values: `(T + 1, B)`, the last of the state after the rollout.
        dones: `(T, B)`, whether the episode ended with that step.
        gamma: discount.
        lam: of GAE.
    """
    steps, envs = rewards.shape
    advantages = np.zeros((steps, envs))
    for b in range(envs):
        for t in range(steps):
            weight = 1.0
            for k in range(t, steps):
                ends = dones[k, b]
                following = 0.0 if ends else values[k + 1, b]
                delta = rewards[k, b] + gamma * following - values[k, b]
                advantages[t, b] += weight * delta
                if ends:
                    break
                weight *= gamma * lam
    return advantages


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.97), (0.9, 0.5), (1.0, 1.0), (0.99, 0.0)])
def test_advantages_and_returns(gamma: float, lam: float) -> None:
    env = vec_env(num_envs=ENVS, reference=rule_of("f4"))
    model = MaskablePPO(
        SchedulingPolicy,
        env,
        n_steps=STEPS,
        batch_size=STEPS * ENVS,
        gamma=gamma,
        gae_lambda=lam,
        seed=0,
        device="cpu",
    )
    recorder = Recorder()
    _, callback = model._setup_learn(STEPS * ENVS, recorder)
    buffer = model.rollout_buffer

    assert model.collect_rollouts(env, callback, buffer, STEPS, use_masking=True)

    with torch.no_grad():
        obs, _ = model.policy.obs_to_tensor(model._last_obs)
        last = model.policy.predict_values(obs).numpy().reshape(1, ENVS)
    rewards, dones = np.stack(recorder.rewards), np.stack(recorder.dones)
    expected = advantages_by_hand(rewards, np.concatenate([buffer.values, last]), dones, gamma, lam)

    assert dones.any(axis=0).all(), "every environment must end an episode"
    np.testing.assert_allclose(buffer.rewards, rewards)
    np.testing.assert_allclose(buffer.advantages, expected, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(buffer.returns, expected + buffer.values, rtol=1e-4, atol=1e-5)


def test_undiscounted_returns_of_whole_episodes_are_what_is_left_to_gain() -> None:
    """With gamma = lambda = 1 the return of a step is the sum of the rewards from there on."""
    env = vec_env(num_envs=ENVS, reference=rule_of("f4"))
    model = MaskablePPO(
        SchedulingPolicy,
        env,
        n_steps=STEPS,
        batch_size=STEPS * ENVS,
        gamma=1.0,
        gae_lambda=1.0,
        seed=0,
        device="cpu",
    )
    recorder = Recorder()
    _, callback = model._setup_learn(STEPS * ENVS, recorder)
    model.collect_rollouts(env, callback, model.rollout_buffer, STEPS, use_masking=True)

    for b in range(ENVS):
        end = int(np.argmax(np.stack(recorder.dones)[:, b]))
        rewards = np.stack(recorder.rewards)[: end + 1, b]
        left = np.cumsum(rewards[::-1])[::-1]
        np.testing.assert_allclose(model.rollout_buffer.returns[: end + 1, b], left, atol=1e-4)
