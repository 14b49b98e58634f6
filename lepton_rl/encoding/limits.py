"""Whether an observation is what the schema promises."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.compiled import compiled
from lepton_rl.encoding.features import FEATURE_LIMIT
from lepton_rl.encoding.observation import Observation

__all__ = ["is_within_limits"]


@compiled
def is_within_limits(obs: Observation) -> bool:
    """Whether all features are finite and within `FEATURE_LIMIT`.

    They are for every table that went through the intake; this finds tables that did not.
    """
    whole = _is_within(obs.tasks) and _is_within(obs.nodes) and _is_within_row(obs.cluster)
    return whole and _is_within(obs.candidates)


@compiled
def _is_within(values: NDArray[np.float32]) -> bool:
    outside = 0
    for b in range(values.shape[0]):
        for row in range(values.shape[1]):
            for feature in range(values.shape[2]):  # no early exit: it is vectorised
                outside += not abs(values[b, row, feature]) <= FEATURE_LIMIT
    return outside == 0


@compiled
def _is_within_row(values: NDArray[np.float32]) -> bool:
    outside = 0
    for b in range(values.shape[0]):
        for feature in range(values.shape[1]):
            outside += not abs(values[b, feature]) <= FEATURE_LIMIT
    return outside == 0
