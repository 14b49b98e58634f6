"""Whole episodes under a score of the encoded features, in compiled code.

What a network does decision by decision, from outside, is done here in one call: evolution compares
thousands of whole schedules.
"""

from __future__ import annotations

from lepton_rl.core.compiled import compiled
from lepton_rl.core.tables import NO_TASK, Floats
from lepton_rl.encoding.observation import Observation
from lepton_rl.sim.episode import BatchTable, EpisodeRule, is_over, reset_episode, step_range

__all__ = ["HOLD_SLOPE", "play_scored"]

HOLD_SLOPE = 30.0
"""How fast a hold lowers a score: the scores of tasks that fit differ by about 1."""


@compiled
def play_scored(
    batch: BatchTable,
    b: int,
    first_row: int,
    num_tasks: int,
    rule: EpisodeRule,
    weights: Floats,
    holds: Floats,
    mixed: Floats,
    offsets: Floats,
) -> int:
    """Play an episode from start to end; the pending task with the highest score comes first.

    The score of a task with features f while the cluster has features c is
    sum_i f_i (weights[i, 0] + sum_j c_j weights[i, 1 + j]), less `HOLD_SLOPE` times
    sum_h max(0, holds[h, 0] + sum_i f_i holds[h, 1 + i] + sum_j c_j holds[h, 1 + F + j]).
    Ties go to the earlier arrival. Where waiting is offered it has the score 0.

    Args:
        batch: environments; no nodes are chosen.
        b: environment to play in.
        first_row: first task of the episode.
        num_tasks: of the episode.
        rule: what surrounds the choice.
        weights: `(F, 1 + C)`.
        holds: `(H, 1 + F + C)`; H may be 0.
        mixed: `(F,)` work space.
        offsets: `(H,)` work space.

    Returns:
        Decisions made.
    """
    decisions = 0
    reset_episode(batch, b, first_row, num_tasks, rule)
    while not is_over(batch.sim, b):
        _mix(batch.obs, b, weights, mixed)
        _offset(batch.obs, b, holds, offsets)
        batch.actions[b] = _best_action(batch.obs, b, mixed, holds, offsets)
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
def _offset(obs: Observation, b: int, holds: Floats, offsets: Floats) -> None:
    """What the holds are before any feature of a task counts."""
    num_task = obs.tasks.shape[2]
    for h in range(holds.shape[0]):
        offsets[h] = holds[h, 0]
        for j in range(obs.cluster.shape[1]):
            offsets[h] += obs.cluster[b, j] * holds[h, 1 + num_task + j]


@compiled
def _best_action(obs: Observation, b: int, mixed: Floats, holds: Floats, offsets: Floats) -> int:
    """Slot of the task with the highest score, or "wait"; taken slots are the first ones."""
    slots = obs.window.shape[1]
    best, best_score = 0, 0.0
    for slot in range(slots):
        if obs.window[b, slot] == NO_TASK:
            break
        score = 0.0
        for i in range(mixed.shape[0]):
            score += obs.tasks[b, slot, i] * mixed[i]
        for h in range(holds.shape[0]):
            held = offsets[h]
            for i in range(mixed.shape[0]):
                held += obs.tasks[b, slot, i] * holds[h, 1 + i]
            score -= HOLD_SLOPE * max(0.0, held)
        if slot == 0 or score > best_score:
            best, best_score = slot, score
    if obs.action_mask[b, slots] and best_score < 0.0:
        return slots
    return best
