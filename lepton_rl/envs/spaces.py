"""Observation and action spaces."""

from __future__ import annotations

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from lepton_rl.core.checks import shown
from lepton_rl.core.errors import ConfigError
from lepton_rl.encoding.features import (
    CLUSTER_FEATURES,
    FEATURE_LIMIT,
    NODE_FEATURES,
    TASK_FEATURES,
)
from lepton_rl.encoding.observation import Observation

__all__ = [
    "action_space",
    "observation_of",
    "observation_space",
    "refuse_rendering",
    "replace_masked",
]


def observation_space(slots: int, num_nodes: int) -> Any:
    """The observation of one environment, as `SchedulingEnv` tabulates it.

    Args:
        slots: Q, task slots of the window.
        num_nodes: M.
    """

    def box(*shape: int) -> spaces.Box:
        return spaces.Box(-FEATURE_LIMIT, FEATURE_LIMIT, shape, np.float32)

    return spaces.Dict(
        {
            "tasks": box(slots, len(TASK_FEATURES)),
            "nodes": box(num_nodes, len(NODE_FEATURES)),
            "cluster": box(len(CLUSTER_FEATURES)),
            "action_mask": spaces.Box(0, 1, (slots + 1,), np.int8),
        }
    )


def action_space(slots: int) -> spaces.Discrete:
    """Slot of the task that comes first, or `slots` for "wait"."""
    return spaces.Discrete(slots + 1)


def observation_of(obs: Observation) -> dict[str, NDArray[np.generic]]:
    """Copies of the buffers, `(B, ...)` each, by the names of the space."""
    return {
        "tasks": obs.tasks.copy(),
        "nodes": obs.nodes.copy(),
        "cluster": obs.cluster.copy(),
        "action_mask": obs.action_mask.view(np.int8).copy(),
    }


def replace_masked(
    actions: NDArray[np.int64], mask: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Put slot 0, the oldest pending task, in place of each action that the mask forbids.

    Args:
        actions: `(B,)`.
        mask: `(B, Q + 1)`.

    Returns:
        The actions to take and `(B,)` which of them were replaced.
    """
    inside = (actions >= 0) & (actions < mask.shape[1])
    allowed = inside & mask[np.arange(len(actions)), np.where(inside, actions, 0)]
    return np.where(allowed, actions, 0), ~allowed


def refuse_rendering(render_mode: object) -> None:
    """Refuse a render mode: the environments have none yet.

    Raises:
        ConfigError: it is not None.
    """
    if render_mode is not None:
        raise ConfigError(f"environment: render_mode must be None, got {shown(render_mode)}")
