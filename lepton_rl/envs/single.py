"""SchedulingEnv: one cluster, one queue, one decision at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.settings import load_settings
from lepton_rl.envs.config import EnvironmentConfig
from lepton_rl.envs.episodes import Episodes
from lepton_rl.envs.spaces import action_space, observation_of, observation_space, replace_masked

__all__ = ["SchedulingEnv"]

Obs = dict[str, NDArray[Any]]


class SchedulingEnv(gymnasium.Env[Obs, np.int64]):
    """Dispatch of one window of a workload.

    At each decision the agent names the pending task that comes first. If it fits, it starts; if
    not, the backfilling rule may start another, and when nobody can start, time goes on.

    | observation   | shape      | range   | meaning                                          |
    |---------------|------------|---------|--------------------------------------------------|
    | `tasks`       | `(Q, F)`   | -4 .. 4 | `encoding.features.TASK_FEATURES`, no unit       |
    | `nodes`       | `(M, G)`   | -4 .. 4 | `encoding.features.NODE_FEATURES`, no unit       |
    | `cluster`     | `(C,)`     | -4 .. 4 | `encoding.features.CLUSTER_FEATURES`, no unit    |
    | `action_mask` | `(Q + 1,)` | 0, 1    | what may be chosen; `info["action_mask"]` as well |

    Action: `Discrete(Q + 1)`: a slot of the window, or `Q` to wait (masked unless `may_wait`).
    A masked action is an incident: the oldest pending task is taken instead and
    `info["incident"]` is true; with `strict` it raises `InfeasibleDecisionError`, nothing moved.
    Reward: minus the objective that accrued since the last decision, over the episode's tasks; an
    episode's rewards sum to minus the mean metric (`info["metric"]` at its end).
    Episode end: `terminated` once every task of the window has started, which settles every wait.
    It is never truncated.
    Reset options: `{"first_row": row}` begins at that task of the workload instead of a random one
    of the split.

    Versions: v0, first.

    Args:
        config: settings, or a mapping of them; see `EnvironmentConfig`.
        episodes: where windows come from; default as configured.
        **settings: single settings, on top of `config`.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 - gymnasium's own type

    def __init__(
        self,
        config: EnvironmentConfig | Mapping[str, Any] | None = None,
        *,
        episodes: Episodes | None = None,
        render_mode: str | None = None,
        **settings: Any,
    ) -> None:
        base = config.model_dump() if isinstance(config, EnvironmentConfig) else dict(config or {})
        self.config = load_settings(EnvironmentConfig, {**base, **settings}, "environment")
        self.render_mode = render_mode
        self.episodes = episodes if episodes is not None else Episodes.of(self.config)
        self.simulator = self.episodes.simulator(self.config, batch=1)
        num_nodes = len(self.simulator.sim.state.nodes.rows)
        self.observation_space = observation_space(self.config.slots, num_nodes)
        self.action_space = action_space(self.config.slots)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Obs, dict[str, Any]]:
        """Begin a window; see the class for `options`."""
        super().reset(seed=seed)
        first_row = (options or {}).get("first_row")
        self.simulator.reset(
            0, self.episodes.draw(self.np_random) if first_row is None else int(first_row)
        )
        return self._observation(), {"action_mask": self.action_masks()}

    def step(self, action: np.int64) -> tuple[Obs, float, bool, bool, dict[str, Any]]:
        """Act on one decision; see the class."""
        actions = np.asarray([action], np.int64)
        info: dict[str, Any] = {}
        if not self.config.strict:
            actions, replaced = replace_masked(actions, self.simulator.obs.action_mask)
            info["incident"] = bool(replaced[0])
        self.simulator.step(actions)
        terminated = bool(self.simulator.terminated[0])
        info["action_mask"] = self.action_masks()
        if terminated:
            info["metric"] = self.simulator.mean_cost(0)
        return self._observation(), float(self.simulator.rewards[0]), terminated, False, info

    def action_masks(self) -> NDArray[np.bool_]:
        """`(Q + 1,)` bool, under the name that sb3-contrib asks for."""
        mask: NDArray[np.bool_] = self.simulator.obs.action_mask[0].copy()
        return mask

    def _observation(self) -> Obs:
        return {name: values[0] for name, values in observation_of(self.simulator.obs).items()}
