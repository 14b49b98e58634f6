"""What never changes of a task, computed once for a whole workload."""

from __future__ import annotations

from typing import Any

import numpy as np

from lepton_rl.core.clock import MICROSECOND
from lepton_rl.core.compiled import compiled, inlined
from lepton_rl.core.rules.times import remaining_us
from lepton_rl.core.tables import NEVER_US, Ints, NodeTable, Records, View
from lepton_rl.encoding.features import (
    TASK_FEATURES,
    device_share,
    dominant_share,
    log_scale,
)
from lepton_rl.encoding.logarithm import log10

__all__ = ["FACTS_DTYPE", "NO_CLASS", "demand_classes", "facts_of", "find_facts", "num_classes"]

NO_CLASS = -1
"""The class of a task whose facts were not computed beforehand."""

FACTS_DTYPE = np.dtype(
    [
        ("features", np.float32, (len(TASK_FEATURES),)),  # the dynamic columns are 0
        ("submit_us", np.int64),
        ("requested_s", np.float64),
        ("area_s", np.float64),  # requested time x dominant share of the whole cluster
        ("deadline_s", np.float64),  # infinite if it has none
        ("requested_inverse", np.float32),  # 1 / requested time in s
        ("log_requested", np.float32),  # log10
        ("log_area", np.float32),  # log10 of the area, at least 1e-9
        ("share", np.float32),
        ("demand_class", np.int64),  # replicas of one class fit where any of them does
    ],
    align=True,
)


def facts_of(tasks: Records, nodes: NodeTable) -> Records:
    """What the features of tasks are made from that never changes, `(rows,)`."""
    facts = np.zeros(len(tasks), FACTS_DTYPE)
    _write_all_facts(tasks, nodes, facts)
    facts["demand_class"] = demand_classes(tasks, ("labels", "models", "exclusive"))
    return facts


def num_classes(facts: Records) -> int:
    """How many classes of demand there are."""
    return int(facts["demand_class"].max(initial=NO_CLASS)) + 1


def demand_classes(tasks: Records, names: tuple[str, ...]) -> Ints:
    """Equal numbers for tasks that ask for the same.

    Args:
        tasks: `(rows,)` records.
        names: the columns that count besides `demand`.

    Returns:
        `(rows,)` numbers, counted from 0.
    """
    if len(tasks) == 0:
        return np.zeros(0, np.int64)
    columns = [*tasks["demand"].T, *(tasks[name] for name in names)]
    order = np.lexsort(columns)
    differs = np.zeros(len(tasks), np.bool_)
    for column in columns:
        differs[1:] |= column[order][1:] != column[order][:-1]
    classes = np.empty(len(tasks), np.int64)
    classes[order] = np.cumsum(differs)
    return classes


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
    fact, deadline_us = facts[index], tasks[row].deadline_us
    fact.submit_us = tasks[row].submit_us
    fact.requested_s = requested_s
    fact.area_s = requested_s * share
    fact.deadline_s = np.inf if deadline_us == NEVER_US else deadline_us / MICROSECOND
    fact.requested_inverse = 1.0 / requested_s
    fact.log_requested = log10(requested_s)
    fact.log_area = log10(max(requested_s * share, 1e-9))
    fact.share = share
    fact.demand_class = NO_CLASS
    fact.features[0] = log_scale(requested_s, 6.0)
    fact.features[1] = share
    fact.features[2] = max(-1.0, 1.0 + log10(max(share, 1e-9)) / 4.0)
    fact.features[3] = log_scale(requested_s * share, 6.0)
    fact.features[4] = device_share(tasks, nodes, row)
    fact.features[5] = log10(max(1.0, float(tasks[row].replicas))) / 3.0
    fact.features[6] = min(max(tasks[row].urgency / 10.0, -1.0), 1.0)
    fact.features[7] = 1.0 if tasks[row].critical else 0.0


@inlined
def find_facts(view: View, b: int, local: int, facts: Records, own: Records) -> Any:
    """The facts of a pending task, from `facts` unless its checkpoints keep work.

    Args:
        view: what there is to see.
        b: environment.
        local: the task's local index.
        facts: `facts_of` the task table, or an empty one where tasks change.
        own: `(1,)` gets the facts that are not in `facts`.
    """
    row = view.status[b].first_row + local
    if row < facts.shape[0] and view.spans[b, local].kept_us == 0:
        return facts[row]
    _write_facts(view.tasks, view.nodes, row, remaining_us(view, b, local), own, 0)
    return own[0]
