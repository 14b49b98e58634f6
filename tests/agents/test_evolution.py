"""Evolution of a log-linear priority: its parts, and that it learns."""

from __future__ import annotations

from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lepton_rl.agents.config import EvolutionConfig, TrainConfig
from lepton_rl.agents.evolution import Evolution, Generation
from lepton_rl.agents.fitness import Outcomes, Schedules, loss
from lepton_rl.agents.linear import HEADROOMS, TASK_STARTS, LinearNetwork, LinearWeights
from lepton_rl.agents.mixture import Mixture
from lepton_rl.agents.natural_evolution import utilities
from lepton_rl.agents.training import train
from lepton_rl.agents.validation import Validator
from lepton_rl.core.errors import ConfigError
from lepton_rl.encoding.features import CLUSTER_FEATURES, TASK_FEATURES
from lepton_rl.envs.config import EnvironmentConfig
from lepton_rl.envs.episodes import Episodes
from lepton_rl.policies.learned import load_policy
from lepton_rl.policies.spec import rule_of
from tests.episodes import on_pool, simulator
from tests.trained import ENVIRONMENT, TRAINING

STARTS = [0, 50, 100, 200]


def schedules(**settings: Any) -> Schedules:
    config = EnvironmentConfig.model_validate({**ENVIRONMENT, "slots": 24, **settings})
    return Schedules(config, Episodes.of(config))


def outcomes(cost: list[float], p95: list[float], longest: list[float]) -> Outcomes:
    return Outcomes(np.array(cost), np.array(p95), np.array(longest))


@pytest.mark.parametrize("backfill", ["none", "easy"])
@pytest.mark.parametrize("order", ["sjf", "saf", "fcfs"])
def test_linear_starts_schedule_as_the_heuristics_do(order: str, backfill: str) -> None:
    windows = schedules(backfill=backfill)
    ours = windows.under_score(LinearWeights.named(TASK_STARTS[order]), STARTS)
    theirs = windows.under_rule(rule_of(f"{order}+{backfill}"), STARTS)
    np.testing.assert_allclose(ours.cost, theirs.cost, rtol=1e-12)
    np.testing.assert_array_equal(ours.p95_wait_s, theirs.p95_wait_s)
    np.testing.assert_array_equal(ours.longest_wait_s, theirs.longest_wait_s)


@pytest.mark.parametrize("may_wait", [False, True])
@pytest.mark.parametrize("num_holds", [0, 3])
def test_compiled_score_and_network_make_the_same_schedules(num_holds: int, may_wait: bool) -> None:
    draw = np.random.default_rng(0).normal
    num_task, num_cluster = len(TASK_FEATURES), len(CLUSTER_FEATURES)
    weights = LinearWeights(
        draw(size=(num_task, 1 + num_cluster)),
        LinearWeights.named({}).nodes,
        draw(size=(num_holds, 1 + num_task + num_cluster)),
    )
    config = EnvironmentConfig.model_validate({**ENVIRONMENT, "may_wait": may_wait})
    validator = Validator(config, Episodes.of(config), 6)
    metric, _ = validator.run(LinearNetwork(weights))
    compiled = Schedules(config, validator.episodes).under_score(weights, validator.starts())
    np.testing.assert_allclose(compiled.cost, metric, rtol=1e-12)


def test_weights_survive_being_flat() -> None:
    weights = LinearWeights.named(TASK_STARTS["saf"], {"relief": 1.0}, num_holds=2)
    again = weights.like(weights.flat(with_nodes=True) + 1.0)
    np.testing.assert_array_equal(again.tasks, weights.tasks + 1.0)
    np.testing.assert_array_equal(again.holds, weights.holds + 1.0)
    np.testing.assert_array_equal(again.nodes, weights.nodes + 1.0)
    assert not weights.like(weights.flat(with_nodes=False)).nodes.any()


