"""SchedulingVectorEnv: many episodes side by side in one compiled call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from lepton_rl.core.settings import load_settings
from lepton_rl.envs.config import EnvironmentConfig
from lepton_rl.envs.episodes import Episodes
from lepton_rl.envs.spaces import action_space, observation_of, observation_space, replace_masked

__all__ = ["SchedulingVectorEnv"]

Obs = dict[str, NDArray[Any]]


class SchedulingVectorEnv(VectorEnv[Obs, NDArray[np.int64], NDArray[Any]]):
    """`num_envs` environments as `SchedulingEnv`, every array with a leading batch axis.

    Autoreset is in the same step: the observation of an environment that ended is the first of its
    next episode, the last one is in `info["final_obs"]`, its metric in
    `info["final_info"]["metric"]`.

    Args:
        num_envs: environments (>= 1).
        config: settings, or a mapping of them.
        episodes: where windows come from; default as configured.
        **settings: single settings, on top of `config`.
    """

    metadata: dict[str, Any] = {  # noqa: RUF012 - gymnasium's own type
        "render_modes": [],
        "autoreset_mode": AutoresetMode.SAME_STEP,
    }

    def __init__(
        self,
        num_envs: int = 1,
        config: EnvironmentConfig | Mapping[str, Any] | None = None,
        *,
        episodes: Episodes | None = None,
        render_mode: str | None = None,
        **settings: Any,
    ) -> None:
        base = config.model_dump() if isinstance(config, EnvironmentConfig) else dict(config or {})
        self.config = load_settings(EnvironmentConfig, {**base, **settings}, "environment")
        self.num_envs = num_envs
        self.render_mode = render_mode
        self.episodes = episodes if episodes is not None else Episodes.of(self.config)
        self.simulator = self.episodes.simulator(self.config, batch=num_envs)
        num_nodes = len(self.simulator.sim.state.nodes.rows)
        self.single_observation_space = observation_space(self.config.slots, num_nodes)
        self.single_action_space = action_space(self.config.slots)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._rngs = [np.random.default_rng() for _ in range(num_envs)]

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Obs, dict[str, Any]]:
        """Begin an episode everywhere; environment `i` is seeded with `seed + i`."""
        seeds = [seed + i for i in range(self.num_envs)] if isinstance(seed, int) else seed
        for b in range(self.num_envs):
            if seeds is not None and seeds[b] is not None:
                self._rngs[b] = np.random.default_rng(seeds[b])
            self._begin(b)
        return observation_of(self.simulator.obs), {"action_mask": self.action_masks()}

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[Obs, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Act in every environment; see the class for what an episode's end gives."""
        info: dict[str, Any] = {}
        if not self.config.strict:
            actions, info["incident"] = replace_masked(actions, self.simulator.obs.action_mask)
        self.simulator.step(actions)
        terminated = self.simulator.terminated.copy()
        rewards = self.simulator.rewards.copy()
        if terminated.any():
            metric = np.zeros(self.num_envs)
            info["final_obs"] = observation_of(self.simulator.obs)
            info["_final_obs"] = terminated.copy()
            for b in np.flatnonzero(terminated):
                metric[b] = self.simulator.mean_cost(int(b))
                self._begin(int(b))
            info["final_info"] = {"metric": metric, "_metric": terminated.copy()}
            info["_final_info"] = terminated.copy()
        info["action_mask"] = self.action_masks()
        truncated = np.zeros(self.num_envs, np.bool_)
        return observation_of(self.simulator.obs), rewards, terminated, truncated, info

    def action_masks(self) -> NDArray[np.bool_]:
        """`(num_envs, Q + 1)` bool."""
        return self.simulator.obs.action_mask.copy()

    def _begin(self, b: int) -> None:
        self.simulator.reset(b, self.episodes.draw(self._rngs[b]))
