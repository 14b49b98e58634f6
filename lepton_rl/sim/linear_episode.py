"""Whole episodes under linear scores of the encoded features, in compiled code.

What a network does decision by decision, from outside, is done here in one call: evolution compares
thousands of whole schedules.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lepton_rl.core.compiled import compiled
from lepton_rl.core.tables import NO_NODE, NO_TASK, Floats
from lepton_rl.encoding.features import Float32s
from lepton_rl.encoding.observation import Observation
from lepton_rl.sim.episode import BatchTable, EpisodeRule, is_over, reset_episode, step_range
from lepton_rl.sim.linear_score import node_score

__all__ = ["HOLD_SLOPE", "LinearScores", "linear_scores", "play_linear"]

HOLD_SLOPE = 30.0
"""How fast a hold lowers a score: the scores of tasks that fit differ by about 1."""


class LinearScores(NamedTuple):
    """What comes first, and where it runs.

    The score of a task with features f while the cluster has features c is
    sum_i f_i (tasks[i, 0] + sum_j c_j tasks[i, 1 + j]), less `HOLD_SLOPE` times
    sum_h max(0, holds[h, 0] + sum_i f_i holds[h, 1 + i] + sum_j c_j holds[h, 1 + F + j]); that of
    waiting, where it is offered, is 0, and that of a node is `node_score`.
    """

    tasks: Floats  # (F, 1 + C)
    nodes: Float32s  # (X,) by NODE_SCORE_FEATURES; not read where nodes are not chosen
    holds: Floats  # (H, 1 + F + C); H may be 0
    mixed: Floats  # (F,) work space
    offsets: Floats  # (H,) work space


@compiled
def play_linear(
    batch: BatchTable,
    b: int,
    first_row: int,
    num_tasks: int,
    rule: EpisodeRule,
    scores: LinearScores,
) -> int:
    """Play an episode from start to end; the highest score comes first.

    Ties go to the earlier arrival, and to the node of the lowest index.

    Args:
        batch: environments.
        b: environment to play in.
        first_row: first task of the episode.
        num_tasks: of the episode.
        rule: what surrounds the choice.
        scores: of tasks and nodes.

    Returns:
        Decisions made.
    """
    decisions = 0
    reset_episode(batch, b, first_row, num_tasks, rule)
    while not is_over(batch.sim, b):
        if batch.sim.progress[b].placing != NO_TASK:
            batch.actions[b] = (
                batch.obs.window.shape[1] + 1 + _best_node(batch.obs, b, scores.nodes)
            )
        else:
            _mix(batch.obs, b, scores)
            batch.actions[b] = _best_action(batch.obs, b, scores)
        step_range(batch, rule, b, b + 1)
        decisions += 1
    return decisions


@compiled
def _mix(obs: Observation, b: int, scores: LinearScores) -> None:
    """Weights of the task features, and the rest of the holds, given the cluster."""
    weights, holds, num_task = scores.tasks, scores.holds, obs.tasks.shape[2]
    for i in range(weights.shape[0]):
        scores.mixed[i] = weights[i, 0]
        for j in range(weights.shape[1] - 1):
            scores.mixed[i] += obs.cluster[b, j] * weights[i, 1 + j]
    for h in range(holds.shape[0]):
        scores.offsets[h] = holds[h, 0]
        for j in range(obs.cluster.shape[1]):
            scores.offsets[h] += obs.cluster[b, j] * holds[h, 1 + num_task + j]


@compiled
def _best_action(obs: Observation, b: int, scores: LinearScores) -> int:
    """Slot of the task with the highest score, or "wait"; taken slots are the first ones."""
    mixed, holds, slots = scores.mixed, scores.holds, obs.window.shape[1]
    best, best_score = 0, 0.0
    for slot in range(slots):
        if obs.window[b, slot] == NO_TASK:
            break
        score = 0.0
        for i in range(mixed.shape[0]):
            score += obs.tasks[b, slot, i] * mixed[i]
        for h in range(holds.shape[0]):
            held = scores.offsets[h]
            for i in range(mixed.shape[0]):
                held += obs.tasks[b, slot, i] * holds[h, 1 + i]
            score -= HOLD_SLOPE * max(0.0, held)
        if slot == 0 or score > best_score:
            best, best_score = slot, score
    if obs.action_mask[b, slots] and best_score < 0.0:
        return slots
    return best


@compiled
def _best_node(obs: Observation, b: int, weights: Float32s) -> int:
    """The node of highest score among those that may run the replica."""
    best, best_score, first = NO_NODE, 0.0, obs.window.shape[1] + 1
    for m in range(obs.nodes.shape[1]):
        if not obs.action_mask[b, first + m]:
            continue
        score = node_score(weights, obs.nodes, obs.candidates, b, m)
        if best == NO_NODE or score > best_score:
            best, best_score = m, score
    return best


def linear_scores(tasks: Floats, nodes: Floats, holds: Floats) -> LinearScores:
    """Scores by these weights, as compiled code wants them.

    Args:
        tasks: `(F, 1 + C)`.
        nodes: `(X,)`.
        holds: `(H, 1 + F + C)`.
    """
    return LinearScores(
        np.ascontiguousarray(tasks, np.float64),
        np.ascontiguousarray(nodes, np.float32),
        np.ascontiguousarray(holds, np.float64),
        np.zeros(len(tasks)),
        np.zeros(len(holds)),
    )
