"""How long a task will run, by its estimate."""

from __future__ import annotations

from lepton_rl.core.clock import MICROSECOND
from lepton_rl.core.compiled import compiled, inlined
from lepton_rl.core.tables import NodeTable, Records, View

__all__ = [
    "CORRECTIONS_S",
    "corrected_us",
    "duration_us",
    "expected_end_on_us",
    "gang_speed",
    "kept_work_us",
    "remaining_us",
    "served_us",
]

CORRECTIONS_S = (
    *(minutes * 60 for minutes in (1, 5, 15, 30)),
    *(hours * 3600 for hours in (1, 2, 5, 10, 20, 50, 100)),
)
"""Increments of Tsafrir's correction, in s, ascending."""


@inlined
def duration_us(work_us: int, speed: float) -> int:
    """How long work takes on a node of this speed, in whole us; at least 1."""
    if speed == 1.0:
        return max(1, work_us)
    return max(1, round(work_us / speed))


@compiled
def kept_work_us(kept_us: int, ran_us: int, speed: float, interval_us: int) -> int:
    """Work of a task that survives when its run is cut off, in us on a node of speed 1.

    With checkpoints every c of work it is all work done so far, rounded down to a multiple of c;
    without checkpoints it is nothing.

    Args:
        kept_us: work that survived its earlier runs.
        ran_us: how long this run took.
        speed: of this run.
        interval_us: c; 0 if it makes no checkpoints.
    """
    if interval_us == 0:
        return 0
    done_us = kept_us + int(max(0, ran_us) * speed)
    return max(kept_us, done_us - done_us % interval_us)


@inlined
def remaining_us(view: View, b: int, local: int) -> int:
    """Estimate of what is left of a task, in us on a node of speed 1; >= 1.

    It is the requested time, less the work that the last checkpoint keeps, less what the present
    run has done.
    """
    span = view.spans[b, local]
    left_us = view.tasks[view.status[b].first_row + local].requested_us - span.kept_us
    if span.running:
        left_us -= int((view.status[b].now_us - span.start_us) * span.speed)
    return max(1, left_us)


@compiled
def served_us(view: View, b: int, local: int) -> int:
    """How long a task has run so far, over all its runs, in us."""
    served = view.spans[b, local].served_us
    if view.spans[b, local].running:
        served += view.status[b].now_us - view.spans[b, local].start_us
    return served


@inlined
def expected_end_on_us(view: View, b: int, local: int, now_us: int, m: int) -> int:
    """When a task would end that starts at `now_us` on node `m`."""
    row = view.status[b].first_row + local
    speed = view.nodes.speed[m, view.tasks[row].task_class]
    return now_us + duration_us(remaining_us(view, b, local), speed)


@compiled
def gang_speed(
    nodes: NodeTable, task_class: int, held: Records, b: int, local: int, replicas: int
) -> float:
    """How fast a gang runs on the nodes it holds: as its slowest replica.

    Args:
        nodes: node table.
        task_class: column of `nodes.speed`.
        held: `(B, N, G)` records with the `node` of each replica.
        b: environment.
        local: of the task.
        replicas: of the gang.
    """
    slowest = nodes.speed[held[b, local, 0].node, task_class]
    for replica in range(1, replicas):
        slowest = min(slowest, nodes.speed[held[b, local, replica].node, task_class])
    return slowest


@compiled
def corrected_us(view: View, b: int, local: int) -> int:
    """When to expect the end of a running task that has outlived its prediction.

    Tsafrir, Etsion and Feitelson (TPDS 2007): the prediction becomes 1 min longer, then 5 min,
    15 min and so on up to 100 h, counted from the first prediction, but no longer than what the
    user asked for; `lepton_rl.prediction.predictor.corrected_s` is the same in plain Python.
    """
    span, row = view.spans[b, local], view.status[b].first_row + local
    limit_us = view.tasks[row].limit_us
    if limit_us <= view.tasks[row].requested_us:
        return span.expected_end_us
    left_us = view.tasks[row].requested_us - span.kept_us
    predicted_us = duration_us(max(1, left_us), span.speed)
    most_us = duration_us(max(1, limit_us - span.kept_us), span.speed)
    elapsed_us = view.status[b].now_us - span.start_us
    expected_us = most_us
    for index in range(len(CORRECTIONS_S)):
        raised_us = predicted_us + CORRECTIONS_S[index] * MICROSECOND
        if raised_us > elapsed_us:
            expected_us = min(raised_us, most_us)
            break
    return max(span.expected_end_us, span.start_us + expected_us)
