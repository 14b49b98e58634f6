"""Observation and mask, written straight into buffers that the caller owns.

The window shows at most `Q` pending tasks: all of them in order of arrival, or, when there are
more, the oldest half and the newest half, so it never goes stale; the cluster features tell how
many are left out. Slot `Q` of the mask stands for "wait".
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.clock import MICROSECOND
from lepton_rl.core.compiled import compiled
from lepton_rl.core.tables import NO_TASK, Ints, View
from lepton_rl.encoding.features import (
    CLUSTER_FEATURES,
    NODE_FEATURES,
    TASK_FEATURES,
    dominant_share,
    free_share,
    log_scale,
    write_node,
    write_task,
)

__all__ = ["Observation", "empty_observation", "encode"]


class Observation(NamedTuple):
    """Buffers of a batch of observations; unused slots are zero and masked."""

    tasks: NDArray[np.float32]  # (B, Q, F)
    nodes: NDArray[np.float32]  # (B, M, G)
    cluster: NDArray[np.float32]  # (B, C)
    action_mask: NDArray[np.bool_]  # (B, Q + 1) the last is "wait"
    window: Ints  # (B, Q) local index of the task in each slot, NO_TASK if empty


def empty_observation(batch: int, slots: int, num_nodes: int) -> Observation:
    """Zeroed buffers for `batch` environments with `slots` task slots."""
    return Observation(
        tasks=np.zeros((batch, slots, len(TASK_FEATURES)), np.float32),
        nodes=np.zeros((batch, num_nodes, len(NODE_FEATURES)), np.float32),
        cluster=np.zeros((batch, len(CLUSTER_FEATURES)), np.float32),
        action_mask=np.zeros((batch, slots + 1), np.bool_),
        window=np.full((batch, slots), NO_TASK, np.int64),
    )


@compiled
def encode(view: View, b: int, may_wait: bool, obs: Observation) -> None:
    """Write the observation of environment `b`.

    Args:
        view: what there is to see.
        b: environment.
        may_wait: whether the mask allows waiting (something must be left to happen).
        obs: buffers; row `b` of each is overwritten.
    """
    count = view.status[b].num_pending
    slots = obs.window.shape[1]
    now_us = view.status[b].now_us
    requested_sum = 0.0
    area_sum = 0.0
    for position in range(count):
        row = view.status[b].first_row + view.pending[b, position]
        requested_s = view.tasks[row].requested_us / MICROSECOND
        requested_sum += requested_s
        area_sum += requested_s * dominant_share(view.tasks, view.nodes, row)
    free = free_share(view.nodes, view.pool, b)
    shown = min(count, slots)
    oldest = shown if count <= slots else slots - slots // 2
    for slot in range(slots):
        obs.window[b, slot] = NO_TASK
        obs.action_mask[b, slot] = False
        if slot < shown:
            position = slot if slot < oldest else count - (shown - slot)
            local = view.pending[b, position]
            rank = position / count
            obs.window[b, slot] = local
            obs.action_mask[b, slot] = True
            write_task(
                view,
                b,
                local,
                rank,
                free,
                requested_sum / count,
                area_sum / count,
                obs.tasks,
                slot,
            )
        else:
            for feature in range(obs.tasks.shape[2]):
                obs.tasks[b, slot, feature] = 0.0
    obs.action_mask[b, slots] = may_wait
    for m in range(view.nodes.rows.shape[0]):
        write_node(view, b, m, obs.nodes)
    oldest_wait_s = 0.0
    if count > 0:
        first_row = view.status[b].first_row + view.pending[b, 0]
        oldest_wait_s = (now_us - view.tasks[first_row].submit_us) / MICROSECOND
    next_release_s = 0.0
    if view.status[b].num_running > 0:
        soonest_us = view.spans[b, view.running[b, 0]].expected_end_us
        next_release_s = (soonest_us - now_us) / MICROSECOND
    obs.cluster[b, 0] = free
    obs.cluster[b, 1] = log_scale(float(count), 4.0)
    obs.cluster[b, 2] = log_scale(area_sum, 6.0)
    obs.cluster[b, 3] = (count - shown) / max(count, 1)
    obs.cluster[b, 4] = log_scale(float(view.status[b].num_running), 4.0)
    obs.cluster[b, 5] = log_scale(next_release_s, 6.0)
    obs.cluster[b, 6] = log_scale(oldest_wait_s, 6.0)
    obs.cluster[b, 7] = log_scale(requested_sum / max(count, 1), 6.0)
