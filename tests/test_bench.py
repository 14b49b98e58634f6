"""`lepton-rl bench` measures steps in which episodes end."""

from __future__ import annotations

import json

import pytest

from lepton_rl.cli import main


def test_speeds_of_a_configuration(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--config", "quick", "--environments", "1", "--environments", "3"]
    small = ["--set", "environment.episode_tasks=16", "--seconds", "0.05"]

    assert main(["bench", *arguments, *small, "--json"]) == 0
    speeds = json.loads(capsys.readouterr().out)["speeds"]
    assert [(row["interface"], row["environments"]) for row in speeds] == [
        ("gymnasium", 1), ("batch", 1), ("batch", 3),
    ]  # fmt: skip
    for row in speeds:
        assert row["episodes"] > 0
        assert 0 < row["steps_per_s"] <= row["best_steps_per_s"]
        assert 0 <= row["shown"] <= 1

    assert main(["bench", *arguments, *small]) == 0
    assert capsys.readouterr().out.splitlines()[0].startswith("interface  environments")


def test_a_bad_configuration_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--config", "hcp"]) == 2
    assert "did you mean 'hpc'" in capsys.readouterr().err
