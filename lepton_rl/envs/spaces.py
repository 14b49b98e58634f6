"""Observation and action spaces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from lepton_rl.core.checks import shown
from lepton_rl.core.errors import ConfigError
from lepton_rl.encoding.features import FEATURE_LIMIT
from lepton_rl.encoding.observation import Observation

__all__ = [
    "action_space",
    "observation_of",
    "observation_space",
    "observed",
    "replace_masked",
    "require_render_mode",
]


def observed(obs: Observation) -> dict[str, NDArray[Any]]:
    """The buffers that an agent sees, `(B, ...)` each, by the names of the space; not copied.

    There are `candidates` only where nodes are chosen too.
    """
    seen: dict[str, NDArray[Any]] = {
        "tasks": obs.tasks,
        "nodes": obs.nodes,
        "cluster": obs.cluster,
    }
    if obs.candidates.shape[1] > 0:
        seen["candidates"] = obs.candidates
    return seen | {"action_mask": obs.action_mask.view(np.int8)}


def observation_space(obs: Observation) -> Any:
    """The observation of one environment, as `SchedulingEnv` tabulates it; from its buffers."""
    spaces_of = {
        name: spaces.Box(-FEATURE_LIMIT, FEATURE_LIMIT, buffer.shape[1:], np.float32)
        for name, buffer in observed(obs).items()
    }
    return spaces.Dict(
        spaces_of | {"action_mask": spaces.Box(0, 1, obs.action_mask.shape[1:], np.int8)}
    )


def action_space(obs: Observation) -> spaces.Discrete:
    """Slot of the task that comes first, the one behind for "wait", then nodes if these are chosen.

    From the buffers of an observation.
    """
    return spaces.Discrete(obs.action_mask.shape[1])


def observation_of(obs: Observation) -> dict[str, NDArray[Any]]:
    """Copies of the buffers, `(B, ...)` each, by the names of the space."""
    return {name: buffer.copy() for name, buffer in observed(obs).items()}


def replace_masked(
    actions: NDArray[np.int64], mask: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Put the first allowed action in place of each that the mask forbids.

    That is the oldest pending task, or the first node that has room.

    Args:
        actions: `(B,)`.
        mask: `(B, actions)`.

    Returns:
        The actions to take and `(B,)` which of them were replaced.
    """
    inside = (actions >= 0) & (actions < mask.shape[1])
    allowed = inside & mask[np.arange(len(actions)), np.where(inside, actions, 0)]
    return np.where(allowed, actions, mask.argmax(axis=1)), ~allowed


def require_render_mode(render_mode: object, modes: Sequence[str]) -> None:
    """Refuse a render mode that an environment does not have.

    Raises:
        ConfigError: it is neither None nor one of `modes`.
    """
    if render_mode is not None and render_mode not in modes:
        expected = " or ".join(["None", *modes])
        raise ConfigError(f"environment: render_mode must be {expected}, got {shown(render_mode)}")
