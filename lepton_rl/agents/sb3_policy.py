"""Our networks as a policy of sb3-contrib's MaskablePPO."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from sb3_contrib.common.maskable.distributions import MaskableDistribution
from sb3_contrib.common.maskable.policies import MaskableActorCriticPolicy
from stable_baselines3.common.torch_layers import CombinedExtractor
from stable_baselines3.common.type_aliases import Schedule
from torch import Tensor, nn

from lepton_rl.agents.config import PPOConfig
from lepton_rl.agents.registry import network_of
from lepton_rl.core.errors import InfeasibleDecisionError, StateError

__all__ = ["SchedulingPolicy"]

Obs = dict[str, Tensor]
Masks = NDArray[np.bool_] | Tensor | None


class _NoExtractor(CombinedExtractor):
    """The networks read the observation as it is."""

    def __init__(self, observation_space: Any) -> None:
        nn.Module.__init__(self)
        self._observation_space = observation_space
        self._features_dim = 1


class SchedulingPolicy(MaskableActorCriticPolicy):
    """Actor and critic of our networks.

    Args:
        observation_space: of the scheduling environment.
        action_space: of the scheduling environment.
        lr_schedule: learning rate by the progress that remains (1 to 0).
        config: names the network and its sizes; nothing else of it is used.
        **kwargs: of the base class; its own network settings have no effect.
    """

    def __init__(
        self,
        observation_space: Any,
        action_space: Any,
        lr_schedule: Schedule,
        config: PPOConfig | None = None,
        **kwargs: Any,
    ) -> None:
        self.config = config or PPOConfig()
        kwargs["features_extractor_class"] = _NoExtractor
        super().__init__(observation_space, action_space, lr_schedule, **kwargs)

    def _build(self, lr_schedule: Schedule) -> None:
        spaces = self.observation_space.spaces  # type: ignore[attr-defined]
        tasks, nodes, cluster = (spaces[name].shape[-1] for name in ("tasks", "nodes", "cluster"))
        candidates = spaces["candidates"].shape[-1] if "candidates" in spaces else 0
        self.network = network_of(self.config, (tasks, nodes, cluster, candidates))
        settings = {"lr": lr_schedule(1), **self.optimizer_kwargs}
        self.optimizer = self.optimizer_class(self.parameters(), **settings)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        data = super()._get_constructor_parameters()
        del data["features_extractor_class"]
        return {**data, "config": self.config}

    def get_distribution(self, obs: Any, action_masks: Masks = None) -> MaskableDistribution:
        """Distribution over the actions under the mask (default: the observation's own)."""
        return self._evaluate(obs, action_masks)[0]

    def predict_values(self, obs: Any) -> Tensor:
        """Expected returns `(B, 1)`; also of observations in which nothing can be chosen."""
        return self._outputs(obs)[1]

    def forward(
        self, obs: Any, deterministic: bool = False, action_masks: Masks = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Actions `(B,)`, values `(B, 1)` and log probabilities `(B,)`."""
        distribution, values = self._evaluate(obs, action_masks)
        actions = distribution.get_actions(deterministic=deterministic)
        return actions, values, distribution.log_prob(actions)

    def evaluate_actions(
        self, obs: Any, actions: Tensor, action_masks: Masks = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Values `(B, 1)`, log probabilities `(B,)` and entropies `(B,)` of given actions."""
        distribution, values = self._evaluate(obs, action_masks)
        return values, distribution.log_prob(actions), distribution.entropy()

    def _outputs(self, obs: Obs) -> tuple[Tensor, Tensor]:
        """Logits `(B, A)` without the mask, and expected returns `(B, 1)`."""
        occupied = obs["action_mask"].bool()
        return self.network.evaluate(
            obs["tasks"], obs["nodes"], obs["cluster"], occupied, obs.get("candidates")
        )

    def _evaluate(self, obs: Obs, action_masks: Masks) -> tuple[MaskableDistribution, Tensor]:
        logits, values = self._outputs(obs)
        _require_finite(logits)
        mask = torch.as_tensor(obs["action_mask"] if action_masks is None else action_masks).bool()
        _require_a_choice(mask.reshape(logits.shape))
        distribution = self.action_dist.proba_distribution(action_logits=logits)
        distribution.apply_masking(mask)
        return distribution, values


def _require_finite(logits: Tensor) -> None:
    if not bool(torch.isfinite(logits).all()):
        raise StateError(
            "training diverged: the network's outputs are not finite; start again with a lower"
            " ppo.learning_rate"
        )


def _require_a_choice(mask: Tensor) -> None:
    """A masked distribution over nothing would be uniform over what is forbidden."""
    if not bool(mask.any(dim=-1).all()):
        raise InfeasibleDecisionError(
            "expected an action mask that allows something in every row, got one that forbids all"
        )
