"""Scores of tasks and nodes by a few weights, for searches that need whole runs in compiled code.

A score of a node reads what a network that chooses nodes reads: the features of the node, then
those of the candidate, as `encoding` writes them. So what is found can be exported as one.
"""

from __future__ import annotations

import numpy as np

from lepton_rl.core.compiled import compiled
from lepton_rl.encoding.features import CANDIDATE_FEATURES, NODE_FEATURES, Float32s
from lepton_rl.encoding.observation import Observation
from lepton_rl.sim.batch import BatchSimulator
from lepton_rl.sim.episode import BatchTable, EpisodeRule, is_over, reset_episode, step_range

__all__ = ["SCORE_FEATURES", "node_score", "run_by_score"]

SCORE_FEATURES = (*NODE_FEATURES, *CANDIDATE_FEATURES)
"""What a score reads of a node, in this order; X of them."""


@compiled
def node_score(weights: Float32s, nodes: Float32s, candidates: Float32s, b: int, m: int) -> float:
    """`weights @ x` of node `m`, the higher the better; the sum is in float32.

    Args:
        weights: `(X,)`, by `SCORE_FEATURES`.
        nodes: `(B, M, G)`.
        candidates: `(B, M, P)`.
        b: environment.
        m: node.
    """
    num_node = nodes.shape[2]
    total = np.float32(0.0)
    for x in range(num_node):
        total += weights[x] * nodes[b, m, x]
    for x in range(candidates.shape[2]):
        total += weights[num_node + x] * candidates[b, m, x]
    return float(total)


@compiled
def _best_action(obs: Observation, b: int, task_weights: Float32s, node_weights: Float32s) -> int:
    """The action of highest score among those that the mask allows; "wait" is none."""
    best, slots = -1, obs.window.shape[1]
    best_score = 0.0
    for action in range(obs.action_mask.shape[1]):
        if not obs.action_mask[b, action] or action == slots:
            continue
        current = 0.0
        if action < slots:
            for x in range(task_weights.shape[0]):
                current += task_weights[x] * obs.tasks[b, action, x]
        else:
            current = node_score(node_weights, obs.nodes, obs.candidates, b, action - slots - 1)
        if best < 0 or current > best_score:
            best, best_score = action, current
    return best


@compiled
def _run_to_end(
    batch: BatchTable,
    first_row: int,
    num_tasks: int,
    rule: EpisodeRule,
    task_weights: Float32s,
    node_weights: Float32s,
) -> float:
    reset_episode(batch, 0, first_row, num_tasks, rule)
    while not is_over(batch.sim, 0):
        batch.actions[0] = _best_action(batch.obs, 0, task_weights, node_weights)
        step_range(batch, rule, 0, 1)
    return batch.sim.progress[0].cost / num_tasks


def run_by_score(
    simulator: BatchSimulator, first_row: int, task_weights: Float32s, node_weights: Float32s
) -> float:
    """Mean cost of an episode in environment 0 that always takes the highest score.

    Args:
        simulator: one that chooses nodes, and in which waiting is no action.
        first_row: where the episode begins.
        task_weights: `(F,)`, by `TASK_FEATURES`.
        node_weights: `(X,)`, by `SCORE_FEATURES`.
    """
    return float(
        _run_to_end(
            simulator.table, first_row, simulator.episode_tasks, simulator.rule,
            task_weights, node_weights,
        )
    )  # fmt: skip
