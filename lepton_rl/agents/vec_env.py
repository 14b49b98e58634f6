"""`Environments` as a Stable-Baselines3 VecEnv."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from lepton_rl.agents.environments import Environments
from lepton_rl.core.rules.dispatch import DispatchRule
from lepton_rl.envs.config import EnvironmentConfig
from lepton_rl.envs.episodes import Episodes
from lepton_rl.envs.spaces import action_space, observation_of, observation_space

__all__ = ["SchedulingVecEnv"]


class SchedulingVecEnv(VecEnv):
    """`num_envs` environments for Stable-Baselines3, sb3-contrib and `lepton_rl.agents.ppo.PPO`.

    Args:
        config: of the environment.
        episodes: where windows come from.
        num_envs: environments (>= 1).
        seed: of the windows that are drawn; `seed()` sets another from the next `reset()` on.
        reference: heuristic to measure against; `Environments` says how rewards follow from it.
        per_sequence: so many environments in a row have the same windows.

    Attributes:
        environments: what is stepped.
    """

    def __init__(
        self,
        config: EnvironmentConfig,
        episodes: Episodes,
        num_envs: int,
        seed: int,
        reference: DispatchRule | None = None,
        per_sequence: int = 1,
    ) -> None:
        self.environments = Environments(config, episodes, num_envs, seed, reference, per_sequence)
        self.config, self.episodes = config, episodes
        self.simulator = self.environments.simulator
        self._actions = np.zeros(num_envs, np.int64)
        self.render_mode = None
        obs = self.simulator.obs
        super().__init__(num_envs, observation_space(obs), action_space(obs))

    def reset(self) -> VecEnvObs:
        """Begin an episode everywhere."""
        if self._seeds[0] is not None:
            self.environments.restart(int(self._seeds[0]))
        self._reset_seeds()
        self._reset_options()
        self.environments.reset()
        return observation_of(self.simulator.obs)

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keep the actions, `(num_envs,)` slots, for `step_wait`."""
        self._actions = np.asarray(actions, np.int64)

    def step_wait(self) -> VecEnvStepReturn:
        """Act; an environment whose episode ended begins the next one."""
        environments = self.environments
        environments.step(self._actions)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        shown = observation_of(self.simulator.obs) if environments.terminated.any() else {}
        for b in np.flatnonzero(environments.terminated).tolist():
            infos[b] = {
                "terminal_observation": {name: values[b] for name, values in shown.items()},
                "episode": {
                    "r": environments.returns[b],
                    "l": int(environments.lengths[b]),
                    "t": 0.0,
                },
                "metric": self.simulator.mean_cost(b),
                "TimeLimit.truncated": False,
            }
            environments.begin(b)
        obs = observation_of(self.simulator.obs)
        rewards = environments.rewards.astype(np.float32)
        return obs, rewards, environments.terminated.copy(), infos

    def action_masks(self) -> NDArray[np.bool_]:
        """`(num_envs, A)` bool."""
        return self.simulator.obs.action_mask.copy()

    def heuristic_actions(self, rule: DispatchRule) -> NDArray[np.int64]:
        """`(num_envs,)` what the order of `rule` would choose now."""
        return self.environments.heuristic_actions(rule)

    def close(self) -> None:
        """Nothing to close."""

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """The attribute, once per environment asked for."""
        return [getattr(self, attr_name) for _ in self._get_indices(indices)]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:
        """Environments are rows of one simulator; they have no attributes of their own."""
        raise NotImplementedError("set the attribute on the SchedulingVecEnv itself")

    def env_method(
        self, method_name: str, *args: Any, indices: VecEnvIndices = None, **kwargs: Any
    ) -> list[Any]:
        """Call a method that returns one row an environment, such as `action_masks`."""
        rows: Sequence[Any] = getattr(self, method_name)(*args, **kwargs)
        return [rows[b] for b in self._get_indices(indices)]

    def env_is_wrapped(self, wrapper_class: type[Any], indices: VecEnvIndices = None) -> list[bool]:
        """No environment is wrapped."""
        return [False for _ in self._get_indices(indices)]
