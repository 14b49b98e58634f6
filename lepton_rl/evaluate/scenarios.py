"""The protocol `scenarios`: four figures and the energy of heuristics in each scenario.

    resource utilisation   `Metrics.utilisation`, of the busiest kind of resource
    execution efficiency   1 - mean wait / mean turnaround: the share of their time in the system
                           that tasks run
    stability              the headline with lost nodes and with a burst (`evaluate.stress`), beside
                           the calm one
    scalability            the headline and the real time of a decision on 1, 2, 4 and 8 times the
                           cluster with as many copies of the tasks
    energy                 `Metrics.energy_kwh`

The workload of each scenario is its default with seed 0 and 40,000 tasks; windows are of its test
split. Everybody is compared with the baseline by paired differences over the windows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.evaluate.cells import Runner, run_serially
from lepton_rl.evaluate.comparison import Comparison, Progress
from lepton_rl.evaluate.contenders import HeuristicContender
from lepton_rl.evaluate.evaluation import Evaluation, evaluate
from lepton_rl.evaluate.metrics import deadline_misses, turnarounds_s
from lepton_rl.evaluate.protocols import EvaluationProtocol, heldout
from lepton_rl.evaluate.results import Result
from lepton_rl.evaluate.statistics import Bootstrap, PairedDifference, paired_difference
from lepton_rl.evaluate.stress import (
    FigureOf,
    Scaled,
    Stability,
    measure_scaling,
    measure_stability,
)
from lepton_rl.policies.registry import rule_of
from lepton_rl.workloads.scenarios.registry import SCENARIOS, Scenario
from lepton_rl.workloads.sources import open_workload
from lepton_rl.workloads.workload import Workload

__all__ = [
    "BASELINE",
    "HEADLINES",
    "SCENARIOS_VERSION",
    "ScenarioEvaluation",
    "efficiency",
    "evaluate_scenario",
    "heuristics_of",
]

SCENARIOS_VERSION = 2
"""Counts up when figures under the name of the protocol would change."""

BASELINE = "fcfs"
"""What the others are compared with: order of arrival, first node that has room."""

_BACKFILL: Final = Backfill.EASY
_NUM_TASKS = 40_000
_WINDOWS = 8
_LENGTH = 1000

HEADLINES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "ml-platform": "mean_turnaround_s",
        "autonomous-driving": "deadline_misses",
        "virtualisation": "mean_turnaround_s",
        "load-balancing": "mean_turnaround_s",
        "stream-processing": "deadline_misses",
        "edge": "deadline_misses",
    }
)
"""Scenario -> metric that ranks; the objective of its environment."""

_COLUMNS = ("p95_turnaround_s", "utilisation", "energy_kwh")
_ANYWHERE = (
    BASELINE,
    "fcfs+best-fit",
    "fcfs+least-loaded",
    "fcfs+fgd",
    "fcfs+fastest",
    "sjf",
    "sjf+least-loaded",
    "sjf+fastest",
    "saf",
    "saf+fastest",
)
_WITH_DEADLINES = ("edf", "edf+least-loaded", "edf+fastest", "least-slack")
_FIGURES: Final[Mapping[str, FigureOf]] = MappingProxyType(
    {
        "mean_turnaround_s": lambda schedule, _: float(turnarounds_s(schedule).mean()),
        "deadline_misses": deadline_misses,
    }
)


@dataclass(frozen=True, slots=True)
class ScenarioEvaluation:
    """What the heuristics achieved in one scenario.

    Attributes:
        scenario: which.
        evaluation: every heuristic on the windows, ranked by the headline.
        differences: heuristic -> its headline against that of the baseline, without the baseline.
        stability: of every heuristic, by the headline.
        scaling: of the baseline and of whoever ranks first.
    """

    scenario: Scenario
    evaluation: Evaluation
    differences: Mapping[str, PairedDifference]
    stability: tuple[Stability, ...]
    scaling: tuple[Scaled, ...]

    @property
    def comparison(self) -> Comparison:
        """Under the only setting."""
        ((_, comparison),) = self.evaluation.comparisons
        return comparison


def heuristics_of(name: str) -> tuple[str, ...]:
    """Specs of the heuristics that make sense in a scenario."""
    urgent = HEADLINES[name] == "deadline_misses"
    return (*_ANYWHERE, *(_WITH_DEADLINES if urgent else ()))


def efficiency(result: Result) -> float:
    """Share of their time in the system that tasks run, 0..1."""
    return 1 - result.figure("mean_wait_s") / result.figure("mean_turnaround_s")


def evaluate_scenario(
    name: str,
    *,
    bootstrap: Bootstrap | None = None,
    progress: Progress | None = None,
    runner: Runner = run_serially,
    windows: int = _WINDOWS,
    length: int = _LENGTH,
) -> ScenarioEvaluation:
    """Run the protocol on one scenario.

    Args:
        name: of the scenario.
        bootstrap: how to make the intervals.
        progress: told after each schedule of the comparison.
        runner: where schedules are made; figures do not depend on it.
        windows: of the test split; the protocol has 8.
        length: tasks of a window; the protocol has 1,000.
    """
    workload, headline = open_workload(name, settings={"num_tasks": _NUM_TASKS}), HEADLINES[name]
    protocol = _protocol(workload, windows, length)
    rules = {spec: rule_of(spec) for spec in heuristics_of(name)}
    bootstrap = bootstrap or Bootstrap()
    evaluation = evaluate(
        protocol, workload, rules, headline=headline, bootstrap=bootstrap, progress=progress,
        runner=runner,
    )  # fmt: skip
    ((_, comparison),) = evaluation.comparisons
    contenders = [HeuristicContender(each.name, rules[each.name]) for each in comparison.results]
    chosen = [each for each in contenders if each.name in (BASELINE, contenders[0].name)]
    tested, figure = protocol.windows(workload), _FIGURES[headline]
    return ScenarioEvaluation(
        SCENARIOS[name],
        evaluation,
        _differences(comparison, bootstrap),
        tuple(measure_stability(contenders, tested, _BACKFILL, figure)),
        tuple(measure_scaling(chosen, tested[0], _BACKFILL, figure)),
    )


def _protocol(workload: Workload, windows: int, length: int) -> EvaluationProtocol:
    held = heldout(workload, length=length, count=windows, backfill=_BACKFILL)
    return EvaluationProtocol(
        name="scenarios",
        version=SCENARIOS_VERSION,
        starts=held.starts,
        length=length,
        settings=held.settings,
        remarks=(*held.remarks, "each window starts on an idle cluster"),
        columns=_COLUMNS,
    )


def _differences(comparison: Comparison, bootstrap: Bootstrap) -> dict[str, PairedDifference]:
    theirs = comparison.result(BASELINE).values(comparison.headline)
    return {
        each.name: paired_difference(each.values(comparison.headline), theirs, bootstrap=bootstrap)
        for each in comparison.results
        if each.name != BASELINE
    }
