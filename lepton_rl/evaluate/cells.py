"""A cell: one contender on one window. Its figures are the same in any process."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields

import numpy as np

from lepton_rl.core.errors import StateError
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.evaluate.contenders import Contender, fingerprint_of
from lepton_rl.evaluate.metrics import METRICS_VERSION, Metrics, measure
from lepton_rl.workloads.workload import Workload

__all__ = ["Cell", "CellResult", "Runner", "key_of", "run_cell", "run_serially"]


@dataclass(frozen=True, slots=True)
class Cell:
    """What is to be run.

    Attributes:
        contender: who.
        window: the work.
        cluster: idle at first.
        backfill: who may overtake a blocked task.
    """

    contender: Contender
    window: Workload
    cluster: Cluster
    backfill: Backfill

    @property
    def title(self) -> str:
        """For progress and messages."""
        return f"{self.contender.name} on {self.window.name}"


@dataclass(frozen=True, slots=True)
class CellResult:
    """What came out.

    Attributes:
        metrics: figures of the schedule.
        decision_us: real time in us for each task of the window, > 0: choosing, the rules around
            the choice and the simulator. It depends on the machine and its load.
    """

    metrics: Metrics
    decision_us: float


Runner = Callable[[Sequence[Cell]], Iterator[tuple[int, CellResult]]]
"""Runs cells and yields (position, result), in any order, each position once."""


def run_cell(cell: Cell) -> CellResult:
    """Let the contender schedule the window, and measure what it did.

    Raises:
        StateError: what it returned is no schedule of its window; the message names both.
    """
    began_s = time.perf_counter()
    try:
        schedule = cell.contender.schedule(cell.window, cell.cluster, cell.backfill)
        passed_s = time.perf_counter() - began_s
        metrics = measure(schedule, cell.window, cell.cluster)
    except StateError as error:
        raise StateError(f"{cell.title}: {error}") from error
    return CellResult(metrics, passed_s / len(cell.window) * 1e6)


def run_serially(cells: Sequence[Cell]) -> Iterator[tuple[int, CellResult]]:
    """One after the other, in this process."""
    for position, cell in enumerate(cells):
        yield position, run_cell(cell)


def key_of(cell: Cell) -> str:
    """Equal for cells with equal results; "" if the contender does not say what it depends on."""
    contender = fingerprint_of(cell.contender)
    if not contender:
        return ""
    digest = hashlib.sha256()
    for part in (METRICS_VERSION, contender, cell.backfill.name, cell.window.name):
        digest.update(f"{part}\0".encode())
    digest.update(np.ascontiguousarray(cell.window.tasks).tobytes())
    digest.update(cell.window.run_us.tobytes())
    if cell.window.tenants is not None:
        digest.update("\0".join(cell.window.tenants.tolist()).encode())
    for node in cell.cluster.nodes:
        parts = (_plain(getattr(node, each.name)) for each in fields(node))
        digest.update("\0".join(parts).encode())
    return digest.hexdigest()


def _plain(value: object) -> str:
    """Text that does not depend on the order of a set."""
    return repr(sorted(value)) if isinstance(value, frozenset) else repr(value)
