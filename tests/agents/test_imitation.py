"""The warm start learns to choose as its teacher does."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from lepton_rl.agents.config import ImitationConfig
from lepton_rl.agents.imitation import imitate
from lepton_rl.agents.networks import PriorityNetwork
from lepton_rl.agents.vec_env import SchedulingVecEnv
from lepton_rl.policies.registry import rule_of
from tests.trained import network, vec_env

BUSY = {
    "source": "lublin",
    "processors": 32,
    "settings": {"classes": ["whole-sample"], "load": 1.3, "num_tasks": 600},
}
"""More work than the machine can do, so that queues are long and guessing does not pay."""


def busy_env(seed: int = 0) -> SchedulingVecEnv:
    return vec_env(num_envs=8, seed=seed, workload=BUSY, episode_tasks=64, slots=32)


def agreement_on_new_states(model: PriorityNetwork, order: str) -> tuple[float, float]:
    """On states that the fit did not see: share of choices in common, and by guessing."""
    env = busy_env(seed=99)
    obs = env.reset()
    agreed, guessed = [], []
    for _ in range(100):
        assert isinstance(obs, dict)
        mask = torch.as_tensor(env.action_masks())
        inputs = (torch.as_tensor(obs[name]) for name in ("tasks", "nodes", "cluster"))
        with torch.no_grad():
            choices = model(*inputs).masked_fill(~mask, -torch.inf).argmax(dim=-1).numpy()
        taught = env.heuristic_actions(rule_of(order))
        agreed.append((choices == taught).mean())
        guessed.append((1 / mask.sum(dim=-1)).mean().item())
        env.step_async(taught)
        obs = env.step_wait()[0]
    return float(np.mean(agreed)), float(np.mean(guessed))


@pytest.mark.parametrize("order", ["sjf", "saf", "fcfs"])
def test_agreement_rises_well_above_chance(order: str) -> None:
    torch.manual_seed(0)
    model = network(hidden=(32, 32))
    before, chance = agreement_on_new_states(model, order)

    told = imitate(
        model, busy_env(), rule_of(order), ImitationConfig(steps=200, epochs=8, batch_size=128)
    )

    after, _ = agreement_on_new_states(model, order)
    assert chance < 0.35
    assert before < 0.6
    assert after > 0.85
    assert told == pytest.approx(after, abs=0.12), "what it reports is measured on its own record"


def test_the_critic_is_left_as_it_is() -> None:
    model = network()
    before = [p.clone() for p in (*model.critic.parameters(), *model.task_encoder.parameters())]

    imitate(model, vec_env(), rule_of("f4"), ImitationConfig(steps=10, epochs=1))

    after = [*model.critic.parameters(), *model.task_encoder.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_the_same_seed_gives_the_same_weights() -> None:
    fitted = []
    for _ in range(2):
        torch.manual_seed(5)
        model = network(seed=1)
        imitate(model, vec_env(seed=2), rule_of("f4"), ImitationConfig(steps=20, epochs=2))
        fitted.append(torch.cat([p.detach().flatten() for p in model.parameters()]))

    assert torch.equal(*fitted)
