"""A cell: one contender on one window. Its figures are the same in any process.

Runners also take other work of the same shape (`AnyCell`), such as a packing of `fgd`.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Protocol

import numpy as np

from lepton_rl.core.errors import StateError
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.evaluate.contenders import Contender, fingerprint_of
from lepton_rl.evaluate.metrics import METRICS_VERSION, Metrics, measure
from lepton_rl.workloads.workload import Workload

__all__ = ["AnyCell", "Cell", "CellResult", "Runner", "digest_of", "run_serially"]


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


class AnyCell(Protocol):
    """A piece of work that runs by itself, anywhere."""

    @property
    def title(self) -> str:
        """For progress and messages."""
        ...

    @property
    def key(self) -> str:
        """Equal for cells with equal results; "" where what they depend on is not known."""
        ...

    def run(self) -> CellResult:
        """Do it; equal cells give equal metrics."""
        ...


Runner = Callable[[Sequence[AnyCell]], Iterator[tuple[int, CellResult]]]
"""Runs cells and yields (position, result), in any order, each position once."""


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

    @property
    def key(self) -> str:
        """Equal for cells with equal results; "" if the contender does not say what it needs."""
        contender = fingerprint_of(self.contender)
        if not contender:
            return ""
        parts = (str(METRICS_VERSION), contender, self.backfill.name)
        return digest_of(parts, self.window, self.cluster)

    def run(self) -> CellResult:
        """Let the contender schedule the window, and measure what it did.

        Raises:
            StateError: what it returned is no schedule of its window; the message names both.
        """
        began_s = time.perf_counter()
        try:
            schedule = self.contender.schedule(self.window, self.cluster, self.backfill)
            passed_s = time.perf_counter() - began_s
            metrics = measure(schedule, self.window, self.cluster)
        except StateError as error:
            raise StateError(f"{self.title}: {error}") from error
        return CellResult(metrics, passed_s / len(self.window) * 1e6)


def run_serially(cells: Sequence[AnyCell]) -> Iterator[tuple[int, CellResult]]:
    """One after the other, in this process."""
    for position, cell in enumerate(cells):
        yield position, cell.run()


def digest_of(parts: Sequence[str], work: Workload, cluster: Cluster) -> str:
    """SHA-256 over all that the figures of a piece of work depend on.

    Args:
        parts: what is done with it.
        work: the tasks.
        cluster: where.
    """
    digest = hashlib.sha256()
    for part in (*parts, work.name):
        digest.update(f"{part}\0".encode())
    digest.update(np.ascontiguousarray(work.tasks).tobytes())
    digest.update(work.run_us.tobytes())
    if work.tenants is not None:
        digest.update("\0".join(work.tenants.tolist()).encode())
    for node in cluster.nodes:
        described = (_plain(getattr(node, each.name)) for each in fields(node))
        digest.update("\0".join(described).encode())
    return digest.hexdigest()


def _plain(value: object) -> str:
    """Text that does not depend on the order of a set."""
    return repr(sorted(value)) if isinstance(value, frozenset) else repr(value)
