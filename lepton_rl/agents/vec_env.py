"""The batched simulator as a Stable-Baselines3 VecEnv, with rewards relative to a heuristic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from lepton_rl.core.rules.dispatch import DispatchRule
from lepton_rl.encoding.observation import Observation
from lepton_rl.envs.config import EnvironmentConfig
from lepton_rl.envs.episodes import Episodes
from lepton_rl.envs.spaces import action_space, observation_of, observation_space
from lepton_rl.sim.reference import Reference, heuristic_actions

__all__ = ["SchedulingVecEnv"]


class SchedulingVecEnv(VecEnv):
    """`num_envs` environments for Stable-Baselines3 and sb3-contrib.

    With a `reference` heuristic, an episode's rewards add up to 1 - cost / cost of the reference on
    the same window: 0 is as good as the heuristic, positive is better. (The cost is divided by that
    of the reference, or by 1 a task where that is less: no task may have waited.) Without a
    reference they add up to minus the mean metric.

    Args:
        config: of the environment.
        episodes: where windows come from.
        num_envs: environments (>= 1).
        seed: of the windows that are drawn; `seed()` sets another from the next `reset()` on.
        reference: heuristic to measure against.
    """

    def __init__(
        self,
        config: EnvironmentConfig,
        episodes: Episodes,
        num_envs: int,
        seed: int,
        reference: DispatchRule | None = None,
    ) -> None:
        self.config, self.episodes = config, episodes
        self.simulator = episodes.simulator(config, num_envs)
        self._rng = np.random.default_rng(seed)
        self._reference = None
        if reference is not None:
            self._reference = Reference(
                self.simulator.sim, reference, self.simulator.rule.objective
            )
        self._actions = np.zeros(num_envs, np.int64)
        self._returns = np.zeros(num_envs)
        self._lengths = np.zeros(num_envs, np.int64)
        self._reference_cost = np.zeros(num_envs)
        self.render_mode = None
        obs = self.simulator.obs
        super().__init__(num_envs, observation_space(obs), action_space(obs))

    def reset(self) -> VecEnvObs:
        """Begin an episode everywhere."""
        if self._seeds[0] is not None:
            self._rng = np.random.default_rng(self._seeds[0])
        self._reset_seeds()
        self._reset_options()
        for b in range(self.num_envs):
            self._begin(b)
        return observation_of(self.simulator.obs)

    def step_async(self, actions: NDArray[Any]) -> None:
        """Keep the actions for `step_wait`."""
        self._actions = np.asarray(actions, np.int64)

    def step_wait(self) -> VecEnvStepReturn:
        """Act; an environment whose episode ended begins the next one."""
        self.simulator.step(self._actions)
        terminated = self.simulator.terminated.copy()
        rewards = self._rewards(terminated)
        self._returns += rewards
        self._lengths += 1
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        for b in np.flatnonzero(terminated).tolist():
            infos[b] = {
                "terminal_observation": observation_of(
                    Observation(*(values[b] for values in self.simulator.obs))
                ),
                "episode": {"r": self._returns[b], "l": int(self._lengths[b]), "t": 0.0},
                "metric": self.simulator.mean_cost(b),
                "TimeLimit.truncated": False,
            }
            self._begin(b)
        return observation_of(self.simulator.obs), rewards.astype(np.float32), terminated, infos

    def action_masks(self) -> NDArray[np.bool_]:
        """`(num_envs, actions)` bool."""
        return self.simulator.obs.action_mask.copy()

    def heuristic_actions(self, rule: DispatchRule) -> NDArray[np.int64]:
        """`(num_envs,)` what `rule` would choose now."""
        actions = np.zeros(self.num_envs, np.int64)
        heuristic_actions(self.simulator.sim, self.simulator.obs, rule, actions)
        return actions

    def _rewards(self, terminated: NDArray[np.bool_]) -> NDArray[np.float64]:
        rewards = self.simulator.rewards.copy()
        if self._reference is None:
            return rewards
        cost = -rewards * self.episodes.length
        reached = self._reference.cost_by(self.simulator.sim.state.status["now_us"])
        reached[terminated] = self._reference.total[terminated]
        gain = (reached - self._reference_cost) - cost
        self._reference_cost = reached
        return gain / np.maximum(self._reference.total, self.episodes.length)

    def _begin(self, b: int) -> None:
        first_row = self.episodes.draw(self._rng)
        self.simulator.reset(b, first_row)
        self._returns[b] = 0.0
        self._lengths[b] = 0
        self._reference_cost[b] = 0.0
        if self._reference is not None:
            self._reference.begin(b, first_row, self.episodes.length)

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