@pytest.mark.parametrize(("headroom", "starts"), [(0, [0, 0]), (1, [60, 0])])
def test_a_hold_keeps_the_last_nodes_free_of_long_tasks(headroom: int, starts: list[int]) -> None:
    """Of 100 processors 97 run something short; only a task of minutes may have one of the rest."""
    tasks = [(0, 97, 60), (0, 1, 10_000), (0, 1, 30)]
    sim = simulator(on_pool(100, *tasks), may_wait=True)
    weights = LinearWeights.named(
        TASK_STARTS["saf, backfilling"], holds=[HEADROOMS["narrow"]] * headroom
    )
    sim.play(0, 0, weights.tasks, weights.nodes, weights.holds)
    started_us = sim.sim.first_start_us[0]
    assert (started_us[1:] / 1_000_000).tolist() == starts


def test_schedules_refuse_other_weights() -> None:
    wrong = LinearWeights(np.zeros((3, 1)), np.zeros(2), np.zeros((0, 4)))
    with pytest.raises(ConfigError, match="expected weights of tasks, nodes and holds"):
        schedules().under_score(wrong, STARTS)


def test_loss_by_hand() -> None:
    reference = outcomes([1.0, 3.0], [100.0, 300.0], [500.0, 500.0])
    assert loss(reference, reference, 1.0) == 0.0
    better = outcomes([1.0, 1.0], [0.0, 0.0], [0.0, 0.0])  # shorter tails earn nothing
    expected = 0.5 * (np.log(1 / 2) + np.log(2 / 3))
    assert loss(better, reference, 1.0) == pytest.approx(expected)
    longer = outcomes([1.0, 3.0], [200.0, 720.0], [500.0, 500.0])
    assert loss(longer, reference, 2.0) == pytest.approx(2.0 * np.log(520 / 260))
    of_seconds = loss(longer, reference, 2.0, least_wait_s=5.0)
    assert of_seconds == pytest.approx(2.0 * np.log(465 / 205))


@pytest.mark.parametrize(("source", "below_s"), [("load-balancing", 0.2), ("ml-platform", 60.0)])
def test_waits_are_compared_on_the_scale_of_the_tasks_and_no_coarser_than_a_minute(
    source: str, below_s: float
) -> None:
    workload = {"source": source, "settings": {"num_tasks": 1000}}
    config = EnvironmentConfig.model_validate({"workload": workload, "episode_tasks": 64})
    episodes = Episodes.of(config)
    requested_s = episodes.workload.tasks["requested_us"][:600].mean() / 1e6  # training split
    found = Schedules(config, episodes).least_wait_s
    assert found == pytest.approx(min(60.0, requested_s))
    assert found <= below_s


def test_utilities_are_by_rank_and_sum_to_nothing() -> None:
    share = utilities(np.array([3.0, -1.0, 100.0, 2.0]))
    assert share.sum() == pytest.approx(0.0)
    assert list(np.argsort(-share, kind="stable")) == [1, 3, 0, 2]
    np.testing.assert_array_equal(share, utilities(np.array([0.3, -9.0, 0.4, 0.1])))


def evolved(seed: int, decisions: int = 40_000) -> tuple[Evolution, list[Generation]]:
    told: list[Generation] = []
    validation = schedules(split="validation")
    config = EvolutionConfig(pairs=4, windows=8, tail_weight=0.0)
    reference = rule_of("fcfs")
    evolution = Evolution(
        config,
        Mixture([schedules()], reference, config.tail_weight),
        Mixture([validation], reference, config.tail_weight),
        [[360, 400, 440]],
        seed,
    )
    evolution.run(decisions, told.append)
    return evolution, told


def test_evolution_keeps_the_best_and_repeats_itself() -> None:
    evolution, told = evolved(seed=0)
    losses = [each.validation_loss for each in told]
    assert evolution.best.loss <= min(losses)
    assert told[-1].decisions >= 40_000 > told[-2].decisions
    again, _ = evolved(seed=0)
    for mine, theirs in zip(
        astuple(evolution.best.weights), astuple(again.best.weights), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)
    assert not np.array_equal(evolved(seed=1)[1][0].training_loss, told[0].training_loss)


def test_without_interactions_the_cluster_does_not_count() -> None:
    evolution, _ = evolved(seed=0)
    assert not evolution.best.weights.tasks[:, 1:].any()


