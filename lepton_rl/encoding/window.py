"""The window of pending tasks: which are shown, and their features, in passes over flat arrays.

What never changes of a task is computed once for a whole workload (`facts_of`). The logarithms that
are left are taken in a loop over nothing else, which the compiler turns into vector instructions.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.clock import MICROSECOND
from lepton_rl.core.compiled import compiled
from lepton_rl.core.rules.fit import gang_capacity
from lepton_rl.core.rules.times import remaining_us
from lepton_rl.core.tables import NO_TASK, Floats, Ints, NodeTable, Records, View
from lepton_rl.encoding.features import FEATURE_LIMIT, TASK_FEATURES, dominant_share, log_scale
from lepton_rl.encoding.logarithm import log10

__all__ = [
    "Workspace",
    "facts_of",
    "gather_window",
    "measure_room",
    "no_facts",
    "workspace",
    "write_window",
]

_FACTS_DTYPE = np.dtype(
    [
        ("submit_us", np.int64),
        ("requested_s", np.float64),
        ("share", np.float64),  # dominant share of the whole cluster
        ("log_requested", np.float64),  # log10
        ("log_area", np.float64),  # log10 of requested time in s x share, at least 1e-9
        ("features", np.float32, (6,)),  # in the columns `_FACT_COLUMNS`
    ],
    align=True,
)
_FACT_COLUMNS = tuple(
    TASK_FEATURES.index(name)
    for name in ("requested_time", "share", "share_log", "area", "urgency", "critical")
)
_WAIT, _STRETCH, _LOG_REQUESTED, _LOG_AREA, _SHARE = 0, 1, 2, 3, 4
_NUM_LOGS = 2  # the columns that become logarithms
_NUM_COLUMNS = 5


class Workspace(NamedTuple):
    """Work space of one environment at a time; environments that run one by one share it."""

    columns: Floats  # (5, Q) what features are made from, by slot
    largest: Ints  # (K,) free on the freest node
    free: Ints  # (K,) free on all nodes together
    spare: Ints  # (K,) free beside a task at the time that it could start
    facts: Records  # (1,) of a task whose facts have changed


@compiled
def workspace(slots: int, num_kinds: int) -> Workspace:
    """Work space for windows of `slots` tasks on clusters of `num_kinds` resource kinds."""
    return Workspace(
        np.empty((_NUM_COLUMNS, slots), np.float64),
        np.empty(num_kinds, np.int64),
        np.empty(num_kinds, np.int64),
        np.empty(num_kinds, np.int64),
        np.empty(1, _FACTS_DTYPE),
    )


def facts_of(tasks: Records, nodes: NodeTable) -> Records:
    """What the features of tasks are made from that never changes, `(rows,)`."""
    facts = np.empty(len(tasks), _FACTS_DTYPE)
    _write_all_facts(tasks, nodes, facts)
    return facts


@compiled
def no_facts() -> Records:
    """For tables whose tasks change."""
    return np.empty(0, _FACTS_DTYPE)


@compiled
def _write_all_facts(tasks: Records, nodes: NodeTable, facts: Records) -> None:
    for row in range(tasks.shape[0]):
        _write_facts(tasks, nodes, row, max(1, tasks[row].requested_us), facts, row)


@compiled
def _write_facts(
    tasks: Records, nodes: NodeTable, row: int, requested_us: int, facts: Records, index: int
) -> None:
    """Write `facts[index]` of task `row`, of which `requested_us` of its estimate are left."""
    requested_s = requested_us / MICROSECOND
    share = dominant_share(tasks, nodes, row)
    area_s = requested_s * share
    fact = facts[index]
    fact.submit_us = tasks[row].submit_us
    fact.requested_s = requested_s
    fact.share = share
    fact.log_requested = log10(requested_s)
    fact.log_area = log10(max(area_s, 1e-9))
    fact.features[0] = log_scale(requested_s, 6.0)
    fact.features[1] = share
    fact.features[2] = max(-1.0, 1.0 + log10(max(share, 1e-9)) / 4.0)
    fact.features[3] = log_scale(area_s, 6.0)
    fact.features[4] = min(max(tasks[row].urgency / 10.0, -1.0), 1.0)
    fact.features[5] = 1.0 if tasks[row].critical else 0.0


@compiled
def _find_facts(view: View, b: int, local: int, facts: Records, own: Records) -> Any:
    """The facts of a pending task, from `facts` unless its checkpoints keep work."""
    row = view.status[b].first_row + local
    if row < facts.shape[0] and view.spans[b, local].kept_us == 0:
        return facts[row]
    _write_facts(view.tasks, view.nodes, row, remaining_us(view, b, local), own, 0)
    return own[0]


@compiled
def _slot_of(position: int, slots: int, count: int) -> int:
    """Slot that shows the task at `position` of a queue of `count`, -1 if none does."""
    if count <= slots or position < slots - slots // 2:
        return position
    from_the_end = count - position
    return slots - from_the_end if from_the_end <= slots // 2 else -1


@compiled
def gather_window(
    view: View,
    b: int,
    facts: Records,
    work: Workspace,
    window: Ints,
    out: NDArray[np.float32],
) -> tuple[float, float]:
    """Fill row `b` of `window`, `(B, Q)`, and write of who is shown what depends on the task alone.

    Args:
        view: what there is to see.
        b: environment.
        facts: of the task table, or `no_facts`.
        work: gets what else the features are made from.
        window: `(B, Q)` local index of the task in each slot.
        out: `(B, Q, F)` float32.

    Returns:
        Sums over all pending tasks: requested times in s, and these times the share asked for.
    """
    count, slots, columns = view.status[b].num_pending, window.shape[1], work.columns
    requested_sum_s = 0.0
    area_sum_s = 0.0
    for position in range(count):
        local = view.pending[b, position]
        fact = _find_facts(view, b, local, facts, work.facts)
        requested_sum_s += fact.requested_s
        area_sum_s += fact.requested_s * fact.share
        slot = _slot_of(position, slots, count)
        if slot < 0:
            continue
        window[b, slot] = local
        wait_s = (view.status[b].now_us - fact.submit_us) / MICROSECOND
        columns[_WAIT, slot] = 1.0 + max(wait_s, 0.0)
        columns[_STRETCH, slot] = 1.0 + max(wait_s / fact.requested_s, 0.0)
        columns[_LOG_REQUESTED, slot] = fact.log_requested
        columns[_LOG_AREA, slot] = fact.log_area
        columns[_SHARE, slot] = fact.share
        for index in range(len(_FACT_COLUMNS)):
            out[b, slot, _FACT_COLUMNS[index]] = fact.features[index]
    for slot in range(count, slots):
        window[b, slot] = NO_TASK
    return requested_sum_s, area_sum_s


@compiled
def _take_logarithms(shown: int, columns: Floats) -> None:
    for column in range(_NUM_LOGS):
        for slot in range(shown):
            columns[column, slot] = log10(columns[column, slot])


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
    mean_requested_s: float,
    mean_area_s: float,
    work: Workspace,
    window: Ints,
    out: NDArray[np.float32],
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
        out: `(B, Q, F)` float32; slots without a task become zero.
    """
    count, slots, columns = view.status[b].num_pending, window.shape[1], work.columns
    shown, oldest = min(count, slots), slots - slots // 2
    _take_logarithms(shown, columns)
    log_mean, log_mean_area = log10(mean_requested_s), log10(max(mean_area_s, 1e-9))
    for slot in range(shown):
        row = view.status[b].first_row + window[b, slot]
        position = slot if slot < oldest else slot + count - shown
        out[b, slot, 4] = columns[_WAIT, slot] / 6.0
        out[b, slot, 5] = _within_limit(columns[_STRETCH, slot] / 4.0)
        out[b, slot, 6] = 1.0 if _fits_now(view, b, row, work) else 0.0
        out[b, slot, 7] = free - columns[_SHARE, slot]
        out[b, slot, 8] = position / count
        out[b, slot, 9] = _within_limit((columns[_LOG_REQUESTED, slot] - log_mean) / 4.0)
        out[b, slot, 10] = _within_limit((columns[_LOG_AREA, slot] - log_mean_area) / 4.0)
    for slot in range(shown, slots):
        for feature in range(out.shape[2]):
            out[b, slot, feature] = 0.0
