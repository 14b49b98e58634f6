"""Contenders side by side on the same windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.errors import ConfigError
from lepton_rl.core.naming import did_you_mean
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.evaluate.bounds import proven_bounds
from lepton_rl.evaluate.cells import Cell, CellResult, Runner, run_serially
from lepton_rl.evaluate.contenders import Contender, HeuristicContender
from lepton_rl.evaluate.hindsight import SEARCHED, Hindsight, HindsightContender
from lepton_rl.evaluate.metrics import metric_info
from lepton_rl.evaluate.results import Pair, Result
from lepton_rl.evaluate.statistics import Bootstrap, paired_difference
from lepton_rl.evaluate.validity import check_cluster
from lepton_rl.evaluate.verdict import verdict_sentence
from lepton_rl.workloads.workload import Workload

__all__ = ["HEADLINE", "Comparison", "Progress", "compare"]

Progress = Callable[[int, int, str], None]
"""Called with (schedules done, schedules in all, contender and window) after each schedule."""

HEADLINE = "mean_bounded_slowdown"
"""Metric that ranks by default."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Results of all contenders under one backfilling.

    Attributes:
        headline: metric that ranks, a field of `Metrics`.
        backfill: who could overtake a blocked task.
        windows: their names, e.g. `lublin_256[1981:3005]`.
        bootstrap: how the intervals were made.
        results: best first.
        pairs: each learned contender against each heuristic, both best first. The best heuristic
            is chosen on these same windows, which favours it, not the learned policy.
        limits: what could be done at best, no policies: the best schedules found in hindsight and
            the proven bounds; empty where nobody asked.
    """

    headline: str
    backfill: Backfill
    windows: tuple[str, ...]
    bootstrap: Bootstrap
    results: tuple[Result, ...]
    pairs: tuple[Pair, ...]
    limits: tuple[Result, ...] = ()

    @property
    def heuristics(self) -> tuple[Result, ...]:
        """Best first."""
        return tuple(result for result in self.results if result.is_heuristic)

    @property
    def learned(self) -> tuple[Result, ...]:
        """Best first."""
        return tuple(result for result in self.results if not result.is_heuristic)

    def result(self, name: str) -> Result:
        """The result of the contender called `name`.

        Raises:
            ConfigError: there is none.
        """
        for result in self.results:
            if result.name == name:
                return result
        hint = did_you_mean(name, [result.name for result in self.results])
        raise ConfigError(f"comparison: no contender is called {name!r}; {hint}")

    def verdict(self, name: str | None = None) -> str:
        """One sentence: who wins, or that no difference is shown.

        Args:
            name: a learned contender, to be compared with the best heuristic; by default the best
                of them.

        Raises:
            ConfigError: no learned contender is called so.
        """
        ours = next(iter(self.learned), None) if name is None else self.result(name)
        if ours is not None and ours.is_heuristic:
            raise ConfigError(f"verdict: {ours.name!r} is a heuristic; name a learned policy")
        pairs = [pair for pair in self.pairs if ours is not None and pair.ours == ours.name]
        difference = pairs[0].difference if pairs else None
        return verdict_sentence(self.headline, ours, self.heuristics, difference)


def compare(
    contenders: Sequence[Contender],
    windows: Sequence[Workload],
    *,
    backfill: Backfill = Backfill.EASY,
    cluster: Cluster | None = None,
    headline: str = HEADLINE,
    bootstrap: Bootstrap | None = None,
    progress: Progress | None = None,
    runner: Runner = run_serially,
    hindsight: Hindsight | None = None,
) -> Comparison:
    """Let each contender schedule each window.

    Args:
        contenders: names differ; a `HeuristicContender` is a heuristic, all others are learned.
        windows: at least one.
        backfill: who may overtake a blocked task.
        cluster: starts idle in each window; by default the windows' own.
        headline: metric that ranks; one that is averaged over windows.
        bootstrap: how to make the intervals.
        progress: told after each schedule; searches in hindsight come last, one a window.
        runner: where schedules are made; figures do not depend on it.
        hindsight: how long to search for the best schedule; None for no limits.

    Raises:
        ConfigError: nothing to compare, names that repeat, an unfit headline, or windows that were
            not described for the cluster.
        StateError: a contender returned something that is no schedule of its window; the message
            names it.
    """
    _check_request(contenders, windows, headline)
    for window in windows:
        check_cluster(window, cluster or window.cluster)
    cells = [
        Cell(contender, window, cluster or window.cluster, backfill)
        for contender in contenders
        for window in windows
    ]
    searches = len(windows) if hindsight is not None and headline in SEARCHED else 0
    tell = _told(progress, len(cells) + searches)
    found = _collected(runner, cells, tell)
    rows = [found[i : i + len(windows)] for i in range(0, len(found), len(windows))]
    results = [_result(c, row) for c, row in zip(contenders, rows, strict=True)]
    limits: tuple[Result, ...] = ()
    if hindsight is not None:
        best = _best_of_each_window(results, headline)
        starts = [cells[who * len(windows) + w] for w, who in enumerate(best)]
        limits = tuple(_limits(runner, starts, headline, hindsight, tell))
    ranked = tuple(_ranked(results, headline))
    bootstrap = bootstrap or Bootstrap()
    names = tuple(window.name for window in windows)
    pairs = tuple(_pairs(ranked, headline, bootstrap))
    return Comparison(headline, backfill, names, bootstrap, ranked, pairs, limits)


def _told(progress: Progress | None, total: int) -> Callable[[str], None]:
    """Counts what is done."""
    counter = count(1)

    def tell(what: str) -> None:
        if progress is not None:
            progress(next(counter), total, what)

    return tell


def _collected(
    runner: Runner, cells: Sequence[Cell], tell: Callable[[str], None]
) -> list[CellResult]:
    """Results in the order of the cells, in whatever order they come."""
    found: dict[int, CellResult] = {}
    for position, result in runner(cells):
        found[position] = result
        tell(cells[position].title)
    return [found[position] for position in range(len(cells))]


def _result(contender: Contender, row: Sequence[CellResult]) -> Result:
    return Result(
        contender.name,
        isinstance(contender, HeuristicContender),
        tuple(each.metrics for each in row),
        min(each.decision_us for each in row),
    )


def _best_of_each_window(results: Sequence[Result], headline: str) -> NDArray[np.int64]:
    """`(W,)` which contender has the best figure in each window."""
    sign = 1 if metric_info(headline).lower_is_better else -1
    figures = np.stack([sign * result.values(headline) for result in results])
    best: NDArray[np.int64] = np.argmin(figures, axis=0)
    return best


def _limits(
    runner: Runner,
    starts: Sequence[Cell],
    headline: str,
    hindsight: Hindsight,
    tell: Callable[[str], None],
) -> Iterator[Result]:
    """What could be done at best in each window, of which the best contender's cell is given."""
    if headline in SEARCHED:
        searches = [
            replace(cell, contender=HindsightContender(cell.contender, headline, hindsight))
            for cell in starts
        ]
        found = _collected(runner, searches, tell)
        yield Result("hindsight (found)", False, tuple(each.metrics for each in found))
    bounds = tuple(proven_bounds(cell.window, cell.cluster) for cell in starts)
    yield Result("bound (proven)", False, bounds)


