"""Figures that no schedule of a window can beat, proven by a relaxation.

**Relaxation.** For one resource kind k, take all nodes together as one machine of speed 1 that may
be split among tasks in any fractions and at any time, and let task j, of run time p_j, be work of
area a_j = (its gang's demand of k / capacity of the cluster) p_j. Every schedule of the cluster is
a schedule of this machine: while it runs, task j gets the rate a_j / p_j, and the rates never add
up to more than 1. Nothing else of the real problem is kept (nodes, cards, labels, gangs, the rules'
order of starts), so the bound holds for all of them.

**Sharper areas.** Tasks are not split: two that need more than half of the cluster never run side
by side, though their areas would fit. Let x be a task's share of the cluster and u a dual feasible
function: u(x_1) + u(x_2) + ... <= 1 whenever x_1 + x_2 + ... <= 1. Then u(x_j) p_j will do as the
area too, for the rates u(x_j) of what runs at one time add up to 1 at most. We take

    u_k(x) = x where (k + 1) x is whole, else floor((k + 1) x) / k         k = 1, 2, 3, 4
    v_e(x) = 0 below e, x from e to 1 - e, 1 above             e = 1/2, 2/5, 3/10, 1/5, 1/10

(Fekete and Schepers, "New classes of fast lower bounds for bin packing problems", Mathematical
Programming 91, 2001), and of all areas the one that gives the greatest bound.

**Delay.** Let M_j be the mean of the times at which j's area is worked off. A task that runs at its
constant rate without a break from S_j to S_j + p_j has M_j = S_j + p_j / 2; with breaks
(preemption) its end C_j is at least M_j + p_j / 2. Over all preemptive schedules of one machine
with release times s_j, the sum of w_j M_j is least when at each moment the released task of
greatest w_j / a_j has the whole machine (Goemans, Queyranne, Schulz, Skutella and Wang, "Single
machine scheduling with release dates", SIAM J. Discrete Math. 15(2), 2002, on mean busy times).
With M'_j of that schedule,

    sum of w_j (C_j - p_j - s_j) >= sum of w_j (M'_j - p_j / 2 - s_j)            (1)

and without breaks the left side is the weighted sum of waits.

**Sharper sums.** (1) holds for every subset of the tasks, because leaving tasks out leaves a
schedule of the rest; those left out wait at least 0. Two choices leave M'_j as it is: the tasks of
one busy period of the machine (idle time parts it from the others), and of these the ones of
greatest w_j / a_j (the rest never delays them). So for each busy period the best such prefix is
taken, which may be empty, and the periods are added up.

**Metrics.** Mean wait w_j = 1, mean slowdown w_j = 1 / p_j, and turnaround = delay + run time.
Bounded slowdown max(1, (delay + p) / max(p, tau)): in the prefix it is at least (p + delay) /
max(p, tau), so w_j = 1 / max(p_j, tau); outside it is at least 1. No schedule ends before the
machine has worked everything off at full speed, nor before any task that starts when it is
submitted; that bounds the makespan, and so the utilisation from above. The best of all kinds and
areas counts.

**Not known.** With nodes of different speed for a class run times depend on the node, and there is
no bound here. With preemptible tasks there is none of the mean wait, which counts to the
first start.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.clock import to_seconds
from lepton_rl.core.intake import node_table
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.tables import Ints
from lepton_rl.evaluate.metrics import METRICS, Metrics
from lepton_rl.sim.objective import BOUND_S
from lepton_rl.workloads.workload import Workload

__all__ = ["proven_bounds"]

Floats = NDArray[np.float64]

_CUTS = (1, 2, 3, 4)
"""k of the u_k."""

_EDGES = (5, 4, 3, 2, 1)
"""e of the v_e, in tenths."""

_SLACK = 1e-9
"""Bounds are moved outwards by this share, because sums of floating-point numbers are not exact."""


def proven_bounds(window: Workload, cluster: Cluster) -> Metrics:
    """What no schedule of `window` on `cluster`, idle at first, can beat; NaN where unknown.

    All figures are lower bounds, but utilisations, which are upper bounds.
    """
    if (node_table(cluster).speed != 1.0).any():
        return Metrics(**dict.fromkeys(METRICS, math.nan))
    submit_s = to_seconds(window.tasks["submit_us"] - window.tasks["submit_us"].min())
    run_s, total = to_seconds(window.run_us), node_table(cluster).total[:, None]
    asked = (window.demand_units * window.tasks["replicas"][:, None]).T
    areas_s = np.concatenate([area * run_s for area in _feasible_duals(asked, total)])
    wait_s = max(_least_delay(submit_s, run_s, a, np.ones_like(a), 0.0) for a in areas_s)
    slowdown = max(_least_delay(submit_s, run_s, a, 1 / run_s, 0.0) for a in areas_s)
    bounded = 1 / np.maximum(run_s, BOUND_S)
    above = max(_least_delay(submit_s, run_s, a, bounded, run_s * bounded - 1) for a in areas_s)
    makespan_s = max(float((submit_s + run_s).max()), *(_finish_s(submit_s, a) for a in areas_s))
    used = np.minimum(1.0, (asked @ run_s) / total[:, 0] / makespan_s * (1 + _SLACK))
    devices = cluster.schema.num_divisible
    known = {
        "mean_wait_s": math.nan if window.tasks["preemptible"].any() else wait_s,
        "mean_turnaround_s": wait_s + float(run_s.mean()) * (1 - _SLACK),
        "mean_slowdown": 1 + slowdown,
        "mean_bounded_slowdown": 1 + above,
        "makespan_s": makespan_s * (1 - _SLACK),
        "utilisation": float(used.max()),
        "device_utilisation": float(used[devices]) if devices < len(used) else math.nan,
    }
    return Metrics(**{**dict.fromkeys(METRICS, math.nan), **known})


def _feasible_duals(asked: Ints, total: Ints) -> Iterator[Floats]:
    """What the identity, each u_k and each v_e make of the shares of the cluster, each `(K, N)`.

    Steps are found in whole numbers, because a share that rounding moves over one breaks the proof.

    Args:
        asked: `(K, N)` units that each gang asks for.
        total: `(K, 1)` units that there are.
    """
    shares = asked / total
    yield shares
    for k in _CUTS:
        steps = (k + 1) * asked
        yield np.where(steps % total == 0, shares, steps // total / k)
    for tenths in _EDGES:
        inner = np.where(10 * asked < tenths * total, 0.0, shares)
        yield np.where(10 * asked > (10 - tenths) * total, 1.0, inner)


def _least_delay(
    submit_s: Floats, run_s: Floats, area_s: Floats, weights: Floats, offsets: Floats | float
) -> float:
    """Lower bound on the mean over tasks of max(0, weight * delay + offset), >= 0.

    Args:
        submit_s: `(N,)` ascending.
        run_s: `(N,)` > 0.
        area_s: `(N,)` >= 0; tasks of none are left out.
        weights: `(N,)` > 0.
        offsets: `(N,)` <= 0.
    """
    rows = np.flatnonzero(area_s > 0)
    ratio = weights[rows] / area_s[rows]
    middle_s, period = _mean_busy_times(submit_s[rows], area_s[rows], ratio)
    delay_s = middle_s - run_s[rows] / 2 - submit_s[rows]
    gain = weights[rows] * delay_s + np.broadcast_to(offsets, run_s.shape)[rows]
    total = 0.0
    for each in np.unique(period):
        inside = np.flatnonzero(period == each)
        ordered = inside[np.argsort(-ratio[inside], kind="stable")]
        total += max(0.0, float(np.cumsum(gain[ordered]).max()))
    return total / len(run_s) * (1 - _SLACK)


def _mean_busy_times(
    submit_s: Floats, area_s: Floats, ratio: Floats
) -> tuple[Floats, NDArray[np.int64]]:
    """Mean times at which tasks are worked on when the greatest ratio always goes first.

    Returns:
        `(N,)` those times in s, and `(N,)` the number of the busy period of each task.
    """
    moments = np.zeros(len(area_s))  # integral of time over the area that is worked off
    period = np.zeros(len(area_s), np.int64)
    for task, begin_s, end_s, number in _pieces(submit_s, area_s, ratio):
        moments[task] += (end_s - begin_s) * (begin_s + end_s) / 2
        period[task] = number
    return moments / area_s, period


def _pieces(
    submit_s: Floats, area_s: Floats, ratio: Floats
) -> Iterator[tuple[int, float, float, int]]:
    """Who has the machine from when to when, in which busy period."""
    waiting: list[tuple[float, int]] = []
    left, following, now_s, number = area_s.tolist(), 0, 0.0, 0
    submits, ratios, count = submit_s.tolist(), ratio.tolist(), len(area_s)
    while waiting or following < count:
        if not waiting and submits[following] > now_s:
            now_s, number = submits[following], number + 1
        while following < count and submits[following] <= now_s:
            heapq.heappush(waiting, (-ratios[following], following))
            following += 1
        task = waiting[0][1]
        end_s = now_s + left[task]
        if following < count and submits[following] < end_s:
            end_s = submits[following]
            left[task] -= end_s - now_s
        else:
            heapq.heappop(waiting)
        yield task, now_s, end_s, number
        now_s = end_s


def _finish_s(submit_s: Floats, area_s: Floats) -> float:
    """When the machine has worked everything off."""
    now_s = 0.0
    for begin_s, area in zip(submit_s.tolist(), area_s.tolist(), strict=True):
        now_s = max(now_s, begin_s) + area if area > 0 else now_s
    return now_s
