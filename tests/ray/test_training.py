"""Training over Ray: trials side by side, and processes that train one network."""

from __future__ import annotations

from pathlib import Path

import pytest

from lepton_rl.agents.config import TrainConfig
from lepton_rl.agents.over_ray import trained_along, trials_over_ray
from lepton_rl.agents.sweep import parse_parameter, sweep
from lepton_rl.agents.training import train
from lepton_rl.core.errors import ConfigError
from lepton_rl.policies.learned import load_policy
from tests.trained import ENVIRONMENT, TRAINING

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("nodes")]


def test_trials_side_by_side_give_what_they_give_alone(tmp_path: Path) -> None:
    searched = [parse_parameter("ppo.epochs=1|2")]
    with trials_over_ray(2) as run:
        study = sweep(TRAINING, "test", tmp_path / "ray", 2, searched, run=run, jobs=2)

    for trial in study.trials:
        settings = TrainConfig.model_validate(TRAINING)
        epochs = int(trial.params["ppo.epochs"])
        own = settings.model_copy(
            update={"ppo": settings.ppo.model_copy(update={"epochs": epochs})}
        )
        alone = train(own, tmp_path / f"alone-{trial.number}")
        assert alone is not None
        assert trial.value == pytest.approx(alone.best_metric, rel=1e-6)


def test_a_trial_that_fails_on_ray_counts_as_failed(tmp_path: Path) -> None:
    searched = [parse_parameter("test_windows=3|4")]
    nowhere = {**ENVIRONMENT, "workload": {"source": str(tmp_path / "missing.swf")}}
    with trials_over_ray(1) as run, pytest.raises(ConfigError, match="every trial failed"):
        sweep({**TRAINING, "environment": nowhere}, "x", tmp_path, 1, searched, run=run)


def test_a_process_on_ray_trains_along(tmp_path: Path) -> None:
    config = TrainConfig.model_validate(TRAINING)
    with trained_along(config, tmp_path / "two", 1, resume=False):
        two = train(config, tmp_path / "two")
    one = train(config, tmp_path / "one")

    assert one is not None
    assert two is not None
    assert two.steps >= config.total_steps
    assert (
        load_policy(two.policy_path).artifact.sha256 != load_policy(one.policy_path).artifact.sha256
    )


def test_more_processes_than_cores_are_refused(tmp_path: Path) -> None:
    config = TrainConfig.model_validate(TRAINING)
    with (
        pytest.raises(ConfigError, match="--ray-workers: 10000 cores are needed"),
        trained_along(config, tmp_path, 10_000, resume=False),
    ):
        pass


def test_evolution_trains_alone(tmp_path: Path) -> None:
    config = TrainConfig.model_validate({**TRAINING, "method": "evolution"})
    with (
        pytest.raises(ConfigError, match="method evolution trains in one process"),
        trained_along(config, tmp_path, 1, resume=False),
    ):
        pass
