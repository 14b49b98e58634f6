"""The window of pending tasks: which are shown, and their features, in passes over flat arrays.

What never changes of a task is computed once for a whole workload (`facts_of`). What is left is
computed in loops over nothing but columns of numbers, which the compiler turns into vector
instructions.
"""

from __future__ import annotations

import numpy as np

from lepton_rl.core.clock import MICROSECOND
from lepton_rl.core.compiled import compiled, inlined
from lepton_rl.core.tables import NO_TASK, Ints, View
from lepton_rl.encoding.facts import find_facts
from lepton_rl.encoding.features import FEATURE_LIMIT, TASK_FEATURES, Float32s
from lepton_rl.encoding.logarithm import log10, log10_single
from lepton_rl.encoding.room import fits_now
from lepton_rl.encoding.workspace import EncoderWorkspace

__all__ = ["gather_window", "write_window"]


_WAIT, _STRETCH, _LOG_REQUESTED, _LOG_AREA, _SHARE, _DEADLINE, _LOG_WAIT, _LOG_STRETCH = range(8)
_FIRST = TASK_FEATURES.index("wait")
_FITS = TASK_FEATURES.index("fits")
_ONE = np.float32(1.0)
_LANES = 16
_PER_WAIT, _PER_RATIO = np.float32(1.0 / 6.0), np.float32(1.0 / 4.0)
_LIMIT = np.float32(FEATURE_LIMIT)


@inlined
def gather_window(
    view: View, b: int, work: EncoderWorkspace, window: Ints, out: Float32s
) -> tuple[float, float]:
    """Fill row `b` of `window`, `(B, Q)`, and write of who is shown what depends on the task alone.

    Of more tasks than slots, the oldest half and the newest half are shown.

    Args:
        view: what there is to see.
        b: environment.
        work: gets what else the features are made from.
        window: `(B, Q)` local index of the task in each slot.
        out: `(B, Q, F)` float32; slots that have become empty are set to 0.

    Returns:
        Sums over all pending tasks: requested times in s, and these times the share asked for.
    """
    count, slots = view.status[b].num_pending, window.shape[1]
    oldest = slots - slots // 2
    hidden = max(count - slots, 0)
    requested_sum_s = 0.0
    area_sum_s = 0.0
    for position in range(count):
        local = view.pending[b, position]
        fact = find_facts(view, b, local, work.facts, work.own_facts)
        requested_sum_s += fact.requested_s
        area_sum_s += fact.area_s
        slot = position
        if hidden > 0 and position >= oldest:
            slot = position - hidden
            if slot < oldest:
                continue
        window[b, slot] = local
        now_us = view.status[b].now_us
        wait = np.float32((now_us - fact.submit_us) / MICROSECOND)
        work.columns[_WAIT, slot] = wait
        work.columns[_STRETCH, slot] = wait * fact.requested_inverse
        work.columns[_LOG_REQUESTED, slot] = fact.log_requested
        work.columns[_LOG_AREA, slot] = fact.log_area
        work.columns[_SHARE, slot] = fact.share
        work.columns[_DEADLINE, slot] = _pressure(fact.requested_s, fact.deadline_s, now_us)
        for column in range(out.shape[2]):
            out[b, slot, column] = fact.features[column]
    _clear(b, count, window, out)
    return requested_sum_s, area_sum_s


@inlined
def _pressure(requested_s: float, deadline_s: float, now_us: int) -> float:
    """Half the requested time over the time left, 1 where less than half of it is left."""
    if deadline_s == np.inf:
        return 0.0
    return requested_s / max(deadline_s - now_us / MICROSECOND, requested_s / 2.0) / 2.0


@compiled
def _clear(b: int, count: int, window: Ints, out: Float32s) -> None:
    """Empty the slots from `count` on; those behind the first empty one are empty already."""
    for slot in range(count, window.shape[1]):
        if window[b, slot] == NO_TASK:
            return
        window[b, slot] = NO_TASK
        for column in range(out.shape[2]):
            out[b, slot, column] = 0.0


@inlined
def _compute_columns(
    shown: int, free: float, mean_requested_s: float, mean_area_s: float, columns: Float32s
) -> None:
    """Turn what `gather_window` left into features, column by column."""
    log_mean = np.float32(log10(mean_requested_s))
    log_mean_area = np.float32(log10(max(mean_area_s, 1e-9)))
    free_share = np.float32(free)
    shown = min(columns.shape[1], (shown + _LANES - 1) // _LANES * _LANES)  # whole vectors
    for slot in range(shown):
        wait = log10_single(_ONE + max(columns[_WAIT, slot], np.float32(0.0)))
        columns[_LOG_WAIT, slot] = wait * _PER_WAIT
    for slot in range(shown):
        stretch = log10_single(_ONE + max(columns[_STRETCH, slot], np.float32(0.0)))
        columns[_LOG_STRETCH, slot] = min(stretch * _PER_RATIO, _LIMIT)
    for slot in range(shown):
        ratio = (columns[_LOG_REQUESTED, slot] - log_mean) * _PER_RATIO
        columns[_LOG_REQUESTED, slot] = min(max(ratio, -_LIMIT), _LIMIT)
        ratio = (columns[_LOG_AREA, slot] - log_mean_area) * _PER_RATIO
        columns[_LOG_AREA, slot] = min(max(ratio, -_LIMIT), _LIMIT)
        columns[_SHARE, slot] = free_share - columns[_SHARE, slot]


@inlined
def write_window(
    view: View,
    b: int,
    free: float,
    mean_requested_s: float,
    mean_area_s: float,
    work: EncoderWorkspace,
    window: Ints,
    out: Float32s,
) -> None:
    """Write what depends on time, the cluster and the other tasks; `fits` as if no node were held.

    Args:
        view: what there is to see.
        b: environment.
        free: free share of the cluster, 0 to 1.
        mean_requested_s: of the pending tasks, in s.
        mean_area_s: of the pending tasks: requested time x share of the cluster, in s.
        work: what `gather_window` and `measure_room` left.
        window: `(B, Q)` local index of the task in each slot.
        out: `(B, Q, F)` float32.
    """
    count, slots, columns = view.status[b].num_pending, window.shape[1], work.columns
    shown, oldest = min(count, slots), slots - slots // 2
    hidden = count - shown
    work.stamp[0] += 1
    _compute_columns(shown, free, mean_requested_s, mean_area_s, columns)
    per_rank = 1.0 / max(count, 1)
    for slot in range(shown):
        position = slot if slot < oldest else slot + hidden
        out[b, slot, _FIRST] = columns[_LOG_WAIT, slot]
        out[b, slot, _FIRST + 1] = columns[_LOG_STRETCH, slot]
        out[b, slot, _FIRST + 3] = columns[_SHARE, slot]
        out[b, slot, _FIRST + 4] = position * per_rank
        out[b, slot, _FIRST + 5] = columns[_LOG_REQUESTED, slot]
        out[b, slot, _FIRST + 6] = columns[_LOG_AREA, slot]
        out[b, slot, _FIRST + 7] = columns[_DEADLINE, slot]
    for slot in range(shown):
        out[b, slot, _FITS] = 1.0 if fits_now(view, b, window[b, slot], work) else 0.0
