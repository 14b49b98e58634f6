"""The same environment in plain Python: objects and lists, no arrays, no compiler.

First-fit without backfilling, bounded slowdown, no skipped decisions but forced ones: what
`sizes` measures. `tests/benchmarks/test_plain.py` holds it to the compiled one step by step.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from math import log10

import numpy as np

from lepton_rl.core.tables import Records

__all__ = ["PlainEnvironment"]

AREA, FITS, AREA_DELAY = 3, 10, 16
"""Columns of a task's features."""
SECOND = 1_000_000


@dataclass
class PlainTask:
    """One task; times in us."""

    submit_us: int
    requested_us: int
    run_us: int
    cores: int
    replicas: int
    nodes: list[int] = field(default_factory=list)


class PlainEnvironment:
    """One episode over tasks `first` to `first + count` of a table."""

    def __init__(
        self, tasks: Records, run_us: np.ndarray, nodes: int, cores: int, slots: int
    ) -> None:
        self.rows = [
            PlainTask(
                int(task["submit_us"]),
                int(task["requested_us"]),
                int(run_us[row]),
                int(task["demand"][0]),
                int(task["replicas"]),
            )
            for row, task in enumerate(tasks)
        ]
        self.cores, self.slots = cores * 1000, slots
        self.free = [self.cores] * nodes
        self.running_on = [0] * nodes

    def reset(self, first: int, count: int) -> list[list[float]]:
        """Begin an episode; returns the observation."""
        self.tasks = self.rows[first : first + count]
        self.now_us, self.arrived = self.tasks[0].submit_us, 0
        self.pending: list[int] = []
        self.ends: list[tuple[int, int]] = []
        self.expected: dict[int, int] = {}
        self.free = [self.cores] * len(self.free)
        self.running_on = [0] * len(self.free)
        self.cost = self.reported = 0.0
        self._settle(skip_forced=False)
        return self._observe()

    def step(self, slot: int) -> tuple[list[list[float]], float, bool]:
        """Start the task in `slot`, or let time go on; observation, reward, end."""
        self._dispatch(self._window()[slot])
        self._settle(skip_forced=True)
        reward = -(self.cost - self.reported) / len(self.tasks)
        self.reported = self.cost
        return self._observe(), reward, self._is_over()

    def _is_over(self) -> bool:
        return self.arrived == len(self.tasks) and not self.pending

    def _settle(self, *, skip_forced: bool) -> None:
        while not self._is_over():
            if not self.pending:
                self._advance()
            elif len(self.pending) == 1 and skip_forced:
                self._dispatch(self.pending[0])
            else:
                return

    def _dispatch(self, local: int) -> None:
        nodes = self._place(self.tasks[local])
        if nodes is None:
            self._advance()
            return
        task = self.tasks[local]
        task.nodes = nodes
        for node in nodes:
            self.free[node] -= task.cores
            self.running_on[node] += 1
        self.pending.remove(local)
        self.expected[local] = self.now_us + task.requested_us
        heapq.heappush(self.ends, (self.now_us + task.run_us, local))

    def _place(self, task: PlainTask) -> list[int] | None:
        chosen: list[int] = []
        for node, free in enumerate(self.free):
            fits = min(free // task.cores, task.replicas - len(chosen))
            chosen += [node] * fits
            if len(chosen) == task.replicas:
                return chosen
        return None

    def _advance(self) -> None:
        times = [self.ends[0][0]] if self.ends else []
        if self.arrived < len(self.tasks):
            times.append(self.tasks[self.arrived].submit_us)
        next_us = min(times)
        for local in self.pending:
            self.cost += self._slowdown(local, next_us) - self._slowdown(local, self.now_us)
        self.now_us = next_us
        while self.arrived < len(self.tasks) and self.tasks[self.arrived].submit_us == next_us:
            self.pending.append(self.arrived)
            self.cost += self._slowdown(self.arrived, next_us)
            self.arrived += 1
        while self.ends and self.ends[0][0] == next_us:
            _, local = heapq.heappop(self.ends)
            del self.expected[local]
            for node in self.tasks[local].nodes:
                self.free[node] += self.tasks[local].cores
                self.running_on[node] -= 1

    def _slowdown(self, local: int, at_us: int) -> float:
        task = self.tasks[local]
        run_s, wait_s = task.run_us / SECOND, (at_us - task.submit_us) / SECOND
        return max(1.0, (wait_s + run_s) / max(run_s, 10.0))

    def _window(self) -> list[int]:
        if len(self.pending) <= self.slots:
            return self.pending
        newest = self.slots // 2
        return self.pending[: self.slots - newest] + self.pending[-newest:]

    def _observe(self) -> list[list[float]]:
        """Features of the shown tasks, then of the nodes, then of the cluster."""
        total, count = self.cores * len(self.free), len(self.pending)
        free = sum(self.free) / total
        requested = [self.tasks[local].requested_us / SECOND for local in self.pending]
        areas = [
            time_s * self._share(local)
            for time_s, local in zip(requested, self.pending, strict=True)
        ]
        rows: list[list[float]] = []
        shown = self._window()
        for slot, local in enumerate(shown):
            oldest = self.slots - self.slots // 2
            position = slot if slot < oldest else slot + count - len(shown)
            means = sum(requested) / count, sum(areas) / count
            rows.append(self._task_row(local, position / count, free, *means))
        shadows = self._write_shadows(rows, shown)
        for node, node_free in enumerate(self.free):
            share, running = node_free / self.cores, log10(1 + self.running_on[node]) / 3
            rows.append([1 - share, 0.0, share, self.cores / total, running, 0.0, 1.0])
        rows.append([*self._cluster_row(free, sum(requested), sum(areas)), *shadows])
        return rows

    def _write_shadows(self, rows: list[list[float]], shown: list[int]) -> list[float]:
        """Who would delay the smallest and the oldest task shown; when these could start."""
        if not shown:
            return [0.0, 0.0]
        smallest = min(range(len(shown)), key=lambda slot: rows[slot][AREA])
        return [self._write_delays(rows, shown, head, column)
                for head, column in ((smallest, AREA_DELAY), (0, AREA_DELAY + 1))]  # fmt: skip

    def _write_delays(
        self, rows: list[list[float]], shown: list[int], head: int, column: int
    ) -> float:
        if rows[head][FITS]:
            return 0.0
        first, shadow_us = self.tasks[shown[head]], 0
        spare = sum(self.free) - first.cores * first.replicas
        for expected_us, local in sorted((end, local) for local, end in self.expected.items()):
            if spare >= 0:
                break
            shadow_us = max(0, expected_us - self.now_us)
            spare += self.tasks[local].cores * self.tasks[local].replicas
        for slot, local in enumerate(shown):
            task = self.tasks[local]
            is_late = task.requested_us > shadow_us and task.cores * task.replicas > spare
            rows[slot][column] = float(slot != head and rows[slot][FITS] > 0 and is_late)
        return log10(1 + shadow_us / SECOND) / 6

    def _share(self, local: int) -> float:
        task = self.tasks[local]
        return min(task.cores * task.replicas / (self.cores * len(self.free)), 1.0)

    def _task_row(
        self, local: int, rank: float, free: float, mean_s: float, mean_area_s: float
    ) -> list[float]:
        task, share = self.tasks[local], self._share(local)
        requested_s, wait_s = task.requested_us / SECOND, (self.now_us - task.submit_us) / SECOND
        area_s = requested_s * share
        return [
            log10(1 + requested_s) / 6,
            share,
            max(-1.0, 1 + log10(max(share, 1e-9)) / 4),
            log10(1 + area_s) / 6,
            0.0,
            log10(task.replicas) / 3,
            0.0,
            0.0,
            log10(1 + wait_s) / 6,
            min(log10(1 + wait_s / requested_s) / 4, 4.0),
            1.0 if self._place(task) is not None else 0.0,
            free - share,
            rank,
            max(-4.0, min(log10(requested_s / mean_s) / 4, 4.0)),
            max(-4.0, min(log10(max(area_s, 1e-9) / max(mean_area_s, 1e-9)) / 4, 4.0)),
            0.0,
            0.0,
            0.0,
        ]

    def _cluster_row(self, free: float, requested_s: float, area_s: float) -> list[float]:
        count = len(self.pending)
        wait_s, release_s = 0.0, 0.0
        if count:
            wait_s = (self.now_us - self.tasks[self.pending[0]].submit_us) / SECOND
        if self.expected:
            release_s = max(0, min(self.expected.values()) - self.now_us) / SECOND
        return [
            free,
            log10(1 + count) / 4,
            log10(1 + area_s) / 6,
            max(count - self.slots, 0) / max(count, 1),
            log10(1 + len(self.expected)) / 4,
            log10(1 + release_s) / 6,
            log10(1 + wait_s) / 6,
            log10(1 + requested_s / max(count, 1)) / 6,
        ]
