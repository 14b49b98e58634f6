"""Observation and mask, written straight into buffers that the caller owns.

The window shows at most `Q` pending tasks: all of them in order of arrival, or, when there are
more, the oldest half and the newest half, so it never goes stale; the cluster features tell how
many are left out. Slot `Q` of the mask stands for "wait".
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.by_reference import by_reference
from lepton_rl.core.clock import MICROSECOND
from lepton_rl.core.compiled import compiled
from lepton_rl.core.rules.placement import has_room
from lepton_rl.core.tables import NO_TASK, Ints, Records, View
from lepton_rl.encoding.features import (
    CLUSTER_FEATURES,
    NODE_FEATURES,
    TASK_FEATURES,
    free_share,
    log_scale,
    write_node,
)
from lepton_rl.encoding.shadows import write_shadows
from lepton_rl.encoding.window import (
    Workspace,
    gather_window,
    measure_room,
    no_facts,
    workspace,
    write_window,
)

__all__ = ["Observation", "empty_observation", "encode", "encode_with", "workspace_of"]

_FITS = TASK_FEATURES.index("fits")


@by_reference
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
    encode_with(view, b, may_wait, obs, no_facts(), workspace_of(view, obs))


@compiled
def workspace_of(view: View, obs: Observation) -> Workspace:
    """Work space for `encode_with`, which environments that run one by one may share."""
    return workspace(obs.window.shape[1], view.nodes.total.shape[0])


@compiled
def encode_with(
    view: View, b: int, may_wait: bool, obs: Observation, facts: Records, work: Workspace
) -> None:
    """`encode` with what the caller keeps: `facts_of` the task table, and work space."""
    measure_room(view, b, work)
    free = free_share(view.nodes, work.free)
    requested_s, area_s = gather_window(view, b, facts, work, obs.window, obs.tasks)
    count = max(1, view.status[b].num_pending)
    write_window(view, b, free, requested_s / count, area_s / count, work, obs.window, obs.tasks)
    if view.status[b].num_critical > 0:  # only then is any node held
        _respect_holds(view, b, obs)
    slots = obs.window.shape[1]
    for slot in range(slots):
        obs.action_mask[b, slot] = obs.window[b, slot] != NO_TASK
    obs.action_mask[b, slots] = may_wait
    for m in range(view.nodes.rows.shape[0]):
        write_node(view, b, m, obs.nodes)
    _write_cluster(view, b, free, requested_s, area_s, obs)
    write_shadows(view, b, work, obs.window, obs.tasks, obs.cluster)


@compiled
def _respect_holds(view: View, b: int, obs: Observation) -> None:
    """Clear `fits` of the tasks that have room only on nodes held for another task.

    A pass of its own, because it would slow every observation by a tenth.
    """
    for slot in range(obs.window.shape[1]):
        local = obs.window[b, slot]
        if local != NO_TASK and not has_room(view, b, view.pool, b, local):
            obs.tasks[b, slot, _FITS] = 0.0


@compiled
def _write_cluster(
    view: View, b: int, free: float, requested_sum_s: float, area_sum_s: float, obs: Observation
) -> None:
    """Write what the cluster as a whole looks like, and what the window leaves out."""
    count, running = view.status[b].num_pending, view.status[b].num_running
    now_us = view.status[b].now_us
    oldest_wait_s = 0.0
    if count > 0:
        oldest_row = view.status[b].first_row + view.pending[b, 0]
        oldest_wait_s = (now_us - view.tasks[oldest_row].submit_us) / MICROSECOND
    next_release_s = 0.0
    if running > 0:
        soonest_us = view.spans[b, view.running[b, 0]].expected_end_us
        next_release_s = (soonest_us - now_us) / MICROSECOND
    outside = max(count - obs.window.shape[1], 0)
    obs.cluster[b, 0] = free
    obs.cluster[b, 1] = log_scale(float(count), 4.0)
    obs.cluster[b, 2] = log_scale(area_sum_s, 6.0)
    obs.cluster[b, 3] = outside / max(count, 1)
    obs.cluster[b, 4] = log_scale(float(running), 4.0)
    obs.cluster[b, 5] = log_scale(next_release_s, 6.0)
    obs.cluster[b, 6] = log_scale(oldest_wait_s, 6.0)
    obs.cluster[b, 7] = log_scale(requested_sum_s / max(count, 1), 6.0)
