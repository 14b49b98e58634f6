"""Warm start: learn to choose the task that a heuristic puts first (behaviour cloning)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from lepton_rl.agents.config import ImitationConfig
from lepton_rl.agents.networks import SchedulingNetwork
from lepton_rl.agents.vec_env import SchedulingVecEnv
from lepton_rl.core.rules.dispatch import DispatchRule

__all__ = ["imitate"]


def imitate(
    network: SchedulingNetwork,
    env: SchedulingVecEnv,
    teacher: DispatchRule,
    config: ImitationConfig,
) -> float:
    """Fit the network's choices to those of `teacher` on states that the teacher visits.

    Args:
        network: changed in place; the critic is left as it is.
        env: reset, then driven by the teacher.
        teacher: its order is imitated.
        config: how long.

    Returns:
        Share of the recorded choices that the network now makes itself (0 to 1).
    """
    device = next(network.parameters()).device
    states, choices = _record(env, teacher, config.steps)
    states = {name: values.to(device) for name, values in states.items()}
    choices = choices.to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate)
    for _ in range(config.epochs):
        for rows in torch.randperm(len(choices), device=device).split(config.batch_size):
            loss = functional.cross_entropy(_logits(network, states, rows), choices[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    with torch.no_grad():
        agreed = [
            (_logits(network, states, rows).argmax(-1) == choices[rows]).sum().item()
            for rows in torch.arange(len(choices), device=device).split(4096)
        ]
    return sum(agreed) / len(choices)


def _record(
    env: SchedulingVecEnv, teacher: DispatchRule, steps: int
) -> tuple[dict[str, Tensor], Tensor]:
    """States `(steps * num_envs, ...)` under the teacher and the slots it chose."""
    obs = env.reset()
    assert isinstance(obs, dict)
    states: list[dict[str, Tensor]] = []
    choices: list[Tensor] = []
    for _ in range(steps):
        slots = env.heuristic_actions(teacher)
        states.append({name: torch.as_tensor(values) for name, values in obs.items()})
        choices.append(torch.as_tensor(slots))
        env.step_async(slots)
        obs = env.step_wait()[0]
        assert isinstance(obs, dict)
    joined = {name: torch.cat([each[name] for each in states]) for name in states[0]}
    return joined, torch.cat(choices)


def _logits(network: SchedulingNetwork, states: dict[str, Tensor], rows: Tensor) -> Tensor:
    batch = {name: values[rows] for name, values in states.items()}
    mask = batch["action_mask"].bool()
    logits, _ = network.evaluate(
        batch["tasks"], batch["nodes"], batch["cluster"], mask, batch.get("candidates")
    )
    return logits.masked_fill(~mask, -torch.inf)
