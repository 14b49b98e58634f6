"""Nodes for the next replica of a task that has been chosen, and their features.

The features are what the placement rules go by, so a network can learn when which of them is right.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.compiled import compiled
from lepton_rl.core.rules.lepton import load
from lepton_rl.core.rules.node_scores import alignment, fragmentation_relief, left_over, packing
from lepton_rl.core.rules.placement import may_use
from lepton_rl.core.tables import View
from lepton_rl.encoding.features import Float32s
from lepton_rl.encoding.logarithm import log10

__all__ = ["write_candidate", "write_candidates"]


@compiled
def write_candidates(
    view: View, b: int, local: int, replica: int, mask: NDArray[np.bool_], first: int, out: Float32s
) -> None:
    """Write the features of each node for a replica of a task, and which nodes it may use.

    Args:
        view: what there is to see; its pool already lacks what earlier replicas take.
        b: environment.
        local: the task's local index.
        replica: the one to be placed, from 0.
        mask: `(B, first + M)`; entries `[b, first:]` are written.
        first: entry of node 0.
        out: `(B, M, P)` float32; row `b` is written.
    """
    row, now_us = view.status[b].first_row + local, view.status[b].now_us
    remaining, fastest = _remaining(view, row, replica), _fastest(view, row)
    for m in range(view.nodes.rows.shape[0]):
        allowed = may_use(view, b, view.pool, b, local, row, now_us, m)
        mask[b, first + m] = allowed
        if allowed:
            _write(view, b, row, m, remaining, fastest, out)
        else:
            for column in range(out.shape[2]):
                out[b, m, column] = 0.0


@compiled
def write_candidate(view: View, b: int, local: int, replica: int, m: int, out: Float32s) -> None:
    """Likewise, of node `m` alone, which the task may use; into `out[b, m]`."""
    row = view.status[b].first_row + local
    _write(view, b, row, m, _remaining(view, row, replica), _fastest(view, row), out)


@compiled
def _remaining(view: View, row: int, replica: int) -> float:
    return log10(float(view.tasks[row].replicas - replica)) / 3.0


@compiled
def _fastest(view: View, row: int) -> float:
    """Speed of the fastest node of the cluster for a task."""
    fastest, task_class = 0.0, view.tasks[row].task_class
    for m in range(view.nodes.speed.shape[0]):
        fastest = max(fastest, view.nodes.speed[m, task_class])
    return fastest


@compiled
def _counted_kinds(view: View) -> float:
    """How many kinds best-fit counts: the first, and devices."""
    return float(view.nodes.card_start.shape[0])


@compiled
def _write(
    view: View, b: int, row: int, m: int, remaining: float, fastest: float, out: Float32s
) -> None:
    tasks, nodes, pool = view.tasks, view.nodes, view.pool
    after = 0.0
    share = 0.0
    for k in range(nodes.total.shape[0]):
        capacity = nodes.rows[m].capacity[k]
        if capacity > 0:
            demand = tasks[row].demand[k]
            used = capacity - pool.rows[b, m].free[k]
            after = max(after, load(float(used + demand), float(capacity)))
            share = max(share, demand / capacity)
    out[b, m, 0] = after
    out[b, m, 1] = share
    out[b, m, 2] = left_over(tasks, nodes, pool, b, row, m) / _counted_kinds(view)
    out[b, m, 3] = alignment(tasks, nodes, pool, b, row, m, False)
    out[b, m, 4] = alignment(tasks, nodes, pool, b, row, m, True)
    out[b, m, 5] = packing(tasks, nodes, pool, b, row, m) / 3.0
    out[b, m, 6] = fragmentation_relief(view, pool, b, row, m)
    out[b, m, 7] = 1.0 if pool.rows[b, m].replicas_on == 0 else 0.0
    speed = view.nodes.speed[m, tasks[row].task_class]
    out[b, m, 8] = speed / fastest if fastest > 0.0 else 0.0  # over the fastest node
    out[b, m, 9] = 1.0 if tasks[row].models != 0 else 0.0
    out[b, m, 10] = remaining
