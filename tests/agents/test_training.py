"""A training run from end to end, on settings that take about a second."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lepton_rl.agents import training
from lepton_rl.agents.callbacks import Checkpoints, Validation
from lepton_rl.agents.checkpoint import load_checkpoint, newest_checkpoint
from lepton_rl.agents.config import TrainConfig
from lepton_rl.agents.run_folder import set_aside
from lepton_rl.agents.training import Trained, choose_device, export_checkpoint, train
from lepton_rl.core.errors import ArtifactError, ConfigError, StateError
from lepton_rl.core.settings import load_settings, read_yaml
from lepton_rl.policies.artifact import read_artifact
from tests.trained import TRAINING

DOCS = Path(__file__).parents[2] / "docs" / "training.md"


def config(**changes: Any) -> TrainConfig:
    """The tiny run's settings; a mapping replaces single settings of its section."""
    merged = {
        name: {**TRAINING[name], **value} if isinstance(value, Mapping) else value
        for name, value in changes.items()
    }
    return TrainConfig.model_validate({**TRAINING, **merged})


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Trained]:
    folder = tmp_path_factory.mktemp("runs") / "Läufe" / "tiny"
    return folder, train(config(), folder)


@pytest.fixture
def copied(finished: tuple[Path, Trained], tmp_path: Path) -> Path:
    """The finished run, to go on with."""
    return shutil.copytree(finished[0], tmp_path / "copy")


