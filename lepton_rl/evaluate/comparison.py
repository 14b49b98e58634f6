"""Contenders side by side on the same windows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from lepton_rl.core.errors import ConfigError, StateError
from lepton_rl.core.naming import did_you_mean
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.evaluate.contenders import Contender, HeuristicContender
from lepton_rl.evaluate.metrics import Metrics, measure, metric_info
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
    """

    headline: str
    backfill: Backfill
    windows: tuple[str, ...]
    bootstrap: Bootstrap
    results: tuple[Result, ...]
    pairs: tuple[Pair, ...]

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
) -> Comparison:
    """Let each contender schedule each window.

    Args:
        contenders: names differ; a `HeuristicContender` is a heuristic, all others are learned.
        windows: at least one.
        backfill: who may overtake a blocked task.
        cluster: starts idle in each window; by default the windows' own.
        headline: metric that ranks; one that is averaged over windows.
        bootstrap: how to make the intervals.
        progress: told after each schedule.

    Raises:
        ConfigError: nothing to compare, names that repeat, an unfit headline, or windows that were
            not described for the cluster.
        StateError: a contender returned something that is no schedule of its window; the message
            names it.
    """
    _check_request(contenders, windows, headline)
    for window in windows:
        check_cluster(window, cluster or window.cluster)
    total = len(contenders) * len(windows)
    results: list[Result] = []
    for contender in contenders:
        per_window: list[Metrics] = []
        for window in windows:
            per_window.append(_measured(contender, window, cluster or window.cluster, backfill))
            if progress is not None:
                done = len(results) * len(windows) + len(per_window)
                progress(done, total, f"{contender.name} on {window.name}")
        is_heuristic = isinstance(contender, HeuristicContender)
        results.append(Result(contender.name, is_heuristic, tuple(per_window)))
    ranked = tuple(_ranked(results, headline))
    bootstrap = bootstrap or Bootstrap()
    names = tuple(window.name for window in windows)
    pairs = tuple(_pairs(ranked, headline, bootstrap))
    return Comparison(headline, backfill, names, bootstrap, ranked, pairs)


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


def _measured(
    contender: Contender, window: Workload, cluster: Cluster, backfill: Backfill
) -> Metrics:
    try:
        return measure(contender.schedule(window, cluster, backfill), window, cluster)
    except StateError as error:
        raise StateError(f"{contender.name} on {window.name}: {error}") from error


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
