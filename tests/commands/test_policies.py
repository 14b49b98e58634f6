"""Shipped policies do what their cards say, and a card comes with every policy."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import yaml

from lepton_rl.cli import main
from lepton_rl.commands.inputs import is_trace, raw_config
from lepton_rl.commands.policies import check_policy, shipped_card
from lepton_rl.evaluate.card_text import card_markdown
from lepton_rl.policies import shipped
from lepton_rl.policies.learned import load_policy
from lepton_rl.policies.shipped import card_path, shipped_policies
from lepton_rl.workloads.scenarios.registry import SCENARIOS

NAMES = shipped_policies()


def test_one_is_shipped_for_each_kind_of_cluster() -> None:
    assert {"hpc", "gpu-cluster", *SCENARIOS} <= set(NAMES)


def measurable(name: str) -> str:
    """The name, unless the trace that its workload is read from is not here."""
    source = raw_config(shipped_card(name).origin.config)["environment"]["workload"]["source"]
    if is_trace(source) and not Path(os.environ.get("LEPTON_DATA", ""), source).is_file():
        pytest.skip(f"needs {source}; set LEPTON_DATA to the folder that holds it")
    return name


@pytest.mark.parametrize("name", NAMES)
def test_policy_card_page_and_configuration_belong_together(name: str) -> None:
    card = shipped_card(name)
    policy = load_policy(name)
    page = card_path(name).with_suffix(".md").read_text(encoding="utf-8")

    assert card.origin.name == name
    assert card.origin.sha256 == policy.artifact.sha256
    assert card.origin.steps == policy.artifact.manifest.training["steps"]
    assert page == card_markdown(card)
    about = raw_config(card.origin.config)["about"]
    assert card.origin.purpose == about["purpose"]
    assert list(card.origin.limits) == about["limits"]


@pytest.mark.parametrize("name", NAMES)
def test_a_few_windows_bear_the_card_out(name: str) -> None:
    text, holds = check_policy(measurable(name), 2, as_json=False)

    assert holds, text


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_all_windows_bear_the_card_out(name: str) -> None:
    text, holds = check_policy(measurable(name), None, as_json=False)

    assert holds, text


def test_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policies", "list", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert list(rows) == NAMES
    card = shipped_card("hpc")
    assert rows["hpc"]["value"] == card.figures["mean_bounded_slowdown"]
    assert rows["hpc"]["best_heuristic"] == card.rivals[0].name

    assert main(["policies", "list"]) == 0
    text = capsys.readouterr().out
    for name in NAMES:
        assert shipped_card(name).origin.sha256 in text


def test_the_card(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policies", "card", "hpc"]) == 0
    assert capsys.readouterr().out == card_markdown(shipped_card("hpc"))
    assert main(["policies", "card", "hpcc"]) == 1
    assert "did you mean 'hpc'" in capsys.readouterr().err


def test_another_file_under_the_name_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    card = shipped_card("hpc")
    folder = card_path("hpc").parent
    shutil.copyfile(folder / "hpc.onnx", tmp_path / "hpc.onnx")
    wrong = card.model_copy(update={"origin": card.origin.model_copy(update={"sha256": "0" * 64})})
    (tmp_path / "hpc.json").write_text(wrong.model_dump_json())
    monkeypatch.setattr(shipped, "_FOLDER", tmp_path)

    assert main(["policies", "check", "hpc"]) == 1
    assert "the card is of 0000" in capsys.readouterr().out


def test_publish_wants_a_run_of_the_named_configuration(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = {**raw_config("hpc"), "seed": 5}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))

    assert main(["policies", "publish", str(tmp_path), "--name", "hpc"]) == 2
    assert "seed differ from the configuration 'hpc'" in capsys.readouterr().err


def test_publish_wants_enough_windows_and_writes_nothing_before(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card = shipped_card("hpc")
    run, out = tmp_path / "run", tmp_path / "out"
    run.mkdir()
    (run / "config.yaml").write_text(yaml.safe_dump(dict(raw_config("hpc"))))
    shutil.copyfile(card_path("hpc").with_suffix(".onnx"), run / "policy.onnx")

    arguments = ["policies", "publish", str(run), "--name", "hpc", "--folder", str(out)]
    assert main(arguments) == 2
    assert "evaluation.json" in capsys.readouterr().err
    assert not out.exists()
    assert card.origin.name == "hpc"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["export", "nowhere"], "expected the folder of `lepton-rl train`"),
        (["policies", "publish", "nowhere", "--name", "hpc"], "expected the folder of"),
        (["simulate", "--workload", "quick", "--policy", "nope"], "shipped policies: "),
        (["simulate", "--workload", "quick", "--tasks", "0"], "--tasks 0: expected 1 to 10000"),
        (["workload", "generate", "nowhere/a.npz"], "expected a folder nowhere"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else None,
)
def test_messages_say_what_is_right(
    capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    assert main(arguments) == 2
    assert expected in capsys.readouterr().err


def test_policies_are_small() -> None:
    assert all(card_path(name).with_suffix(".onnx").stat().st_size < 200_000 for name in NAMES)
    assert all(card_path(name).stat().st_size < 40_000 for name in NAMES)
