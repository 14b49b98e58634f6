"""SchedulingVectorEnv: many episodes side by side in one compiled call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from lepton_rl.core.checks import shown
from lepton_rl.core.errors import ConfigError, StateError
from lepton_rl.envs.config import EnvironmentConfig
from lepton_rl.envs.episodes import Episodes
from lepton_rl.envs.spaces import (
    action_space,
    observation_of,
    observation_space,
    refuse_rendering,
    replace_masked,
)

__all__ = ["SchedulingVectorEnv"]

Obs = dict[str, NDArray[Any]]
Flags = NDArray[np.bool_]


class SchedulingVectorEnv(VectorEnv[Obs, NDArray[np.int64], NDArray[Any]]):
    """`num_envs` environments as `SchedulingEnv`, every array with a leading batch axis.

    It answers as `gymnasium.vector.SyncVectorEnv` of as many `SchedulingEnv` does. Autoreset is in
    the same step: the observation and `action_mask` of an environment that ended are the first of
    its next episode, its last observation is in `info["final_obs"]`, `(num_envs,)` of objects, and
    its last info, with the metric, in `info["final_info"]`. Beside each array of `info` stands a
    `(num_envs,)` mask, under its key with `_` before it, of the environments that have it.

    Args:
        num_envs: environments (>= 1).
        config: settings, or a mapping of them; see `EnvironmentConfig`.
        episodes: where windows come from; default as configured.
        render_mode: None.
        **settings: single settings on top of `config`, each replacing a whole entry.

    Raises:
        LeptonError: settings or workload cannot be used.
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
        refuse_rendering(render_mode)
        self.config = EnvironmentConfig.of(config, settings)
        self.episodes = episodes if episodes is not None else Episodes.of(self.config)
        self.simulator = self.episodes.simulator(self.config, batch=num_envs)
        self.num_envs = num_envs
        num_nodes = len(self.simulator.sim.state.nodes.rows)
        self.single_observation_space = observation_space(self.config.slots, num_nodes)
        self.single_action_space = action_space(self.config.slots)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._rngs = [seeding.np_random()[0] for _ in range(num_envs)]

    def reset(
        self,
        *,
        seed: int | Sequence[int | None] | None = None,
        options: dict[str, Any] | None = None,
    ) -> tuple[Obs, dict[str, Any]]:
        """Begin an episode everywhere.

        Args:
            seed: environment `i` is seeded with `seed + i`, or with entry `i` of a sequence; where
                it is None, its generator goes on.
            options: as for `SchedulingEnv`; `first_row` may be a sequence with one row each.

        Raises:
            ConfigError: an unknown option, a bad `first_row`, or not one seed an environment.
            StateError: the environments are closed.
        """
        self._require_open()
        for b, each in enumerate(self._seeds(seed)):
            if each is not None:
                self._rngs[b] = seeding.np_random(each)[0]
        for b, first_row in enumerate(self.episodes.begin(options, self._rngs)):
            self.simulator.reset(b, first_row)
        obs = observation_of(self.simulator.obs)
        return obs, self._info(obs["action_mask"], np.ones(self.num_envs, np.bool_))

    def step(
        self, actions: NDArray[np.int64]
    ) -> tuple[Obs, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Act in every environment; see the class for what an episode's end gives.

        Raises:
            StateError: `reset` has not been called, or the environments are closed.
            InfeasibleDecisionError: a masked action, with `strict`; nothing has moved.
            ConfigError: not one whole number an environment.
        """
        self._require_open()
        actions = self.simulator.checked(actions)
        incident = np.zeros(self.num_envs, np.bool_)
        if not self.config.strict:
            actions, incident = replace_masked(actions, self.simulator.obs.action_mask)
        self.simulator.step(actions)
        rewards, ended = self.simulator.rewards.copy(), self.simulator.terminated.copy()
        final = self._finish(ended, incident) if ended.any() else {}
        obs = observation_of(self.simulator.obs)
        info = self._info(obs["action_mask"], np.ones(self.num_envs, np.bool_))
        info |= {"incident": incident & ~ended, "_incident": ~ended, **final}
        return obs, rewards, ended, np.zeros(self.num_envs, np.bool_), info

    def action_masks(self) -> Flags:
        """`(num_envs, Q + 1)` bool."""
        return self.simulator.obs.action_mask.copy()

    def _finish(self, ended: Flags, incident: Flags) -> dict[str, Any]:
        """What is told of the episodes that ended, `(num_envs,)` bool; their next ones begin."""
        last = observation_of(self.simulator.obs)
        final_obs = np.full(self.num_envs, None, np.object_)
        metric = np.zeros(self.num_envs)
        for b in np.flatnonzero(ended).tolist():
            final_obs[b] = {name: values[b].copy() for name, values in last.items()}
            metric[b] = self.simulator.mean_cost(b)
            self.simulator.reset(b, self.episodes.draw(self._rngs[b]))
        final_info = self._info(last["action_mask"], ended)
        final_info |= {"incident": incident & ended, "_incident": ended.copy()}
        final_info |= {"metric": metric, "_metric": ended.copy()}
        return {
            "final_obs": final_obs,
            "_final_obs": ended.copy(),
            "final_info": final_info,
            "_final_info": ended.copy(),
        }

    def _info(self, action_mask: NDArray[Any], present: Flags) -> dict[str, Any]:
        """The info of environments `present`; of the others it is zero."""
        return {
            "action_mask": np.where(present[:, None], action_mask, np.int8(0)),
            "_action_mask": present.copy(),
        }

    def _seeds(self, seed: Any) -> list[int | None]:
        if seed is None:
            return [None] * self.num_envs
        if isinstance(seed, Integral):
            return [int(seed) + b for b in range(self.num_envs)]
        whole = isinstance(seed, list | tuple | np.ndarray) and all(
            each is None or isinstance(each, Integral) for each in seed
        )
        if not whole or len(seed) != self.num_envs:
            raise ConfigError(
                f"reset: expected a seed or {self.num_envs} of them, one an environment, got"
                f" {shown(seed)}"
            )
        return [None if each is None else int(each) for each in seed]

    def _require_open(self) -> None:
        if self.closed:
            raise StateError("the environments are closed; make others")
