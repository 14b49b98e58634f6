"""Observation and mask, written straight into buffers that the caller owns.

The window shows at most `Q` pending tasks: all of them in order of arrival, or, when there are
more, the oldest half and the newest half, so it never goes stale; the cluster features tell how
many are left out. Slot `Q` of the mask stands for "wait"; where nodes are chosen too, those behind
it stand for nodes.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.by_reference import by_reference
from lepton_rl.core.clock import MICROSECOND
from lepton_rl.core.compiled import compiled, inlined
from lepton_rl.core.rules.placement import has_room_now
from lepton_rl.core.tables import NO_TASK, Ints, View
from lepton_rl.encoding.candidates import write_candidates
from lepton_rl.encoding.features import (
    CANDIDATE_FEATURES,
    CLUSTER_FEATURES,
    NODE_FEATURES,
    TASK_FEATURES,
    free_share,
    log_scale,
    write_node,
)
from lepton_rl.encoding.room import measure_room
from lepton_rl.encoding.shadows import write_shadows
from lepton_rl.encoding.window import gather_window, write_window
from lepton_rl.encoding.workspace import EncoderWorkspace

__all__ = ["Observation", "empty_observation", "encode", "encode_candidates"]

_FITS = TASK_FEATURES.index("fits")


@by_reference
class Observation(NamedTuple):
    """Buffers of a batch of observations; unused slots are zero and masked."""

    tasks: NDArray[np.float32]  # (B, Q, F)
    nodes: NDArray[np.float32]  # (B, M, G)
    cluster: NDArray[np.float32]  # (B, C)
    candidates: NDArray[np.float32]  # (B, M, P), (B, 0, P) where nodes are not chosen
    action_mask: NDArray[np.bool_]  # (B, Q + 1), (B, Q + 1 + M) where nodes are chosen
    window: Ints  # (B, Q) local index of the task in each slot, NO_TASK if empty


def empty_observation(
    batch: int, slots: int, num_nodes: int, *, chooses_nodes: bool = False
) -> Observation:
    """Zeroed buffers for `batch` environments with `slots` task slots."""
    candidates = num_nodes if chooses_nodes else 0
    return Observation(
        tasks=np.zeros((batch, slots, len(TASK_FEATURES)), np.float32),
        nodes=np.zeros((batch, num_nodes, len(NODE_FEATURES)), np.float32),
        cluster=np.zeros((batch, len(CLUSTER_FEATURES)), np.float32),
        candidates=np.zeros((batch, candidates, len(CANDIDATE_FEATURES)), np.float32),
        action_mask=np.zeros((batch, slots + 1 + candidates), np.bool_),
        window=np.full((batch, slots), NO_TASK, np.int64),
    )


@inlined
def encode(view: View, b: int, may_wait: bool, obs: Observation, work: EncoderWorkspace) -> None:
    """Write the observation of environment `b` while a task is to be chosen.

    Args:
        view: what there is to see.
        b: environment.
        may_wait: whether the mask allows waiting (something must be left to happen).
        obs: buffers; row `b` of each is overwritten.
        work: of these buffers.
    """
    _write_state(view, b, obs, work)
    slots, shown = obs.window.shape[1], min(view.status[b].num_pending, obs.window.shape[1])
    for slot in range(slots):
        obs.action_mask[b, slot] = slot < shown
    obs.action_mask[b, slots] = may_wait
    if obs.candidates.shape[1] > 0:
        _clear_candidates(b, obs)


@compiled
def encode_candidates(
    view: View, b: int, local: int, replica: int, obs: Observation, work: EncoderWorkspace
) -> None:
    """Write the observation of environment `b` while a node is to be chosen.

    Args:
        view: what there is to see; its pool already lacks what earlier replicas take.
        b: environment.
        local: local index of the task that has been chosen.
        replica: the one to be placed, from 0.
        obs: buffers with candidates; row `b` of each is overwritten.
        work: of these buffers.
    """
    _write_state(view, b, obs, work)
    slots = obs.window.shape[1]
    for slot in range(slots + 1):
        obs.action_mask[b, slot] = False
    write_candidates(view, b, local, replica, obs.action_mask, slots + 1, obs.candidates)


@compiled
def _clear_candidates(b: int, obs: Observation) -> None:
    first = obs.window.shape[1] + 1
    for m in range(obs.candidates.shape[1]):
        obs.action_mask[b, first + m] = False
        for column in range(obs.candidates.shape[2]):
            obs.candidates[b, m, column] = 0.0


@inlined
def _write_state(view: View, b: int, obs: Observation, work: EncoderWorkspace) -> None:
    """Write tasks, nodes and cluster."""
    measure_room(view, b, work)
    free = free_share(view.nodes, work.free)
    requested_s, area_s = gather_window(view, b, work, obs.window, obs.tasks)
    count = max(1, view.status[b].num_pending)
    write_window(view, b, free, requested_s / count, area_s / count, work, obs.window, obs.tasks)
    if view.status[b].num_critical > 0:  # only then is any node held
        _respect_holds(view, b, obs)
    _write_nodes(view, b, obs, work)
    _write_cluster(view, b, free, requested_s, area_s, obs)
    write_shadows(view, b, work, obs.window, obs.tasks, obs.cluster)


@compiled
def _respect_holds(view: View, b: int, obs: Observation) -> None:
    """Clear `fits` of the tasks that have room only on nodes held for another task.

    A pass of its own, because it would slow every observation by a tenth.
    """
    for slot in range(obs.window.shape[1]):
        local = obs.window[b, slot]
        if local != NO_TASK and not has_room_now(view, b, local):
            obs.tasks[b, slot, _FITS] = 0.0


@inlined
def _write_nodes(view: View, b: int, obs: Observation, work: EncoderWorkspace) -> None:
    """Write the nodes that have changed since they were written last."""
    if work.seen.shape[0] == 0:
        for m in range(view.nodes.rows.shape[0]):
            write_node(view, b, m, obs.nodes)
        return
    for m in range(view.nodes.rows.shape[0]):
        row, seen = view.pool.rows[b, m], work.seen[b, m]
        same = row.replicas_on == seen.replicas_on and row.held_by == seen.held_by
        same = same and row.accepting == seen.accepting
        for k in range(view.nodes.total.shape[0]):
            same = same and row.free[k] == seen.free[k]
        if not same:
            write_node(view, b, m, obs.nodes)
            work.seen[b, m] = row


@inlined
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
