"""Stability and scalability, measured: the same window with lost nodes, with a burst, and larger.

**Lost nodes.** A twentieth of the nodes (at least one) fail one after the other at even distances
over the first nine tenths of the time in which tasks are submitted, each for a twentieth of that
time. Tasks on them are stopped and start again from the beginning. In a cluster of one node, such
as a pool of processors, that is an outage of the whole machine.

**Burst.** The tasks of the middle third arrive at one instant, that of the first of them; deadlines
keep their distance to it.

**Scale.** c times the cluster and c copies of each task, at the same instants.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from lepton_rl.core.nodes import Cluster, Node, NodeState
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.schedule import Schedule
from lepton_rl.core.tables import NEVER_US
from lepton_rl.evaluate.contenders import HeuristicContender
from lepton_rl.evaluate.learned import LearnedContender
from lepton_rl.evaluate.metrics import bounded_slowdowns
from lepton_rl.sim.world import NodeEvent, World, make_world
from lepton_rl.workloads.workload import Workload

__all__ = [
    "SCALES",
    "FigureOf",
    "Scaled",
    "Stability",
    "Stressed",
    "burst",
    "measure_scaling",
    "measure_stability",
    "node_failures",
    "scaled",
]

Stressed = HeuristicContender | LearnedContender
"""Contenders that can be replayed while nodes fail."""

FigureOf = Callable[[Schedule, Workload], float]
"""A figure of the schedule of a window."""

SCALES = (1, 2, 4, 8)
"""How many times the cluster and its tasks."""

_REPLAYS = 3
"""Of each size, of which the fastest counts: another program can only slow one down."""

_SHARE = 0.05
"""Of the nodes that fail, and of the time for which each is down."""


@dataclass(frozen=True, slots=True)
class Stability:
    """A figure of one contender (mean bounded slowdown), each the mean over the windows.

    Attributes:
        name: the contender's.
        calm: nothing happens.
        failures: nodes are lost.
        burst: a third of the tasks arrive at once.
    """

    name: str
    calm: float
    failures: float
    burst: float


@dataclass(frozen=True, slots=True)
class Scaled:
    """One contender on a larger copy of a window.

    Attributes:
        name: the contender's.
        scale: how many times the cluster and its tasks.
        figure: mean bounded slowdown, or what was asked for.
        decision_us: real time for each task in us, the least of three replays; it depends on the
            machine.
    """

    name: str
    scale: int
    figure: float
    decision_us: float


def _mean(schedule: Schedule, window: Workload) -> float:
    return float(bounded_slowdowns(schedule, run_us=window.run_us).mean())


def measure_stability(
    contenders: Sequence[Stressed],
    windows: Sequence[Workload],
    backfill: Backfill,
    figure: FigureOf = _mean,
) -> list[Stability]:
    """Replay each window calm, with lost nodes and with a burst."""
    found = []
    for contender in contenders:
        rows = []
        for window in windows:
            cluster, crowded = window.cluster, burst(window)
            world = node_failures(window, cluster)
            calm = contender.schedule(window, cluster, backfill)
            failing = contender.schedule(window, cluster, backfill, world)
            crowd = contender.schedule(crowded, cluster, backfill)
            rows.append([figure(calm, window), figure(failing, window), figure(crowd, crowded)])
        found.append(Stability(contender.name, *np.mean(rows, axis=0).tolist()))
    return found


def measure_scaling(
    contenders: Sequence[Stressed],
    window: Workload,
    backfill: Backfill,
    figure: FigureOf = _mean,
) -> Iterator[Scaled]:
    """Replay larger copies of one window."""
    for scale in SCALES:
        larger = scaled(window, scale)
        for contender in contenders:
            times_s = []
            for _ in range(_REPLAYS):
                began_s = time.perf_counter()
                schedule = contender.schedule(larger, larger.cluster, backfill)
                times_s.append(time.perf_counter() - began_s)
            decision_us = min(times_s) / len(larger) * 1e6
            yield Scaled(contender.name, scale, figure(schedule, larger), decision_us)


def node_failures(window: Workload, cluster: Cluster) -> World:
    """The world in which nodes are lost; see the module. Which nodes is drawn with seed 0."""
    submit_us = window.tasks["submit_us"]
    begin_us, span_us = int(submit_us[0]), int(submit_us[-1] - submit_us[0])
    count = max(1, round(_SHARE * len(cluster.nodes)))
    nodes = np.random.default_rng(0).choice(len(cluster.nodes), count, replace=False)
    outage_us = max(1, int(_SHARE * span_us))
    events = []
    for number, node in enumerate(nodes.tolist()):
        down_us = begin_us + int(0.9 * span_us * (number + 1) / (count + 1))
        events.append(NodeEvent(down_us, node, NodeState.DOWN))
        events.append(NodeEvent(down_us + outage_us, node, NodeState.UP))
    return make_world(len(window), node_events=events)


def burst(window: Workload) -> Workload:
    """The window whose middle third arrives at once."""
    tasks, count = window.tasks.copy(), len(window)
    third = slice(count // 3, max(count // 3 + 1, 2 * count // 3))
    earlier_us = tasks["submit_us"][third] - tasks["submit_us"][count // 3]
    tasks["submit_us"][third] -= earlier_us
    deadlines_us = tasks["deadline_us"][third]
    has_one = deadlines_us != NEVER_US
    tasks["deadline_us"][third] = np.where(has_one, deadlines_us - earlier_us, deadlines_us)
    return replace(window, name=f"{window.name} with a burst", tasks=tasks)


def scaled(window: Workload, scale: int) -> Workload:
    """`scale` times the cluster, with as many copies of each task."""
    if scale == 1:
        return window
    rows = np.repeat(np.arange(len(window)), scale)
    copies = np.char.add(window.ids[rows], np.tile([f" {n}" for n in range(scale)], len(window)))
    taken: dict[str, Any] = {
        name: None if getattr(window, name) is None else getattr(window, name)[rows]
        for name in ("tenants", "waits_us", "task_classes")
    }
    return replace(
        window,
        name=f"{window.name} x {scale}",
        cluster=_larger(window.cluster, scale),
        tasks=window.tasks[rows],
        run_us=window.run_us[rows],
        ids=copies,
        **taken,
    )


def _larger(cluster: Cluster, scale: int) -> Cluster:
    """More nodes, but a single node without devices (a pool) becomes a larger one."""
    if len(cluster.nodes) == 1 and cluster.schema.num_divisible == len(cluster.schema.kinds):
        (node,) = cluster.nodes
        capacity = {kind: scale * amount for kind, amount in node.capacity.items()}
        return Cluster((replace(node, capacity=capacity),), cluster.schema)
    nodes = tuple(_copy(node, number) for number in range(scale) for node in cluster.nodes)
    return Cluster(nodes, cluster.schema)


def _copy(node: Node, number: int) -> Node:
    return replace(node, name=f"{node.name} {number}") if number else node
