"""The window of pending tasks: which are shown, and their features, in passes over flat arrays.

The passes keep the slow part, the logarithms, in loops over nothing else, which the compiler turns
into vector instructions.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.clock import MICROSECOND
from lepton_rl.core.compiled import compiled
from lepton_rl.core.rules.fit import gang_capacity
from lepton_rl.core.rules.times import remaining_us
from lepton_rl.core.tables import NO_TASK, Floats, Ints, View
from lepton_rl.encoding.features import FEATURE_LIMIT, dominant_share
from lepton_rl.encoding.logarithm import log10

__all__ = ["Workspace", "gather_window", "measure_room", "workspace", "write_window"]

_REQUESTED, _AREA, _WAIT, _STRETCH = 0, 1, 2, 3
_TO_MEAN, _AREA_TO_MEAN, _SHARE_LOG, _SHARE = 4, 5, 6, 7
_NUM_LOGS = 7  # the columns of `columns` before _SHARE become logarithms


class Workspace(NamedTuple):
    """Work space of one environment at a time; environments that run one by one share it."""

    columns: Floats  # (8, Q) what features are made from, by slot
    largest: Ints  # (K,) free on the freest node
    free: Ints  # (K,) free on all nodes together


@compiled
def workspace(slots: int, num_kinds: int) -> Workspace:
    """Work space for windows of `slots` tasks on clusters of `num_kinds` resource kinds."""
    return Workspace(
        np.empty((_NUM_LOGS + 1, slots), np.float64),
        np.empty(num_kinds, np.int64),
        np.empty(num_kinds, np.int64),
    )


@compiled
def _slot_of(position: int, slots: int, count: int) -> int:
    """Slot that shows the task at `position` of a queue of `count`, -1 if none does."""
    if count <= slots or position < slots - slots // 2:
        return position
    from_the_end = count - position
    return slots - from_the_end if from_the_end <= slots // 2 else -1


@compiled
def gather_window(view: View, b: int, window: Ints, work: Workspace) -> tuple[float, float]:
    """Fill row `b` of `window`, `(B, Q)`, and gather the times and shares of who is shown.

    Returns:
        Sums over all pending tasks: requested times in s, and these times the share asked for.
    """
    count, slots = view.status[b].num_pending, window.shape[1]
    now_us, first_row = view.status[b].now_us, view.status[b].first_row
    requested_sum_s = 0.0
    area_sum_s = 0.0
    for position in range(count):
        local = view.pending[b, position]
        requested_s = remaining_us(view, b, local) / MICROSECOND
        share = dominant_share(view.tasks, view.nodes, first_row + local)
        requested_sum_s += requested_s
        area_sum_s += requested_s * share
        slot = _slot_of(position, slots, count)
        if slot >= 0:
            window[b, slot] = local
            work.columns[_REQUESTED, slot] = requested_s
            work.columns[_SHARE, slot] = share
            waited_us = now_us - view.tasks[first_row + local].submit_us
            work.columns[_WAIT, slot] = waited_us / MICROSECOND
    for slot in range(count, slots):
        window[b, slot] = NO_TASK
    return requested_sum_s, area_sum_s


@compiled
def _take_logarithms(shown: int, mean_requested_s: float, mean_area_s: float, work: Floats) -> None:
    """Turn what `gather_window` left in the first `shown` slots of `work` into logarithms."""
    for slot in range(shown):
        requested_s, share = work[_REQUESTED, slot], work[_SHARE, slot]
        wait_s, area_s = work[_WAIT, slot], requested_s * share
        work[_REQUESTED, slot] = 1.0 + max(requested_s, 0.0)
        work[_AREA, slot] = 1.0 + max(area_s, 0.0)
        work[_WAIT, slot] = 1.0 + max(wait_s, 0.0)
        work[_STRETCH, slot] = 1.0 + max(wait_s / requested_s, 0.0)
        work[_TO_MEAN, slot] = requested_s / mean_requested_s
        work[_AREA_TO_MEAN, slot] = max(area_s, 1e-9) / max(mean_area_s, 1e-9)
        work[_SHARE_LOG, slot] = max(share, 1e-9)
    for column in range(_NUM_LOGS):
        for slot in range(shown):
            work[column, slot] = log10(work[column, slot])


@compiled
def measure_room(view: View, b: int, work: Workspace) -> None:
    """Fill `work.largest` and `work.free`."""
    for k in range(work.free.shape[0]):
        largest = 0
        total = 0
        for m in range(view.nodes.rows.shape[0]):
            free = view.pool.rows[b, m].free[k]
            largest = max(largest, free)
            total += free
        work.largest[k] = largest
        work.free[k] = total


@compiled
def _fits_now(view: View, b: int, row: int, work: Workspace) -> bool:
    """Whether task `row` could start now, as if no node were held.

    Most tasks that cannot are told by what is free at all, without a look at any node.
    """
    replicas = view.tasks[row].replicas
    for k in range(work.free.shape[0]):
        demand = view.tasks[row].demand[k]
        if demand > work.largest[k] or demand * replicas > work.free[k]:
            return False
    return gang_capacity(view.tasks, view.nodes, view.pool, b, row) >= replicas


@compiled
def _within_limit(value: float) -> float:
    return min(max(value, -FEATURE_LIMIT), FEATURE_LIMIT)


@compiled
def write_window(
    view: View,
    b: int,
    free: float,
    requested_sum_s: float,
    area_sum_s: float,
    work: Workspace,
    window: Ints,
    out: NDArray[np.float32],
) -> None:
    """Write the features of the pending tasks that are shown; `fits` as if no node were held.

    Args:
        view: what there is to see.
        b: environment.
        free: free share of the cluster, 0 to 1.
        requested_sum_s: what `gather_window` returned.
        area_sum_s: the same.
        work: what `gather_window` and `measure_room` left.
        window: `(B, Q)` local index of the task in each slot.
        out: `(B, Q, F)` float32; `out[b]` is overwritten.
    """
    count, slots = view.status[b].num_pending, window.shape[1]
    shown = min(count, slots)
    _take_logarithms(shown, requested_sum_s / count, area_sum_s / count, work.columns)
    for slot in range(shown):
        row = view.status[b].first_row + window[b, slot]
        position = slot if slot < slots - slots // 2 else slot + count - shown
        _write_task(view, row, slot, work.columns, out, b)
        out[b, slot, 6] = 1.0 if _fits_now(view, b, row, work) else 0.0
        out[b, slot, 7] = free - work.columns[_SHARE, slot]
        out[b, slot, 8] = position / count
    for slot in range(shown, slots):
        for feature in range(out.shape[2]):
            out[b, slot, feature] = 0.0


@compiled
def _write_task(
    view: View, row: int, slot: int, work: Floats, out: NDArray[np.float32], b: int
) -> None:
    """Write what depends on nothing but the task, its wait and the means."""
    out[b, slot, 0] = work[_REQUESTED, slot] / 6.0
    out[b, slot, 1] = work[_SHARE, slot]
    out[b, slot, 2] = max(-1.0, 1.0 + work[_SHARE_LOG, slot] / 4.0)
    out[b, slot, 3] = work[_AREA, slot] / 6.0
    out[b, slot, 4] = work[_WAIT, slot] / 6.0
    out[b, slot, 5] = _within_limit(work[_STRETCH, slot] / 4.0)
    out[b, slot, 9] = _within_limit(work[_TO_MEAN, slot] / 4.0)
    out[b, slot, 10] = _within_limit(work[_AREA_TO_MEAN, slot] / 4.0)
    out[b, slot, 11] = min(max(view.tasks[row].urgency / 10.0, -1.0), 1.0)
    out[b, slot, 12] = 1.0 if view.tasks[row].critical else 0.0
