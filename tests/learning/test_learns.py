"""A short real training run learns something: its policy schedules better than what it began as."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

from lepton_rl.agents import training
from lepton_rl.agents.config import TrainConfig
from lepton_rl.agents.networks import PriorityNetwork
from lepton_rl.agents.training import train
from lepton_rl.agents.validation import Validator
from lepton_rl.commands.inputs import raw_config
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.settings import load_settings
from lepton_rl.envs.episodes import Episodes, load_workload
from lepton_rl.evaluate import HeuristicContender, measure
from lepton_rl.policies.registry import rule_of
from lepton_rl.workloads.workload import Workload

DECISIONS = 245_760  # 30 updates


def settings() -> TrainConfig:
    """The default configuration, stopped after two fifths of its decisions."""
    config = load_settings(TrainConfig, raw_config("hpc"), "hpc")
    return config.model_copy(update={"total_steps": DECISIONS, "device": "cpu"})


def on_validation(config: TrainConfig, workload: Workload) -> tuple[Validator, list[Workload]]:
    """The windows of the validation split that choose among checkpoints."""
    environment = config.environment.model_copy(update={"split": "validation"})
    validator = Validator(
        environment, Episodes.of(environment, workload), config.validation.windows
    )
    length = environment.episode_tasks
    return validator, [workload.window(first, length) for first in validator.starts().tolist()]


def mean_under(order: str, windows: list[Workload]) -> float:
    contender = HeuristicContender(order, rule_of(order))
    schedules = [contender.schedule(each, each.cluster, Backfill.NONE) for each in windows]
    metrics = [measure(s, w, w.cluster) for s, w in zip(schedules, windows, strict=True)]
    return float(np.mean([each.mean_bounded_slowdown for each in metrics]))


@pytest.mark.slow
def test_a_short_run_beats_its_teacher_and_the_simple_orders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings()
    workload = load_workload(config.environment.workload)
    validator, windows = on_validation(config, workload)
    warm_start: list[float] = []
    imitate = training.imitate

    def measured(network: PriorityNetwork, *rest: object) -> float:
        agreement = imitate(network, *rest)  # type: ignore[arg-type]
        warm_start.append(float(np.mean(validator.run(network)[0])))
        return agreement

    monkeypatch.setattr(training, "imitate", measured)
    began = time.process_time()

    trained = train(config, tmp_path, workload=workload)

    seconds = time.process_time() - began
    fcfs, sjf = mean_under("fcfs", windows), mean_under("sjf", windows)
    told = f"{trained.best_metric=:.2f} {warm_start=} {fcfs=:.2f} {sjf=:.2f} {seconds=:.0f}"
    print(told)
    assert trained.best_steps > 0, told
    assert trained.best_metric < 0.8 * warm_start[0], told
    assert trained.best_metric < 0.8 * sjf, told
    assert trained.best_metric < 0.2 * fcfs, told
