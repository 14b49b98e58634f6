"""Predictions switched on by configuration: everything that reads a workload has them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from lepton_rl.cli import main
from lepton_rl.commands.inputs import environment_for
from lepton_rl.commands.train import train_config
from lepton_rl.core.errors import ConfigError
from lepton_rl.core.settings import load_settings
from lepton_rl.envs.config import EnvironmentConfig, WorkloadConfig
from lepton_rl.envs.episodes import Episodes, load_workload
from lepton_rl.policies.registry import rule_of
from lepton_rl.prediction import PredictionConfig, predicted_workload
from lepton_rl.sim.replay import replay
from lepton_rl.workloads.swf import read_swf

PREDICTION = {"kind": "last-two", "estimate": "median"}


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    """400 tasks of three users who ask for far too much."""
    rng = np.random.default_rng(5)
    rows = []
    submit = np.sort(rng.integers(0, 40_000, 400))
    for number in range(400):
        user, size = int(rng.integers(1, 4)), int(rng.choice([1, 2, 8]))
        run = user * 100 + int(rng.integers(1, 60))
        fields = [number + 1, submit[number], 0, run, size, -1, -1, size, 3600, -1, 1, user]
        rows.append(" ".join(str(each) for each in [*fields, *[-1] * 6]))
    path = tmp_path / "users.swf"
    path.write_text("; MaxProcs: 16\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def config(trace: Path, tmp_path: Path) -> str:
    """A training configuration that switches predictions on."""
    workload = {"source": str(trace), "prediction": PREDICTION}
    path = tmp_path / "config.yaml"
    path.write_text(yaml.safe_dump({"environment": {"workload": workload}}), encoding="utf-8")
    return str(path)


def test_yaml_and_python_see_the_same(trace: Path, config: str) -> None:
    by_yaml = load_workload(environment_for(config).workload)
    plain = read_swf(trace)
    by_python = predicted_workload(plain, PredictionConfig.model_validate(PREDICTION))

    assert (by_yaml.tasks == by_python.tasks).all()
    assert by_yaml.user_requested_us is not None
    assert (by_yaml.user_requested_us == plain.tasks["requested_us"]).all()
    ours, theirs, users = (
        replay(each.tasks, each.run_us, each.cluster, rule_of("sjf+easy")).start_us
        for each in (by_yaml, by_python, plain)
    )
    assert (ours == theirs).all()
    assert (ours != users).any()


def test_by_override(trace: Path, config: str) -> None:
    overrides = [f"environment.workload.prediction.{name}={v}" for name, v in PREDICTION.items()]
    of_trace, of_yaml = environment_for(str(trace), overrides), environment_for(config)

    assert of_trace.workload == of_yaml.workload
    off = environment_for(config, ["environment.workload.prediction.kind=user-estimate"])
    assert load_workload(off.workload).user_requested_us is None


def test_training_on_another_trace_keeps_them(config: str) -> None:
    settings = train_config(config, [], "other.swf", seed=None, device=None)

    assert settings.environment.workload.source.endswith("other.swf")
    assert settings.environment.workload.prediction.kind == "last-two"


def test_predictions_have_the_history_from_before_a_window(config: str) -> None:
    environment = environment_for(config).model_copy(update={"episode_tasks": 20})
    whole = load_workload(environment.workload)
    episodes = Episodes.of(environment)

    assert (episodes.workload.tasks == whole.tasks).all()
    window = whole.window(300, 20)
    assert window.user_requested_us is not None
    assert (window.tasks["requested_us"] < window.user_requested_us).all()


def test_predicting_again_begins_with_what_users_asked_for(config: str, trace: Path) -> None:
    seen = load_workload(environment_for(config).workload)

    other = predicted_workload(seen, PredictionConfig(kind="class-quantiles"))
    back = predicted_workload(other, PredictionConfig())

    fresh = predicted_workload(read_swf(trace), PredictionConfig(kind="class-quantiles"))
    assert other.name == fresh.name == "users+class-quantiles"
    assert (other.tasks == fresh.tasks).all()
    assert (back.name, back.user_requested_us) == ("users", None)
    assert (back.tasks == read_swf(trace).tasks).all()


def test_by_default_there_is_none() -> None:
    assert WorkloadConfig().prediction.kind == "user-estimate"
    assert load_workload(WorkloadConfig(settings={"num_tasks": 10})).user_requested_us is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"kinds": "last-two"}, r"workload\.prediction\.kinds'; did you mean 'kind'"),
        ({"kind": "last-tow"}, r"workload\.prediction\.kind: .*got 'last-tow'"),
        ({"quantile": 1.0}, r"workload\.prediction\.quantile: .*got 1"),
    ],
)
def test_wrong_settings(settings: dict[str, object], message: str) -> None:
    data = {"workload": {"prediction": settings}}
    with pytest.raises(ConfigError, match=message):
        load_settings(EnvironmentConfig, data, "environment")


def test_describing_says_how_good_they_are(
    config: str, trace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def estimates(*arguments: str) -> dict[str, dict[str, float]]:
        assert main(["workload", "describe", *arguments, "--json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert (found["name"], found["overrun"]) == ("users", 0.0)
        return dict(found["estimates"])

    without, with_prediction = estimates(str(trace)), estimates(config)

    assert list(without) == ["user-estimate"]
    assert list(with_prediction) == ["user-estimate", "last-two"]
    assert with_prediction["user-estimate"] == without["user-estimate"]
    users, predicted = with_prediction.values()
    assert users["underestimated"] == 0 < predicted["underestimated"]
    assert predicted["accuracy"] > 0.5 > users["accuracy"]
    assert predicted["mean_absolute_error_s"] < users["mean_absolute_error_s"]


def test_simulating_and_evaluating(
    config: str, trace: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The commands schedule by predictions, and say so in the workload's name."""

    def slowdown(workload: str, *more: str) -> float:
        command = ["simulate", "--workload", workload, "--policy", "sjf", "--json", *more]
        assert main(command) == 0
        return float(json.loads(capsys.readouterr().out)["mean_bounded_slowdown"])

    by_flags = [f"--set=environment.workload.prediction.{k}={v}" for k, v in PREDICTION.items()]
    assert slowdown(config) == slowdown(str(trace), *by_flags) != slowdown(str(trace))

    command = ["evaluate", "--workload", config, "--length", "40", "--heuristic", "sjf", "--json"]
    assert main([*command, "--heuristic", "fcfs"]) == 0
    assert "users+last-two" in capsys.readouterr().out
