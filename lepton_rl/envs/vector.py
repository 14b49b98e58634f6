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
    replace_masked,
    require_render_mode,
)

__all__ = ["SchedulingVectorEnv"]

Obs = dict[str, NDArray[Any]]
Flags = NDArray[np.bool_]


class SchedulingVectorEnv(VectorEnv[Obs, NDArray[np.int64], NDArray[Any]]):
    """`num_envs` environments as `SchedulingEnv`, every array with a leading batch axis.

    It answers as `gymnasium.vector.SyncVectorEnv` of as many `SchedulingEnv` does, in each of its
    autoreset modes:

    - `SAME_STEP`, the default: the observation and `action_mask` of an environment that ended are
      the first of its next episode, its last observation is in `info["final_obs"]`, `(num_envs,)`
      of objects, and its last info, with the metric, in `info["final_info"]`.
    - `NEXT_STEP`: the step that ends an episode gives its last observation and info; the next one
      ignores the action of that environment, begins its next episode, and rewards 0.
    - `DISABLED`: an environment that ended waits for `reset(options={"reset_mask": mask})`, with a
      `(num_envs,)` bool mask of those that begin; `step` raises `StateError` until then.

    Beside each array of `info` stands a `(num_envs,)` mask, under its key with `_` before it, of
    the environments that have it.

    Args:
        num_envs: environments (>= 1).
        config: settings, or a mapping of them; see `EnvironmentConfig`.
        episodes: where windows come from; default as configured.
        render_mode: None.
        autoreset_mode: see above; also by its name in lower case.
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
        autoreset_mode: AutoresetMode | str = AutoresetMode.SAME_STEP,
        **settings: Any,
    ) -> None:
        require_render_mode(render_mode, [])
        self.config = EnvironmentConfig.of(config, settings)
        self.episodes = episodes if episodes is not None else Episodes.of(self.config)
        self.simulator = self.episodes.simulator(self.config, batch=num_envs)
        self.num_envs = num_envs
        self.single_observation_space = observation_space(self.simulator.obs)
        self.single_action_space = action_space(self.simulator.obs)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self.metadata = {**self.metadata, "autoreset_mode": _mode(autoreset_mode)}
        self._mode = self.metadata["autoreset_mode"]
        self._ended = np.zeros(num_envs, np.bool_)  # whose next episode has not begun
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
        begins, options = self._begins(options)
        for b, each in enumerate(self._seeds(seed)):
            if each is not None and begins[b]:
                self._rngs[b] = seeding.np_random(each)[0]
        chosen = np.flatnonzero(begins).tolist()
        rows = self.episodes.begin(options, [self._rngs[b] for b in chosen])
        for b, first_row in zip(chosen, rows, strict=True):
            self.simulator.reset(b, first_row)
        self._ended[begins] = False
        obs = observation_of(self.simulator.obs)
        return obs, self._info(obs["action_mask"], begins)

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
        begins = self._ended if self._mode is AutoresetMode.NEXT_STEP else self._nobody()
        incident = self._nobody()
        if not self.config.strict:
            actions, incident = replace_masked(actions, self.simulator.obs.action_mask)
        self.simulator.paused[:] = begins
        self.simulator.step(actions)
        rewards, ended = self.simulator.rewards.copy(), self.simulator.terminated & ~begins
        rewards[begins] = 0.0
        if self._mode is AutoresetMode.SAME_STEP:
            final = self._finish(ended, incident) if ended.any() else {}
            info = {"incident": incident & ~ended, "_incident": ~ended, **final}
        else:
            self._begin(begins)
            info = self._results(incident, ended, ~begins)
            self._ended = ended.copy()
        obs = observation_of(self.simulator.obs)
        info |= self._info(obs["action_mask"], ~self._nobody())
        return obs, rewards, ended, self._nobody(), info

    def close_extras(self, **kwargs: Any) -> None:
        """End the threads of the simulator."""
        self.simulator.close()

    def _nobody(self) -> Flags:
        return np.zeros(self.num_envs, np.bool_)

    def _begin(self, begins: Flags) -> None:
        """Begin an episode, drawn at random, where `begins`."""
        for b in np.flatnonzero(begins).tolist():
            self.simulator.reset(b, self.episodes.draw(self._rngs[b]))

    def _results(self, incident: Flags, ended: Flags, stepped: Flags) -> dict[str, Any]:
        """What is told of the environments that took a step, and of the episodes that ended."""
        info: dict[str, Any] = {}
        if stepped.any():
            info |= {"incident": incident & stepped, "_incident": stepped}
        if ended.any():
            metric = [self.simulator.mean_cost(b) if ended[b] else 0.0 for b in range(len(ended))]
            info |= {"metric": np.array(metric), "_metric": ended.copy()}
        return info

    def _begins(self, options: dict[str, Any] | None) -> tuple[Flags, dict[str, Any] | None]:
        """Whose episodes `reset` begins, and the options that are left."""
        if self._mode is not AutoresetMode.DISABLED or "reset_mask" not in (options or {}):
            return ~self._nobody(), options
        rest = dict(options or {})
        mask = rest.pop("reset_mask")
        is_mask = isinstance(mask, np.ndarray) and mask.dtype == np.bool_
        if not is_mask or mask.shape != (self.num_envs,) or not mask.any():
            raise ConfigError(
                f"reset options: reset_mask must be an array of {self.num_envs} bools, at least"
                f" one of them true, got {shown(mask)}"
            )
        return mask, rest

    def action_masks(self) -> Flags:
        """`(num_envs, actions)` bool."""
        return self.simulator.obs.action_mask.copy()

    def _finish(self, ended: Flags, incident: Flags) -> dict[str, Any]:
        """What is told of the episodes that ended, `(num_envs,)` bool; their next ones begin."""
        last = observation_of(self.simulator.obs)
        final_obs = np.full(self.num_envs, None, np.object_)
        metric = np.zeros(self.num_envs)
        for b in np.flatnonzero(ended).tolist():
            final_obs[b] = {name: values[b].copy() for name, values in last.items()}
            metric[b] = self.simulator.mean_cost(b)
        self._begin(ended)
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


def _mode(given: AutoresetMode | str) -> AutoresetMode:
    modes = {mode.name.lower().replace("_", "-"): mode for mode in AutoresetMode}
    name = given.name if isinstance(given, AutoresetMode) else str(given)
    try:
        return modes[name.lower().replace("_", "-")]
    except KeyError:
        raise ConfigError(
            f"environment: autoreset_mode must be one of {', '.join(modes)}, got {shown(given)}"
        ) from None
