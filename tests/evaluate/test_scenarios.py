"""The protocol `scenarios`: what it compares, and that its figures are those of the schedules."""

from __future__ import annotations

import json

import numpy as np
import pytest

from lepton_rl.core.errors import ConfigError
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.envs import ENVIRONMENTS
from lepton_rl.evaluate.catalogue import PROTOCOLS
from lepton_rl.evaluate.contenders import HeuristicContender
from lepton_rl.evaluate.metrics import METRICS, measure
from lepton_rl.evaluate.scenario_tables import scenario_json, scenario_text
from lepton_rl.evaluate.scenarios import (
    BASELINE,
    HEADLINES,
    SCENARIOS_VERSION,
    ScenarioEvaluation,
    efficiency,
    evaluate_scenario,
    heuristics_of,
)
from lepton_rl.evaluate.statistics import Bootstrap
from lepton_rl.evaluate.stress import SCALES
from lepton_rl.policies.registry import rule_of
from lepton_rl.workloads.scenarios.registry import SCENARIOS
from lepton_rl.workloads.sources import open_workload

OBJECTIVES = {"mean_turnaround_s": "turnaround", "deadline_misses": "deadlines"}


@pytest.fixture(scope="module", params=["load-balancing", "edge"])
def found(request: pytest.FixtureRequest) -> ScenarioEvaluation:
    bootstrap = Bootstrap(resamples=200)
    return evaluate_scenario(request.param, bootstrap=bootstrap, windows=3, length=200)


def test_every_scenario_is_ranked_by_the_objective_of_its_environment() -> None:
    objectives = {
        settings["workload"]["source"]: settings.get("objective")
        for settings in ENVIRONMENTS.values()
    }
    assert set(HEADLINES) == set(SCENARIOS)
    for name, headline in HEADLINES.items():
        assert headline in METRICS
        assert objectives[name] == OBJECTIVES[headline]
        assert BASELINE in heuristics_of(name)
        assert ("edf" in heuristics_of(name)) == (headline == "deadline_misses")
    assert PROTOCOLS["scenarios"].version == SCENARIOS_VERSION


def test_figures_are_those_of_the_schedules(found: ScenarioEvaluation) -> None:
    comparison, name = found.comparison, found.scenario.name
    whole = open_workload(name, settings={"num_tasks": 40_000})
    assert min(found.evaluation.protocol.starts) >= 32_000, "the test split"
    windows = found.evaluation.protocol.windows(whole)
    metrics = []
    for window in windows:
        contender = HeuristicContender("sjf", rule_of("sjf"))
        schedule = contender.schedule(window, window.cluster, Backfill.EASY)
        metrics.append(measure(schedule, window, window.cluster))
    result = comparison.result("sjf")
    headline = [getattr(each, comparison.headline) for each in metrics]
    np.testing.assert_allclose(result.values(comparison.headline), headline)
    waits, turnarounds = (
        np.mean([getattr(each, field) for each in metrics])
        for field in ("mean_wait_s", "mean_turnaround_s")
    )
    assert efficiency(result) == pytest.approx(1 - waits / turnarounds)
    calm = next(each.calm for each in found.stability if each.name == "sjf")
    assert calm == pytest.approx(np.mean(headline))
    assert found.differences["sjf"].difference == pytest.approx(
        np.mean(headline) - comparison.result(BASELINE).figure(comparison.headline)
    )


def test_all_four_figures_are_told(found: ScenarioEvaluation) -> None:
    document = scenario_json(found)
    json.dumps(document, allow_nan=False)
    names = set(heuristics_of(found.scenario.name))
    assert set(document["efficiency"]) == {each["name"] for each in document["stability"]} == names
    assert {each["name"] for each in document["against_baseline"]} == names - {BASELINE}
    assert {each["scale"] for each in document["scalability"]} == set(SCALES)
    for contender in document["settings"][0]["contenders"]:
        assert contender["figures"]["energy_kwh"] > 0
        assert 0 < contender["figures"]["utilisation"] <= 1
    text = scenario_text(found)
    for word in ("efficiency [%]", "energy [kWh]", "stability", "scalability", "against fcfs"):
        assert word in text


def test_an_unknown_scenario_names_no_workload() -> None:
    with pytest.raises(ConfigError, match="did you mean 'edge'"):
        open_workload("egde")
