"""Observation and action spaces."""

from __future__ import annotations

from collections.abc import Sequence
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
    "replace_masked",
    "require_render_mode",
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


def require_render_mode(render_mode: object, modes: Sequence[str]) -> None:
    """Refuse a render mode that an environment does not have.

    Raises:
        ConfigError: it is neither None nor one of `modes`.
    """
    if render_mode is not None and render_mode not in modes:
        expected = " or ".join(["None", *modes])
        raise ConfigError(f"environment: render_mode must be {expected}, got {shown(render_mode)}")
