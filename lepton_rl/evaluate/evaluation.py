"""Running a protocol on a workload."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lepton_rl.core.rules.dispatch import DispatchRule
from lepton_rl.evaluate.cells import Runner, run_serially
from lepton_rl.evaluate.comparison import HEADLINE, Comparison, Progress, compare
from lepton_rl.evaluate.contenders import Contender, HeuristicContender
from lepton_rl.evaluate.hindsight import SEARCHED, Hindsight
from lepton_rl.evaluate.protocols import EvaluationProtocol, Quoted, Setting
from lepton_rl.evaluate.statistics import Bootstrap
from lepton_rl.policies.registry import BASELINES, rule_of
from lepton_rl.workloads.workload import Workload

__all__ = ["Evaluation", "evaluate"]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Results of one protocol on one workload.

    Attributes:
        protocol: what was run.
        workload: its name.
        comparisons: one a setting, in the protocol's order.
    """

    protocol: EvaluationProtocol
    workload: str
    comparisons: tuple[tuple[Setting, Comparison], ...]

    def comparison(self, setting: str) -> Comparison:
        """The comparison under the setting of this name."""
        return next(each for key, each in self.comparisons if key.name == setting)

    def quoted(self, setting: str) -> tuple[Quoted, ...]:
        """Figures of others for this workload and setting, if they are of the headline metric."""
        headline = self.comparison(setting).headline
        return tuple(
            quoted
            for quoted in self.protocol.quoted
            if (quoted.workload, quoted.setting, quoted.metric)
            == (self.workload, setting, headline)
        )


def evaluate(
    protocol: EvaluationProtocol,
    workload: Workload,
    heuristics: Mapping[str, DispatchRule] | None = None,
    learned: Sequence[Contender] = (),
    *,
    headline: str = HEADLINE,
    bootstrap: Bootstrap | None = None,
    progress: Progress | None = None,
    runner: Runner = run_serially,
    hindsight: Hindsight | None = None,
) -> Evaluation:
    """Run every contender in every window under every setting of `protocol`.

    Args:
        protocol: see `lepton_rl.evaluate.protocols`.
        workload: long enough for it; its own cluster is used.
        heuristics: name -> rule; the setting replaces its backfilling and `blocking`. By default
            all of `lepton_rl.policies.registry.BASELINES`.
        learned: policies; they schedule by standard rules, so settings with `blocking` are run
            without them.
        headline: metric that ranks.
        bootstrap: how to make the intervals.
        progress: told after each schedule, of all settings together.
        runner: where schedules are made; figures do not depend on it.
        hindsight: how long to search for what could be done at best; None for not at all.

    Raises:
        ConfigError: nothing to compare, repeated names, or an unknown metric.
        WorkloadError: the workload is too short.
        StateError: a task can never start, or a contender's schedule is none.
    """
    windows = protocol.windows(workload)
    if heuristics is None:
        heuristics = {name: rule_of(name) for name in BASELINES}
    fields = [_field(setting, heuristics, learned) for setting in protocol.settings]
    extra = 1 if hindsight is not None and headline in SEARCHED else 0
    total = sum(len(field) + extra for field in fields) * len(windows)
    comparisons = []
    done = 0
    for setting, contenders in zip(protocol.settings, fields, strict=True):
        comparison = compare(
            contenders,
            windows,
            backfill=setting.backfill,
            headline=headline,
            bootstrap=bootstrap,
            progress=_shifted(progress, done, total, setting.title),
            runner=runner,
            hindsight=hindsight,
        )
        comparisons.append((setting, comparison))
        done += (len(contenders) + extra) * len(windows)
    return Evaluation(protocol, workload.name, tuple(comparisons))


def _field(
    setting: Setting, heuristics: Mapping[str, DispatchRule], learned: Sequence[Contender]
) -> list[Contender]:
    """Who takes part in a setting."""
    rules = {name: rule._replace(blocking=setting.blocking) for name, rule in heuristics.items()}
    baselines = [HeuristicContender(name, rule) for name, rule in rules.items()]
    return [*baselines, *(() if setting.blocking else learned)]


def _shifted(progress: Progress | None, before: int, total: int, title: str) -> Progress | None:
    """Counts of one setting as counts of all of them."""
    if progress is None:
        return None
    return lambda done, _, what: progress(before + done, total, f"{what}, {title}")