def test_the_distribution_moves_to_better_orders() -> None:
    """Candidates beat fcfs by more at the end than at the start, without any cost of tails."""
    _, told = evolved(seed=0, decisions=120_000)
    losses = [each.training_loss for each in told]
    assert np.mean(losses[-5:]) < np.mean(losses[:5])


def test_workloads_of_a_mixture_count_alike() -> None:
    other = {"workload": {**ENVIRONMENT["workload"], "seed": 5}}
    reference = rule_of("fcfs")
    members = [schedules(), schedules(**other)]
    mixture = Mixture(members, reference, 0.5)
    windows = mixture.at([STARTS, STARTS[:1]])
    weights = LinearWeights.named(TASK_STARTS["saf"])
    found = mixture.loss(mixture.under_score(weights, windows), windows)
    alone = [
        loss(each.under_score(weights, starts), each.under_rule(reference, starts), 0.5)
        for each, starts in zip([schedules(), schedules(**other)], windows.starts, strict=True)
    ]
    assert alone[0] != alone[1]
    assert found == pytest.approx(np.mean(alone))
    assert mixture.decisions == sum(each.decisions for each in members) > 0


def test_a_mixture_draws_as_many_windows_of_each_workload() -> None:
    members = [schedules(), schedules(split="validation")]
    windows = Mixture(members, rule_of("fcfs"), 0.0).drawn(np.random.default_rng(0), 5)
    for member, starts, goal in zip(members, windows.starts, windows.goals, strict=True):
        assert len(starts) == len(goal.cost) == 5
        last = member.episodes.split.last - member.episodes.length + 1
        assert member.episodes.split.first <= min(starts) <= max(starts) <= last


@pytest.mark.parametrize(("waited_s", "starts_s"), [(0, 3600), (7200, 0)])
def test_a_waning_hold_lets_go_of_who_has_waited(waited_s: int, starts_s: int) -> None:
    """95 of 100 processors are in use; a task of 3 hours wants one of the last 5."""
    tasks = [(0, 100, waited_s), (0, 1, 10_800), (waited_s, 95, 3600)][waited_s == 0 :]
    sim = simulator(on_pool(100, *tasks), may_wait=True)
    weights = LinearWeights.named({"fits": 3.0, "share": 1.0}, holds=[HEADROOMS["narrow, waning"]])
    sim.play(0, 0, weights.tasks, weights.nodes, weights.holds)
    long = [run for _, _, run in tasks].index(10_800)
    assert sim.sim.first_start_us[0, long] == 1_000_000 * (waited_s + starts_s)


@pytest.mark.parametrize("named", ["also_train_on", "also_validate_on"])
def test_a_run_on_several_workloads(tmp_path: Path, named: str) -> None:
    settings = {**TRAINING, "method": "evolution", "total_steps": 2000, "reference": "saf"}
    found = []
    for workloads in ([], [{**ENVIRONMENT["workload"], "seed": 5}]):
        settings["evolution"] = {"pairs": 2, "windows": 4, named: workloads}
        told: list[str] = []
        folder = tmp_path / str(len(workloads))
        config = TrainConfig.model_validate(settings)
        trained = train(config, folder, report=lambda _, what, to=told: to.append(what))
        assert trained is not None
        found.append(told)
    assert found[0] != found[1]
    names = trained.manifest.training["also_trained_on"]
    assert names == (["lublin"] if named == "also_train_on" else [])


def test_a_run_exports_a_policy(tmp_path: Path) -> None:
    settings = {**TRAINING, "method": "evolution", "total_steps": 4000, "reference": "saf"}
    settings["environment"] = {**ENVIRONMENT, "may_wait": True}
    settings["evolution"] = {"pairs": 2, "windows": 4, "interactions": 0.3, "holds": 2}
    config = TrainConfig.model_validate(settings)
    reports: list[int] = []
    trained = train(config, tmp_path, report=lambda steps, _: reports.append(steps))
    assert trained is not None
    assert trained.steps >= 4000 == reports[-1]
    assert trained.best_steps <= trained.steps
    assert load_policy(trained.policy_path).name == trained.manifest.name == "tiny"
    with pytest.raises(ConfigError, match="no checkpoints"):
        train(config, tmp_path, resume=True)
