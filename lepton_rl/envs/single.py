"""SchedulingEnv: one cluster, one queue, one decision at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.errors import StateError
from lepton_rl.encoding.picture import draw_view
from lepton_rl.envs.config import EnvironmentConfig
from lepton_rl.envs.episodes import Episodes
from lepton_rl.envs.spaces import (
    action_space,
    observation_space,
    observed,
    require_render_mode,
)

__all__ = ["SchedulingEnv"]

Obs = dict[str, NDArray[Any]]


class SchedulingEnv(gymnasium.Env[Obs, np.int64]):
    """Dispatch of one window of a workload.

    At each decision the agent names the pending task that comes first. If it fits, it starts; if
    not, the backfilling rule may start another, and when nobody can start, time goes on.

    Observation, a `Dict`: `Q` slots of pending tasks (`slots`), `M` nodes. Slots without a task
    are zero. When more than `Q` tasks are pending, the oldest half and the newest half are shown.

    | key           | shape      | dtype   | range   | meaning (features have no unit)         |
    |---------------|------------|---------|---------|-----------------------------------------|
    | `tasks`       | `(Q, F)`   | float32 | -4 .. 4 | see `encoding.features.TASK_FEATURES`   |
    | `nodes`       | `(M, G)`   | float32 | -4 .. 4 | see `encoding.features.NODE_FEATURES`   |
    | `cluster`     | `(C,)`     | float32 | -4 .. 4 | see `encoding.features.CLUSTER_FEATURES`|
    | `action_mask` | `(Q + 1,)` | int8    | 0, 1    | 1 where the action may be chosen        |

    Action: `Discrete(Q + 1)`: a slot of the window, or `Q` to wait (masked unless `may_wait`).
    The mask fits `action_space.sample`; at an episode's end it is all 0. A masked action is an
    incident: the oldest pending task is taken instead.

    With `choose_nodes`, the agent also places the task that it put first, if it fits: the next
    actions name the node of each of its replicas, `Q + 1 + m` for node `m`; then only nodes are
    unmasked. Actions are `Discrete(Q + 1 + M)`, and there is one more key, `candidates (M, P)`:
    each node for the next replica (`encoding.features.CANDIDATE_FEATURES`), 0 where it may not run
    and while a task is to be chosen. A masked action becomes the first node with room.

    With `strict`, a masked action raises `InfeasibleDecisionError`, and nothing has moved.

    Reward: minus the objective that accrued since the last decision, over the episode's tasks; an
    episode's rewards sum to minus the mean metric.

    | info key      | from        | meaning                                                        |
    |---------------|-------------|----------------------------------------------------------------|
    | `action_mask` | reset, step | the same as in the observation                                 |
    | `incident`    | step        | whether a masked action was replaced                           |
    | `metric`      | last step   | mean of the objective over the episode's tasks, in its unit    |

    Episode end: `terminated` once every task of the window has started, which settles every wait.
    It is never truncated.

    Reset options: `{"first_row": row}` begins at that task of the workload instead of a random one
    of the split.

    `render()` gives a picture of cluster and queue, `(360, 640, 3)` uint8, with
    `render_mode="rgb_array"`; `encoding.picture` says what it shows.

    Versions: v0, first.

    Args:
        config: settings, or a mapping of them; see `EnvironmentConfig`.
        episodes: where windows come from; default as configured.
        render_mode: None or rgb_array.
        **settings: single settings on top of `config`, each replacing a whole entry.

    Raises:
        LeptonError: settings or workload cannot be used.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 12}  # noqa: RUF012 - gymnasium's own type

    def __init__(
        self,
        config: EnvironmentConfig | Mapping[str, Any] | None = None,
        *,
        episodes: Episodes | None = None,
        render_mode: str | None = None,
        **settings: Any,
    ) -> None:
        require_render_mode(render_mode, self.metadata["render_modes"])
        self.render_mode = render_mode
        self.config = EnvironmentConfig.of(config, settings)
        self.episodes = episodes if episodes is not None else Episodes.of(self.config)
        self.simulator = self.episodes.simulator(self.config, batch=1)
        self.observation_space = observation_space(self.simulator.obs)
        self.action_space = action_space(self.simulator.obs)
        self._closed = False
        self._seen = {name: each[0] for name, each in observed(self.simulator.obs).items()}
        self._mask = self._seen["action_mask"]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Obs, dict[str, Any]]:
        """Begin a window; see the class for `options`.

        Raises:
            ConfigError: an unknown option, or no whole episode begins at `first_row`.
            StateError: the environment is closed.
        """
        self._require_open()
        super().reset(seed=seed)
        self.simulator.reset(0, self.episodes.begin(options, [self.np_random])[0])
        obs = self._observation()
        return obs, {"action_mask": obs["action_mask"].copy()}

    def step(self, action: np.int64) -> tuple[Obs, float, bool, bool, dict[str, Any]]:
        """Act on one decision; see the class.

        Raises:
            StateError: the episode is over or has not begun, or the environment is closed.
            InfeasibleDecisionError: a masked action, with `strict`.
            ConfigError: the action is not a whole number.
        """
        self._require_open()
        chosen = self._chosen(action)
        mask = self._mask
        incident = not self.config.strict and not (0 <= chosen < len(mask) and mask[chosen])
        self.simulator.step_one(int(mask.argmax()) if incident else chosen)
        terminated = bool(self.simulator.terminated[0])
        obs = self._observation()
        info = {"action_mask": obs["action_mask"].copy(), "incident": incident}
        if terminated:
            info["metric"] = self.simulator.mean_cost(0)
        return obs, float(self.simulator.rewards[0]), terminated, False, info

    def _chosen(self, action: Any) -> int:
        """The action as a number that the simulator can hold.

        Raises:
            ConfigError: it is not a whole number.
        """
        if type(action) is not int and type(action) is not np.int64:
            return int(self.simulator.checked(np.expand_dims(action, 0))[0])
        return int(action)

    def render(self) -> NDArray[np.uint8] | None:
        """The picture, `(360, 640, 3)` uint8; None without a render mode.

        Raises:
            StateError: the environment is closed.
        """
        self._require_open()
        return draw_view(self.simulator.sim.state) if self.render_mode == "rgb_array" else None

    def close(self) -> None:
        """After this, `reset` and `step` raise `StateError`."""
        self._closed = True

    def action_masks(self) -> NDArray[np.bool_]:
        """`(actions,)` bool, under the name that sb3-contrib asks for."""
        mask: NDArray[np.bool_] = self._mask.astype(np.bool_)
        return mask

    def _observation(self) -> Obs:
        return {name: each.copy() for name, each in self._seen.items()}

    def _require_open(self) -> None:
        if self._closed:
            raise StateError("the environment is closed; make another one")
