"""Whole episodes under a linear score of the encoded features, in compiled code.

What a network does decision by decision, from outside, is done here in one call: evolution compares
thousands of whole schedules.
"""

from __future__ import annotations

from lepton_rl.core.compiled import compiled
from lepton_rl.core.tables import NO_TASK, Floats
from lepton_rl.encoding.observation import Observation
from lepton_rl.sim.episode import BatchTable, EpisodeRule, is_over, reset_episode, step_range

__all__ = ["play_scored"]


@compiled
def play_scored(
    batch: BatchTable,
    b: int,
    first_row: int,
    num_tasks: int,
    rule: EpisodeRule,
    weights: Floats,
    mixed: Floats,
) -> int:
    """Play an episode from start to end; the pending task with the highest score comes first.

    The score of a task with features f while the cluster has features c is
    sum_i f_i (weights[i, 0] + sum_j c_j weights[i, 1 + j]); ties go to the earlier arrival.

    Args:
        batch: environments; no nodes are chosen and waiting is not offered.
        b: environment to play in.
        first_row: first task of the episode.
        num_tasks: of the episode.
        rule: what surrounds the choice.
        weights: `(F, 1 + C)`.
        mixed: `(F,)` work space.

    Returns:
        Decisions made.
    """
    decisions = 0
    reset_episode(batch, b, first_row, num_tasks, rule)
    while not is_over(batch.sim, b):
        _mix(batch.obs, b, weights, mixed)
        batch.actions[b] = _best_slot(batch.obs, b, mixed)
        step_range(batch, rule, b, b + 1)
        decisions += 1
    return decisions


@compiled
def _mix(obs: Observation, b: int, weights: Floats, mixed: Floats) -> None:
    """Weights of the task features, given the cluster."""
    for i in range(weights.shape[0]):
        mixed[i] = weights[i, 0]
        for j in range(weights.shape[1] - 1):
            mixed[i] += obs.cluster[b, j] * weights[i, 1 + j]


@compiled
def _best_slot(obs: Observation, b: int, mixed: Floats) -> int:
    """Slot of the task with the highest score; taken slots are the first ones."""
    best, best_score = 0, 0.0
    for slot in range(obs.window.shape[1]):
        if obs.window[b, slot] == NO_TASK:
            break
        score = 0.0
        for i in range(mixed.shape[0]):
            score += obs.tasks[b, slot, i] * mixed[i]
        if slot == 0 or score > best_score:
            best, best_score = slot, score
    return best
