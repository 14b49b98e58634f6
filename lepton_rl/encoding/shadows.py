"""Whom a task would delay if it started now, as backfilling asks.

Two pending tasks are looked at: the smallest (of least area, which the best simple orders put
first) and the oldest. When either could start is estimated as EASY does, from expected ends, but by
what is free on all nodes together; with one node that is exact.
"""

from __future__ import annotations

from lepton_rl.core.clock import MICROSECOND
from lepton_rl.core.compiled import compiled, inlined
from lepton_rl.core.rules.times import remaining_us
from lepton_rl.core.tables import Ints, View
from lepton_rl.encoding.features import CLUSTER_FEATURES, TASK_FEATURES, Float32s, log_scale
from lepton_rl.encoding.workspace import EncoderWorkspace

__all__ = ["write_shadows"]

_AREA, _FITS = TASK_FEATURES.index("area"), TASK_FEATURES.index("fits")
_SMALLEST, _OLDEST = (TASK_FEATURES.index(f"delays_{who}") for who in ("smallest", "oldest"))
_SMALLEST_IN, _OLDEST_IN = (
    CLUSTER_FEATURES.index(f"{who}_starts_in") for who in ("smallest", "oldest")
)


@inlined
def write_shadows(
    view: View, b: int, work: EncoderWorkspace, window: Ints, tasks: Float32s, cluster: Float32s
) -> None:
    """Write `delays_*` of the tasks shown and `*_starts_in` of the cluster.

    Args:
        view: what there is to see.
        b: environment.
        work: what is free, from `measure_room`.
        window: `(B, Q)` local index of the task in each slot.
        tasks: `(B, Q, F)` with all other features written.
        cluster: `(B, C)`.
    """
    shown = min(view.status[b].num_pending, window.shape[1])
    smallest = 0
    for slot in range(1, shown):
        if tasks[b, slot, _AREA] < tasks[b, smallest, _AREA]:
            smallest = slot
    cluster[b, _SMALLEST_IN] = _write_delays(
        view, b, work, window, tasks, smallest, shown, _SMALLEST
    )
    if smallest == 0:
        for slot in range(shown):
            tasks[b, slot, _OLDEST] = tasks[b, slot, _SMALLEST]
        cluster[b, _OLDEST_IN] = cluster[b, _SMALLEST_IN]
    else:
        cluster[b, _OLDEST_IN] = _write_delays(view, b, work, window, tasks, 0, shown, _OLDEST)


@inlined
def _write_delays(
    view: View,
    b: int,
    work: EncoderWorkspace,
    window: Ints,
    tasks: Float32s,
    head: int,
    shown: int,
    column: int,
) -> float:
    """Write who would delay the task in slot `head`; when that could start, as a feature."""
    if shown == 0 or tasks[b, head, _FITS] > 0:
        for slot in range(shown):
            tasks[b, slot, column] = 0.0
        return 0.0
    shadow_us = _shadow_us(view, b, window[b, head], work)
    for slot in range(shown):
        delays = False
        if slot != head and tasks[b, slot, _FITS] > 0:
            local = window[b, slot]
            row = view.status[b].first_row + local
            if remaining_us(view, b, local) > shadow_us:
                for k in range(work.spare.shape[0]):
                    asked = view.tasks[row].demand[k] * view.tasks[row].replicas
                    delays = delays or asked > work.spare[k]
        tasks[b, slot, column] = 1.0 if delays else 0.0
    return log_scale(shadow_us / MICROSECOND, 6.0)


@compiled
def _shadow_us(view: View, b: int, head: int, work: EncoderWorkspace) -> int:
    """How long until enough is free for the task `head`, in us; `work.spare` gets what is left."""
    first_row = view.status[b].first_row
    missing = False
    for k in range(work.free.shape[0]):
        asked = view.tasks[first_row + head].demand[k] * view.tasks[first_row + head].replicas
        work.spare[k] = work.free[k] - asked
        missing = missing or work.spare[k] < 0
    position = 0
    shadow_us = 0
    while missing and position < view.status[b].num_running:
        local = view.running[b, position]
        shadow_us = max(0, view.spans[b, local].expected_end_us - view.status[b].now_us)
        row = first_row + local
        missing = False
        for k in range(work.free.shape[0]):
            work.spare[k] += view.tasks[row].demand[k] * view.tasks[row].replicas
            missing = missing or work.spare[k] < 0
        position += 1
    return shadow_us
