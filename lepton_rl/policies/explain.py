"""Which features moved a choice: occlusion on the network of a learned policy.

The margin of a choice is its logit less the greatest other one that the mask allows. A feature is
occluded by giving all tasks (all nodes, all candidates) their mean of it, so that it no longer
tells them apart; a feature of the cluster is set to 0. Its effect is by how much the margin falls
then: above 0 the feature spoke for the choice, below 0 against it. Effects of single features do
not add up where features stand for one another. Source: Zeiler and Fergus, "Visualizing and
understanding convolutional networks", ECCV 2014, section 4.2, for features in the place of parts
of an image.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.errors import StateError
from lepton_rl.core.tables import View
from lepton_rl.encoding.features import (
    CANDIDATE_FEATURES,
    CLUSTER_FEATURES,
    NODE_FEATURES,
    TASK_FEATURES,
)
from lepton_rl.encoding.observation import Observation
from lepton_rl.policies.learned import LearnedPolicy

__all__ = ["FeatureEffect", "explain", "explain_all"]

_GROUPS = (("task", TASK_FEATURES), ("node", NODE_FEATURES), ("cluster", CLUSTER_FEATURES))
_CANDIDATES = ("candidate", CANDIDATE_FEATURES)

Values = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FeatureEffect:
    """What one feature did.

    Attributes:
        feature: `task.wait`, `node.load`, `cluster.pending`; names of `encoding.features`. While a
            node is chosen, `candidate.relief` and the like too.
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
    """Likewise, in the order of `encoding.features`: tasks, nodes, cluster, candidates."""
    mask = obs.action_mask[:1]
    if mask.sum() < 2:
        raise StateError("explain: expected at least two allowed actions, got one or none")
    names, (tasks, nodes, cluster, candidates) = _occluded(obs)
    masks = np.repeat(mask, len(tasks), axis=0)
    more = (candidates,) if policy.chooses_nodes else ()
    logits = policy.artifact.logits(tasks, nodes, cluster, masks, *more).astype(np.float64)
    chosen = int(np.argmax(logits[0]))
    others = logits.copy()
    others[:, chosen] = -np.inf
    margins = logits[:, chosen] - others.max(axis=1)
    return [
        FeatureEffect(name, float(margins[0] - margin), bool(margin < 0))
        for name, margin in zip(names, margins[1:], strict=True)
    ]


def _occluded(obs: Observation) -> tuple[list[str], list[Values]]:
    """Names of the features; inputs as they are, and then with each feature occluded in turn.

    The features of candidates are there only while a node is chosen.
    """
    open_nodes = obs.action_mask[0, obs.tasks.shape[1] + 1 :]
    groups = (*_GROUPS, _CANDIDATES) if open_nodes.any() else _GROUPS
    names = [f"{group}.{name}" for group, features in groups for name in features]
    whole = (obs.tasks, obs.nodes, obs.cluster, obs.candidates)
    inputs = [np.repeat(each[:1], len(names) + 1, axis=0) for each in whole]
    tasks, nodes, cluster, candidates = inputs
    following = _level(tasks, obs.tasks[0].any(axis=1), 1)
    following = _level(nodes, np.ones(nodes.shape[1], np.bool_), following)
    for column in range(cluster.shape[1]):
        cluster[following, column] = 0.0
        following += 1
    if open_nodes.any():
        _level(candidates, open_nodes, following)
    return names, inputs


def _level(values: Values, which: NDArray[np.bool_], first: int) -> int:
    """From copy `first` on, give the entries `which` their mean of a column, one column a copy.

    Args:
        values: `(copies, entries, columns)`.
        which: `(entries,)`.
        first: copy in which the first column is levelled.

    Returns:
        The copy after the last one.
    """
    num_columns: int = values.shape[2]
    for column in range(num_columns):
        mean = values[0, which, column].mean() if which.any() else 0.0
        values[first + column, which, column] = mean
    return first + num_columns
