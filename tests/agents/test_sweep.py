"""A sweep goes on where it stopped, and chooses by the validation windows."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from lepton_rl.agents import trial as module
from lepton_rl.agents.config import TrainConfig
from lepton_rl.agents.sweep import SEARCH, Parameter, parse_parameter, sweep
from lepton_rl.core.errors import ConfigError
from lepton_rl.core.settings import load_settings, read_yaml
from tests.trained import TRAINING

RATE = parse_parameter("ppo.learning_rate=1e-4:1e-2:log")


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[TrainConfig]:
    """Trials that take no time: the metric is the learning rate."""
    seen: list[TrainConfig] = []

    def quick(config: TrainConfig, *_: Any, **__: Any) -> Any:
        seen.append(config)
        return SimpleNamespace(best_metric=config.ppo.learning_rate, interrupted=False)

    monkeypatch.setattr(module, "train", quick)
    return seen


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ppo.epochs=2:8", Parameter("ppo.epochs", low=2, high=8)),
        ("a.b=1e-4:0.1:log", Parameter("a.b", low=1e-4, high=0.1, log=True)),
        ("reference=saf|f4+easy", Parameter("reference", ("saf", "f4+easy"))),
    ],
)
def test_what_can_be_searched(text: str, expected: Parameter) -> None:
    assert parse_parameter(text) == expected


@pytest.mark.parametrize(
    "text", ["x", "x=", "=1:2", "x=2:1", "x=0:1:log", "x=a:b", "x=1:2:3", "x=1"]
)
def test_what_cannot(text: str) -> None:
    with pytest.raises(ConfigError, match="expected name=low:high"):
        parse_parameter(text)


def test_what_is_searched_by_default_can_be_searched() -> None:
    assert len({parse_parameter(each).name for each in SEARCH}) == len(SEARCH)


def test_it_goes_on_where_it_stopped(tmp_path: Path, tried: list[TrainConfig]) -> None:
    first = sweep(TRAINING, "test", tmp_path, 3, [RATE])
    assert len(tried) == 3
    again = sweep(TRAINING, "test", tmp_path, 5, [RATE])

    assert len(tried) == 5
    assert len(again.trials) == 5
    assert again.best_value == min(each.ppo.learning_rate for each in tried) <= first.best_value
    assert len({each.ppo.learning_rate for each in tried}) == 5
    assert len(sweep(TRAINING, "test", tmp_path, 5, [RATE]).trials) == len(tried) == 5


def test_the_best_settings_are_a_configuration(tmp_path: Path, tried: list[TrainConfig]) -> None:
    study = sweep(TRAINING, "test", tmp_path, 3, [RATE, parse_parameter("ppo.epochs=1:4")])

    best = load_settings(TrainConfig, read_yaml(tmp_path / "best.yaml"), "best.yaml")

    assert best.ppo.learning_rate == study.best_value
    assert best in tried


def test_settings_that_do_not_go_together_fail_their_trial_only(
    tmp_path: Path, tried: list[TrainConfig]
) -> None:
    sizes = parse_parameter("ppo.batch_size=32|48")

    study = sweep(TRAINING, "test", tmp_path, 8, [sizes, RATE])

    assert {each.ppo.batch_size for each in tried} == {32}
    assert len(study.trials) == 8


def test_when_nothing_goes_together(tmp_path: Path, tried: list[TrainConfig]) -> None:
    together = [
        parse_parameter(each) for each in ("ppo.batch_size=64|64", "ppo.rollout_steps=24|24")
    ]
    with pytest.raises(ConfigError, match="every trial failed"):
        sweep(TRAINING, "test", tmp_path, 2, together)
    assert tried == []


@pytest.mark.parametrize(
    ("searched", "expected"),
    [
        ("ppo.batch_size=48|48", "batch_size 48 must divide"),
        ("ppo.epoch=1:4", "did you mean 'epochs'"),
    ],
)
def test_what_no_trial_could_have_is_refused_before_the_first(
    tmp_path: Path, searched: str, expected: str
) -> None:
    with pytest.raises(ConfigError, match=expected):
        sweep(TRAINING, "test", tmp_path / "new", 2, [parse_parameter(searched)])
    assert not (tmp_path / "new").exists()


def test_a_real_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lepton_rl.agents.training._export", lambda *_: None)

    study = sweep(TRAINING, "test", tmp_path, 1, [RATE])

    assert study.best_value >= 1
    assert (tmp_path / "trial-0000" / "config.yaml").is_file()
