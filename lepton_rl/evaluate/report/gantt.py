"""Who ran where: tasks as boxes on the devices (or the cores) of each node."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np

from lepton_rl.core.clock import to_seconds
from lepton_rl.core.intake import node_table
from lepton_rl.core.schedule import Schedule
from lepton_rl.core.tables import Ints
from lepton_rl.evaluate.metrics import bounded_slowdowns
from lepton_rl.workloads.workload import Workload

__all__ = ["Box", "Gantt", "draw_up"]

MOST_NODES = 16
"""Nodes that are shown; of more, those that worked most."""


@dataclass(frozen=True, slots=True)
class Box:
    """A part of a task on one node.

    Attributes:
        node: row in `Gantt.nodes`.
        low: first unit, as a share of the node, 0..1.
        high: end of its units, likewise.
        start_s: since the first submit.
        end_s: likewise.
        slowdown: bounded slowdown of the task.
        title: for a tooltip.
    """

    node: int
    low: float
    high: float
    start_s: float
    end_s: float
    slowdown: float
    title: str


@dataclass(frozen=True, slots=True)
class Gantt:
    """A schedule.

    Attributes:
        nodes: names of the nodes shown, with what a row's height stands for.
        units: lines to draw in each row (cards), 0 for none.
        boxes: what ran.
        hidden_nodes: nodes that are not shown.
    """

    nodes: tuple[str, ...]
    units: tuple[int, ...]
    boxes: tuple[Box, ...]
    hidden_nodes: int


def draw_up(schedule: Schedule, window: Workload) -> Gantt:
    """The boxes of a schedule in which nobody was interrupted.

    A schedule does not record which cards of its node a task had; the lowest free ones are drawn.
    """
    cluster = window.cluster
    kind = cluster.schema.num_divisible % len(cluster.schema.kinds)
    schema = cluster.schema.kinds[kind]
    capacity = node_table(cluster).rows["capacity"][:, kind]
    busy = np.zeros(len(cluster.nodes), np.int64)
    task, replica = np.nonzero(schedule.nodes >= 0)
    np.add.at(busy, schedule.nodes[task, replica], (window.demand_units[:, kind] > 0)[task])
    shown = [m for m in np.argsort(-busy, kind="stable")[:MOST_NODES].tolist() if capacity[m] > 0]
    shown.sort()
    slowdowns = bounded_slowdowns(schedule)
    boxes = []
    for row, m in enumerate(shown):
        for index, pieces in _assigned(schedule, window.demand_units[:, kind], m, int(capacity[m])):
            title = _title(schedule, window, index, float(slowdowns[index]))
            begin, end = _span_s(schedule, index)
            for low, high in pieces:
                share = low / capacity[m], high / capacity[m]
                boxes.append(Box(row, *share, begin, end, float(slowdowns[index]), title))
    units = [int(capacity[m] // schema.units_per) for m in shown]
    names = tuple(
        f"{cluster.nodes[m].name} ({count} {schema.unit if kind else schema.name})"
        for m, count in zip(shown, units, strict=True)
    )
    lines = tuple(count if count <= 16 else 0 for count in units)
    return Gantt(names, lines, tuple(boxes), int((capacity > 0).sum()) - len(shown))


Pieces = list[tuple[int, int]]


def _assigned(
    schedule: Schedule, demand: Ints, node: int, capacity: int
) -> list[tuple[int, Pieces]]:
    """(task, its ranges of units) on a node; the lowest free units first."""
    task, _ = np.nonzero(schedule.nodes == node)
    rows = [int(i) for i in task[np.argsort(schedule.start_us[task], kind="stable")] if demand[i]]
    free: Pieces = [(0, capacity)]
    running: list[tuple[int, int, Pieces]] = []
    found = []
    for number, index in enumerate(rows):
        while running and running[0][0] <= schedule.start_us[index]:
            free = _joined(free + heapq.heappop(running)[2])
        taken, free = _taken(free, int(demand[index]))
        heapq.heappush(running, (int(schedule.end_us[index]), number, taken))
        found.append((index, taken))
    return found


def _taken(free: Pieces, amount: int) -> tuple[Pieces, Pieces]:
    """The lowest `amount` free units, and what is left."""
    taken, left = [], []
    for low, high in free:
        part = min(amount, high - low)
        amount -= part
        if part:
            taken.append((low, low + part))
        if low + part < high:
            left.append((low + part, high))
    return taken, left


def _joined(pieces: Pieces) -> Pieces:
    """Ranges in order, those that touch as one."""
    joined: Pieces = []
    for low, high in sorted(pieces):
        if joined and joined[-1][1] == low:
            joined[-1] = (joined[-1][0], high)
        else:
            joined.append((low, high))
    return joined


def _span_s(schedule: Schedule, index: int) -> tuple[float, float]:
    first_us = schedule.submit_us.min()
    return (
        float(to_seconds(schedule.start_us[index] - first_us)),
        float(to_seconds(schedule.end_us[index] - first_us)),
    )


def _title(schedule: Schedule, window: Workload, index: int, slowdown: float) -> str:
    wait_s = float(to_seconds(schedule.start_us[index] - schedule.submit_us[index]))
    run_s = float(to_seconds(schedule.end_us[index] - schedule.start_us[index]))
    size = float(window.tasks["size"][index])
    return (
        f"task {window.ids[index]}: size {size:g}, waited {wait_s:,.0f} s, ran {run_s:,.0f} s,"
        f" bounded slowdown {slowdown:.1f}"
    )
