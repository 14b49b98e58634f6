"""Networks that are weighted sums of features of tasks and nodes, as `natural_evolution` finds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from lepton_rl.agents.networks import PriorityNetwork
from lepton_rl.encoding.features import (
    CANDIDATE_FEATURES,
    CLUSTER_FEATURES,
    NODE_FEATURES,
    TASK_FEATURES,
)

__all__ = ["linear_network"]

Weights = NDArray[np.floating] | Sequence[float]


def linear_network(task_weights: Weights, node_weights: Weights) -> PriorityNetwork:
    """A network with `task_weights @ x` of tasks and `node_weights @ x` of nodes as logits.

    Args:
        task_weights: by `TASK_FEATURES`.
        node_weights: by `sim.scores.SCORE_FEATURES`: those of nodes, then of candidates.
    """
    network = PriorityNetwork(
        len(TASK_FEATURES),
        len(NODE_FEATURES),
        len(CLUSTER_FEATURES),
        hidden=(2,),
        candidate_features=len(CANDIDATE_FEATURES),
    )
    assert network.placer is not None
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.zero_()
        _make_linear(network.scorer, task_weights)
        _make_linear(network.placer, node_weights)
    return network


def _make_linear(layers: nn.Sequential, weights: Weights) -> None:
    """Two units: s is relu(s) - relu(-s). What stands behind the weighted features counts 0."""
    first, last = layers[0], layers[-1]
    assert isinstance(first, nn.Linear)
    assert isinstance(last, nn.Linear)
    values = torch.as_tensor(np.asarray(weights, np.float32))
    first.weight[0, : len(values)], first.weight[1, : len(values)] = values, -values
    last.weight[0, 0], last.weight[0, 1] = 1.0, -1.0
