"""Running the protocol `fgd`: every list of pods, every rule, every seed, on any backend."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lepton_rl.evaluate.cells import CellResult, Runner, digest_of, run_serially
from lepton_rl.evaluate.comparison import Progress
from lepton_rl.evaluate.fgd import (
    FGD_VERSION,
    PUBLISHED_PLACES,
    PackingRow,
    allocated_share,
    open_pods,
    published_means,
)
from lepton_rl.evaluate.metrics import METRICS, Metrics
from lepton_rl.workloads.workload import Workload

__all__ = ["PackingCell", "evaluate_packing"]


@dataclass(frozen=True, slots=True)
class PackingCell:
    """One run of one rule; its only figure is the GPU allocation (`device_utilisation`).

    Attributes:
        pods: the list, on its nodes.
        rule: a key of `PUBLISHED_PLACES`.
        seed: of the order of pods and nodes, >= 0.
    """

    pods: Workload
    rule: str
    seed: int

    @property
    def title(self) -> str:
        """For progress."""
        return f"{self.rule} on {self.pods.name}, seed {self.seed}"

    @property
    def key(self) -> str:
        """Equal for runs with equal figures."""
        parts = (f"fgd {FGD_VERSION}", self.rule, str(self.seed))
        return digest_of(parts, self.pods, self.pods.cluster)

    def run(self) -> CellResult:
        """Place the pods."""
        began_s = time.perf_counter()
        share = allocated_share(self.pods, PUBLISHED_PLACES[self.rule], self.seed)
        passed_s = time.perf_counter() - began_s
        figures = {**dict.fromkeys(METRICS, math.nan), "device_utilisation": share}
        return CellResult(Metrics(**figures), passed_s / len(self.pods) * 1e6)


def evaluate_packing(
    lists: Mapping[str, Path],
    seeds: int,
    *,
    runner: Runner = run_serially,
    progress: Progress | None = None,
) -> list[PackingRow]:
    """Run every rule with the seeds 0 to `seeds` - 1 on every list.

    Args:
        lists: name -> file, see `pod_lists`.
        seeds: >= 1.
        runner: where it is done; figures do not depend on it.
        progress: told after each run.

    Raises:
        LeptonError: a list is malformed.
    """
    published = published_means(next(iter(lists.values())).parent)
    rows = []
    total = len(lists) * len(PUBLISHED_PLACES) * seeds
    done = 0
    for name, path in lists.items():
        pods = open_pods(path)
        cells = [PackingCell(pods, rule, s) for rule in PUBLISHED_PLACES for s in range(seeds)]
        shares: dict[tuple[str, int], float] = {}
        for position, result in runner(cells):
            cell = cells[position]
            shares[cell.rule, cell.seed] = result.metrics.device_utilisation
            done += 1
            if progress is not None:
                progress(done, total, cell.title)
        for rule in PUBLISHED_PLACES:
            runs = tuple(shares[rule, seed] for seed in range(seeds))
            rows.append(PackingRow(name, rule, runs, published.get((name, rule))))
    return rows
