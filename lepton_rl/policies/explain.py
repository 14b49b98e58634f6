"""Which features moved a choice: occlusion on the network of a learned policy.

The margin of a choice is its logit less the greatest other one that the mask allows. A feature is
occluded by giving all tasks (or all nodes) their mean of it, so that it no longer tells them apart;
a feature of the cluster is set to 0. Its effect is by how much the margin falls then: above 0 the
feature spoke for the choice, below 0 against it. Effects of single features do not add up where
features stand for one another. Source: Zeiler and Fergus, "Visualizing and understanding
convolutional networks", ECCV 2014, section 4.2, for features in the place of parts of an image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.errors import StateError
from lepton_rl.core.tables import View
from lepton_rl.encoding.features import CLUSTER_FEATURES, NODE_FEATURES, TASK_FEATURES
from lepton_rl.encoding.observation import Observation
from lepton_rl.policies.learned import LearnedPolicy

__all__ = ["FeatureEffect", "explain", "explain_all"]

_GROUPS = (("task", TASK_FEATURES), ("node", NODE_FEATURES), ("cluster", CLUSTER_FEATURES))

Inputs = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class FeatureEffect:
    """What one feature did.

    Attributes:
        feature: `task.wait`, `node.load`, `cluster.pending`; names of `encoding.features`.
        effect: by how much the margin falls without it, in logits.
        decides: whether another action would have been chosen without it.
    """

    feature: str
    effect: float
    decides: bool


def explain(policy: LearnedPolicy, seen: View | Observation) -> list[FeatureEffect]:
    """The features of one decision, strongest effect first.

    Args:
        policy: whose network.
        seen: what it sees, as tables of one environment or as an observation `(1, ...)`.

    Raises:
        StateError: fewer than two actions are allowed, so nothing was chosen.
    """
    obs = seen if isinstance(seen, Observation) else policy.observe(seen)
    effects = explain_all(policy, obs)
    return sorted(effects, key=lambda each: -abs(each.effect))


def explain_all(policy: LearnedPolicy, obs: Observation) -> list[FeatureEffect]:
    """Likewise, in the order of `encoding.features`: tasks, nodes, cluster."""
    mask = obs.action_mask[:1]
    if mask.sum() < 2:
        raise StateError("explain: expected at least two allowed actions, got one or none")
    names, tasks, nodes, cluster = _occluded(obs)
    masks = np.repeat(mask, len(tasks), axis=0)
    logits = policy.artifact.logits(tasks, nodes, cluster, masks).astype(np.float64)
    chosen = int(np.argmax(logits[0]))
    others = logits.copy()
    others[:, chosen] = -np.inf
    margins = logits[:, chosen] - others.max(axis=1)
    return [
        FeatureEffect(name, float(margins[0] - margin), bool(margin < 0))
        for name, margin in zip(names, margins[1:], strict=True)
    ]


def _occluded(obs: Observation) -> tuple[list[str], *Inputs]:
    """Names of the features; inputs as they are, and then with each feature occluded in turn."""
    names = [f"{group}.{name}" for group, features in _GROUPS for name in features]
    inputs = (obs.tasks[:1], obs.nodes[:1], obs.cluster[:1])
    tasks, nodes, cluster = (np.repeat(each, len(names) + 1, axis=0) for each in inputs)
    pending = obs.action_mask[0, :-1]
    row = 1
    for column in range(tasks.shape[2]):
        tasks[row, pending, column] = tasks[0, pending, column].mean() if pending.any() else 0.0
        row += 1
    for column in range(nodes.shape[2]):
        nodes[row, :, column] = nodes[0, :, column].mean()
        row += 1
    for column in range(cluster.shape[1]):
        cluster[row, column] = 0.0
        row += 1
    return names, tasks, nodes, cluster