@pytest.fixture
def no_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing ONNX takes longer than training here; what it writes is tested elsewhere."""
    monkeypatch.setattr(training, "_export", lambda *_: None)


def newest(folder: Path) -> dict[str, Any]:
    return load_checkpoint(newest_checkpoint(folder))


def steps_of(folder: Path) -> list[int]:
    return sorted(int(path.stem[5:]) for path in (folder / "checkpoints").iterdir())


def same_weights(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_what_a_run_leaves_behind(finished: tuple[Path, Trained]) -> None:
    folder, trained = finished

    assert {path.name for path in folder.iterdir()} == {
        *("config.yaml", "run.json", "checkpoints", "tensorboard", "policy.onnx")
    }
    assert trained.steps == 256
    assert not trained.interrupted
    assert trained.policy_path == folder / "policy.onnx"
    assert steps_of(folder) == [128, 192, 256] or steps_of(folder) == [128, 256]
    facts = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    assert facts["seed"] == 0
    assert facts["torch"] == torch.__version__
    assert re.fullmatch(r"unknown|[0-9a-f]{40}", facts["revision"])


def test_the_written_settings_are_those_of_the_run(finished: tuple[Path, Trained]) -> None:
    path = finished[0] / "config.yaml"

    assert load_settings(TrainConfig, read_yaml(path), str(path)) == config()


def test_the_exported_policy_is_the_one_that_did_best(finished: tuple[Path, Trained]) -> None:
    folder, trained = finished
    last = newest(folder)
    manifest = read_artifact(trained.policy_path).manifest

    assert manifest == trained.manifest
    assert manifest.name == "tiny"
    assert manifest.training["validation_metric"] == trained.best_metric == last["best_metric"]
    assert manifest.training["steps"] == trained.best_steps == last["best_steps"]
    assert manifest.training["seed"] == 0


def test_what_tensorboard_shows_is_what_the_docs_define(finished: tuple[Path, Trained]) -> None:
    log = EventAccumulator(str(finished[0] / "tensorboard"))
    log.Reload()
    rows = re.findall(r"^\| (`.*?`) \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    defined = {tag for row in rows for tag in re.findall(r"`([a-z]+/\w+)`", row)}
    logged = set(log.Tags()["scalars"])

    assert logged == {tag for tag in defined if not tag.startswith("evolution/")}
    best = log.Scalars("validation/best_metric")
    assert [each.value for each in best] == sorted((e.value for e in best), reverse=True)
    assert [each.step for each in best] == [0, 64, 128, 192, 256]
    assert best[-1].value == pytest.approx(finished[1].best_metric)


@pytest.mark.usefixtures("no_export")
def test_resuming_goes_on_counting_and_keeps_the_best(copied: Path) -> None:
    before = newest(copied)

    trained = train(config(total_steps=512), copied, resume=True)

    assert trained.steps == 512
    assert max(steps_of(copied)) == 512
    after = newest(copied)
    assert after["learner"]["num_timesteps"] == 512
    assert after["best_metric"] <= before["best_metric"]
    if after["best_steps"] == before["best_steps"]:
        assert same_weights(after["best_weights"], before["best_weights"])
    assert not same_weights(after["learner"]["policy"], before["learner"]["policy"])
    old, new = (each["learner"]["optimizer"]["state"] for each in (before, after))
    assert all(new[key]["step"] > value["step"] for key, value in old.items())
    assert read_yaml(copied / "config.yaml")["total_steps"] == 512  # type: ignore[index]


@pytest.mark.usefixtures("no_export")
def test_a_worse_network_does_not_replace_the_best(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = newest(copied)
    monkeypatch.setattr(
        "lepton_rl.agents.validation.Validator.run", lambda *_: ([before["best_metric"] + 1], {})
    )

    trained = train(config(total_steps=384), copied, resume=True)

    assert trained.best_metric == before["best_metric"]
    assert trained.best_steps == before["best_steps"]
    assert same_weights(newest(copied)["best_weights"], before["best_weights"])


@pytest.mark.usefixtures("no_export")
def test_resuming_what_is_finished_changes_no_weight(copied: Path) -> None:
    before = newest(copied)

    trained = train(config(), copied, resume=True)

    assert trained.steps == 256
    assert same_weights(newest(copied)["learner"]["policy"], before["learner"]["policy"])


def test_resuming_with_another_network_is_refused_and_changes_nothing(copied: Path) -> None:
    before = (copied / "config.yaml").read_bytes()

    with pytest.raises(ConfigError, match=r"does not fit the configured network.*size mismatch"):
        train(config(ppo={"hidden": [4]}), copied, resume=True)

    assert (copied / "config.yaml").read_bytes() == before


@pytest.mark.parametrize(
    "changes",
    [{"environment": {"episode_tasks": 16}}, {"reference": "sjf"}, {"validation": {"windows": 3}}],
    ids=str,
)
def test_resuming_where_the_best_could_not_be_compared_is_refused(
    copied: Path, changes: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match="--resume: the environment, reference or validation"):
        train(config(**changes), copied, resume=True)


def test_resuming_without_a_run(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="no checkpoint in"):
        train(config(), tmp_path / "nothing", resume=True)

    assert not (tmp_path / "nothing").exists()


def test_resuming_from_a_damaged_checkpoint(copied: Path) -> None:
    path = newest_checkpoint(copied)
    path.write_bytes(path.read_bytes()[:1000])

    with pytest.raises(ArtifactError, match=re.escape(str(path))):
        train(config(), copied, resume=True)


def test_a_new_run_does_not_mix_with_an_earlier_one(copied: Path) -> None:
    before = newest_checkpoint(copied).read_bytes()

    with pytest.raises(ConfigError, match="holds an earlier run"):
        train(config(total_steps=64), copied)

    assert newest_checkpoint(copied).read_bytes() == before


@pytest.mark.usefixtures("no_export")
def test_an_earlier_run_can_be_set_aside(copied: Path) -> None:
    (copied / "notes.txt").write_text("mine", encoding="utf-8")
    (copied / "earlier-1").mkdir()

    moved = set_aside(copied)

    assert moved == copied / "earlier-2"
    assert steps_of(moved)[-1] == 256
    assert {path.name for path in copied.iterdir()} == {"earlier-1", "earlier-2", "notes.txt"}
    assert set_aside(copied) is None
    assert train(config(total_steps=64), copied).steps == 64
    assert steps_of(copied) == [64]


def interrupt(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_ctrl_c_leaves_a_checkpoint_and_a_policy(tmp_path: Path) -> None:
    def report(steps: int, _: str) -> None:
        if steps >= 100:
            raise KeyboardInterrupt

    def eager(callback: training.Progress) -> bool:
        callback.report(callback.num_timesteps, "")
        return True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training.Progress, "_on_step", eager)
        trained = train(config(total_steps=10**6), tmp_path, report=report)

    assert trained.interrupted
    assert trained.steps == 64, "the last moment from which training can go on exactly"
    assert steps_of(tmp_path)[-1] == 64
    assert read_artifact(tmp_path / "policy.onnx").manifest == trained.manifest
    assert trained.best_metric == newest(tmp_path)["best_metric"]


@pytest.mark.usefixtures("no_export")
def test_a_run_that_was_stopped_and_resumed_is_the_run_that_was_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def report(steps: int, _: str) -> None:
        if steps >= 200:
            raise KeyboardInterrupt

    whole = train(config(total_steps=512), tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(
            training.Progress, "_on_step", lambda it: it.report(it.num_timesteps, "") or True
        )
        train(config(total_steps=512), tmp_path / "parts", report=report)
    stopped = steps_of(tmp_path / "parts")[-1]

    resumed = train(config(total_steps=512), tmp_path / "parts", resume=True)

    assert stopped == 192
    ends = [newest(tmp_path / name) for name in ("whole", "parts")]
    assert same_weights(ends[0]["learner"]["policy"], ends[1]["learner"]["policy"])
    assert same_weights(ends[0]["best_weights"], ends[1]["best_weights"])
    assert whole is not None
    assert resumed is not None
    assert (whole.best_metric, whole.best_steps) == (resumed.best_metric, resumed.best_steps)


@pytest.mark.usefixtures("no_export")
@pytest.mark.parametrize(
    ("where", "what"),
    [
        (training, "imitate"),
        (Validation, "_on_rollout_start"),
        (Checkpoints, "_on_training_start"),
    ],
    ids=["warm start", "before the first validation", "before the first step"],
)
def test_ctrl_c_at_an_awkward_time(
    where: Any, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(where, what, interrupt)

    trained = train(config(), tmp_path)

    assert trained.interrupted
    assert trained.steps == 0
    assert newest(tmp_path)["best_weights"]
    monkeypatch.undo()
    monkeypatch.setattr(training, "_export", lambda *_: None)
    assert train(config(total_steps=64), tmp_path, resume=True).steps == 64


@pytest.mark.usefixtures("no_export")
def test_an_interrupted_warm_start_is_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teachers: list[int] = []

    def note(*_: object) -> None:
        teachers.append(1)
        if len(teachers) == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(training, "imitate", note)
    train(config(), tmp_path)
    train(config(total_steps=64), tmp_path, resume=True)
    train(config(total_steps=128), tmp_path, resume=True)

    assert len(teachers) == 2


@pytest.mark.usefixtures("no_export")
def test_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    runs = {}
    for name, seed in [("one", 0), ("two", 0), ("three", 1)]:
        train(config(seed=seed), tmp_path / name)
        runs[name] = newest(tmp_path / name)

    assert same_weights(runs["one"]["learner"]["policy"], runs["two"]["learner"]["policy"])
    assert runs["one"]["best_metric"] == runs["two"]["best_metric"]
    assert not same_weights(runs["one"]["learner"]["policy"], runs["three"]["learner"]["policy"])


@pytest.mark.usefixtures("no_export")
def test_a_resumed_run_is_repeatable_and_not_the_first_part_again(copied: Path) -> None:
    twin = shutil.copytree(copied, copied.with_name("twin"))

    for folder in (copied, twin):
        train(config(total_steps=512), folder, resume=True)

    assert same_weights(newest(copied)["learner"]["policy"], newest(twin)["learner"]["policy"])


def test_a_full_disk_keeps_the_last_checkpoint(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = {path.name: path.read_bytes() for path in (copied / "checkpoints").iterdir()}

    def full(path: Path, _: bytes) -> int:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left on device"):
        train(config(total_steps=512), copied, resume=True)

    assert {path.name: path.read_bytes() for path in (copied / "checkpoints").iterdir()} == kept


def test_training_that_diverges_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def ruin(network: torch.nn.Module, *_: object) -> None:
        for parameter in network.parameters():
            torch.nn.init.constant_(parameter, torch.nan)

    monkeypatch.setattr(training, "imitate", ruin)

    with pytest.raises(StateError, match=r"training diverged.*ppo\.learning_rate"):
        train(config(), tmp_path)


def test_a_checkpoint_is_exported_later(finished: tuple[Path, Trained], tmp_path: Path) -> None:
    folder, trained = finished

    manifest = export_checkpoint(config(), folder, tmp_path / "again.onnx")

    assert manifest == trained.manifest
    assert read_artifact(tmp_path / "again.onnx").manifest == manifest


def test_exporting_with_other_settings_is_refused(copied: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="does not fit the configured network"):
        export_checkpoint(config(ppo={"hidden": [9]}), copied, tmp_path / "p.onnx")

    assert not (tmp_path / "p.onnx").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_device_that_is_not_there() -> None:
    assert choose_device("auto") == choose_device("cpu") == torch.device("cpu")
    with pytest.raises(ConfigError, match="no CUDA device was found"):
        choose_device("cuda")


@pytest.mark.parametrize(
    ("section", "changes", "message"),
    [
        ("ppo", {"batch_size": 48}, "batch_size 48 must divide num_envs"),
        ("ppo", {"hidden": [0]}, "hidden"),
        ("ppo", {"hidden": []}, "hidden"),
        ("ppo", {"learning_rate": float("nan")}, "learning_rate"),
        ("ppo", {"learning_rate": 1e38}, "learning_rate"),
        ("ppo", {"gamma": 1.5}, "gamma"),
        ("ppo", {"epochs": True}, "expected a number"),
        ("imitation", {"teacher": "f44"}, r"did you mean 'f4'\?"),
        ("environment", {"backfill": "fixed-shadow"}, "rlscheduler protocol"),
        ("environment", {"objective": "joy"}, "expected one of"),
        ("validation", {"windows": 0}, "windows"),
    ],
)
def test_settings_that_cannot_be(section: str, changes: dict[str, Any], message: str) -> None:
    data = {**TRAINING, section: {**TRAINING[section], **changes}}

    with pytest.raises(ConfigError, match=message):
        load_settings(TrainConfig, data, "test")


@pytest.mark.parametrize(
    "changes", [{"seed": -1}, {"seed": 2**32}, {"reference": "f4+blocking"}, {"name": ""}], ids=str
)
def test_top_level_settings_that_cannot_be(changes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=next(iter(changes))):
        load_settings(TrainConfig, {**TRAINING, **changes}, "test")