def _check_request(
    contenders: Sequence[Contender], windows: Sequence[Workload], headline: str
) -> None:
    if not contenders or not windows:
        raise ConfigError(
            f"compare: expected at least one contender and one window, got {len(contenders)} and"
            f" {len(windows)}"
        )
    names = [contender.name for contender in contenders]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ConfigError(f"compare: names of contenders must differ, got {repeated[0]!r} twice")
    if metric_info(headline).over_windows != "mean":
        raise ConfigError(
            f"compare: the headline must be averaged over windows, {headline!r} is not; use"
            " 'p95_wait_s', or read it from the table"
        )


def _ranked(results: Sequence[Result], headline: str) -> list[Result]:
    """Best first; equals in the order given."""
    sign = 1 if metric_info(headline).lower_is_better else -1
    return sorted(results, key=lambda result: sign * result.figure(headline))


def _pairs(ranked: Sequence[Result], headline: str, bootstrap: Bootstrap) -> Iterator[Pair]:
    for ours in (result for result in ranked if not result.is_heuristic):
        for theirs in (result for result in ranked if result.is_heuristic):
            difference = paired_difference(
                ours.values(headline),
                theirs.values(headline),
                lower_is_better=metric_info(headline).lower_is_better,
                bootstrap=bootstrap,
            )
            yield Pair(ours.name, theirs.name, difference)
