"""Policies that plain Stable-Baselines3 trained, as policy files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import ActorCriticPolicy
from stable_baselines3.dqn.policies import DQNPolicy
from torch import Tensor, nn

from lepton_rl.agents.export import MaskedNetwork, Observations, export_masked, export_policy
from lepton_rl.agents.sb3_policy import SchedulingPolicy
from lepton_rl.core.errors import ConfigError
from lepton_rl.envs.single import SchedulingEnv
from lepton_rl.policies.artifact import CANDIDATES, INPUTS, Manifest

__all__ = ["export_sb3"]

_MOST_DECISIONS = 64
"""Observations on which parity is measured."""


def export_sb3(model: BaseAlgorithm, env: Any, path: str | Path, name: str = "sb3") -> Manifest:
    """Write what a model has learned as a policy file (docs/policy-file.md).

    Greedy choices are those of `model.predict(obs, deterministic=True)` in the environment. Where
    the model does not know masks, an action that is forbidden becomes the first allowed one, as the
    environment does it. The network is made for as many slots and nodes as the environment has,
    unless it is one of ours (`SchedulingPolicy`).

    Args:
        model: PPO, A2C, DQN (`MlpPolicy` on flattened observations, `MultiInputPolicy`) or
            MaskablePPO. An own features extractor works if torch can export it.
        env: the scheduling environment it was trained in, wrapped or not.
        path: of the file.
        name: of the policy, for tables and logs.

    Raises:
        ConfigError: another algorithm, environment or observation.
        ArtifactError, OSError: as `export_policy`.
    """
    inner = getattr(env, "unwrapped", env)
    if not isinstance(inner, SchedulingEnv):
        raise ConfigError(
            f"export_sb3: expected the scheduling environment, got {type(inner).__name__}"
        )
    if model.get_vec_normalize_env() is not None:
        raise ConfigError(
            "export_sb3: the model sees observations through VecNormalize; train it without, the"
            " features lie between -4 and 4 as they are"
        )
    own = SchedulingEnv(inner.config, episodes=inner.episodes)
    about = _about(own, model, name)
    if isinstance(model.policy, SchedulingPolicy):
        network = model.policy.network
        seen = _observations(own, MaskedNetwork(network.cpu()))
        return export_policy(network, seen, path, **about)
    masked = _PlainPolicy(model.policy).eval().cpu()
    seen = _observations(own, masked)
    sizes = {"slots": seen["tasks"].shape[1], "num_nodes": seen["nodes"].shape[1]}
    return export_masked(masked, seen, path, **about, **sizes)


class _PlainPolicy(nn.Module):
    """Logits of a policy of Stable-Baselines3, of which the greatest is what it does.

    Args:
        policy: of a trained model.
    """

    def __init__(self, policy: Any) -> None:
        super().__init__()
        self.body, self.head = _layers(policy)
        self.knows_masks = isinstance(policy, MaskableActorCriticPolicy)
        self.is_flat = not hasattr(policy.observation_space, "spaces")

    def forward(
        self,
        tasks: Tensor,
        nodes: Tensor,
        cluster: Tensor,
        action_mask: Tensor,
        candidates: Tensor | None = None,
    ) -> Tensor:
        """`(B, actions)`, minus infinity where the mask forbids."""
        obs = {
            "action_mask": action_mask.float(),
            **({} if candidates is None else {CANDIDATES: candidates}),
            "cluster": cluster,
            "nodes": nodes,
            "tasks": tasks,
        }  # in the order in which Gymnasium flattens them
        seen: Any = obs
        if self.is_flat:
            seen = torch.cat([each.flatten(1) for each in obs.values()], dim=1)
        logits: Tensor = self.head(self.body(seen))
        if not self.knows_masks:
            wanted = logits.argmax(dim=1, keepdim=True)
            earliest = -torch.arange(logits.shape[1], dtype=logits.dtype)
            logits = torch.where(action_mask.gather(1, wanted), logits, earliest)
        return torch.where(action_mask, logits, -torch.inf)


def _layers(policy: Any) -> tuple[nn.Module, nn.Module]:
    """What makes features and what makes logits (values of actions, for DQN) of them.

    Raises:
        ConfigError: a policy of another kind.
    """
    if isinstance(policy, DQNPolicy):
        return policy.q_net.features_extractor, policy.q_net.q_net
    if isinstance(policy, ActorCriticPolicy | MaskableActorCriticPolicy):
        actor = nn.Sequential(policy.mlp_extractor.policy_net, policy.action_net)
        return policy.pi_features_extractor, actor
    raise ConfigError(
        "export_sb3: expected a policy of PPO, A2C, DQN or MaskablePPO, got"
        f" {type(policy).__name__}"
    )


def _observations(env: SchedulingEnv, masked: nn.Module) -> Observations:
    """What the policy sees in its first decisions, `(B, ...)` by name.

    Raises:
        ConfigError: the network takes other observations than those of this environment.
    """
    seen: list[dict[str, Any]] = []
    obs, _ = env.reset(seed=0)
    over = False
    names = (*INPUTS, CANDIDATES) if CANDIDATES in obs else INPUTS
    while len(seen) < _MOST_DECISIONS:
        if over:
            obs, _ = env.reset()
        row = {name: obs[name] for name in names} | {"action_mask": env.action_masks()}
        try:
            with torch.no_grad():
                logits = masked(*(torch.as_tensor(each)[None] for each in row.values()))
        except RuntimeError as error:
            raise ConfigError(
                f"export_sb3: the network does not take this environment's observations: {error}"
            ) from error
        seen.append(row)
        obs, _, over, _, _ = env.step(np.int64(logits.argmax()))
    return {name: np.stack([row[name] for row in seen]) for name in names}


def _about(env: SchedulingEnv, model: BaseAlgorithm, name: str) -> dict[str, Any]:
    """What the file says of its training."""
    config, episodes = env.config, env.episodes
    return {
        "name": name,
        "place": config.place,
        "backfill": config.backfill,
        "may_wait": config.may_wait,
        "resource_kinds": episodes.workload.cluster.schema.names,
        "training": {
            "workload": episodes.workload.name,
            "seed": model.seed,
            "steps": model.num_timesteps,
            "objective": config.objective,
            "algorithm": type(model).__name__,
        },
    }
