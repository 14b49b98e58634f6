"""What a policy is compared by, and with whom; where traces are looked for."""

from __future__ import annotations

from pathlib import Path

import pytest

from lepton_rl.commands.inputs import environment_for
from lepton_rl.commands.rivals import headline_of, rivals_of
from lepton_rl.commands.train import train_config
from lepton_rl.envs.config import EnvironmentConfig
from lepton_rl.evaluate.scenarios import HEADLINES
from lepton_rl.policies.registry import BASELINES
from lepton_rl.policies.spec import rule_of


def test_where_nodes_are_not_chosen_the_orders_compete() -> None:
    assert tuple(rivals_of(environment_for("hpc"))) == BASELINES


def test_where_nodes_are_chosen_every_pair_competes() -> None:
    rivals = rivals_of(environment_for("edge"))
    assert len(rivals) == (len(BASELINES) + 2) * 7
    assert rivals["edf+tetris"] == rule_of("edf,place=tetris")
    assert rivals["sjf+fastest"] == rule_of("sjf,place=fastest")
    assert len(set(rivals.values())) > 80  # tetris and others are rules of their own
    assert "edf" not in rivals_of(environment_for("load-balancing"))


@pytest.mark.parametrize("name", HEADLINES)
def test_the_objective_ranks(name: str) -> None:
    assert headline_of(environment_for(name)) == HEADLINES[name]


def test_of_several_objectives_the_first_ranks_and_deadlines_bring_their_heuristics() -> None:
    environment = EnvironmentConfig.of({"objective": {"wait": 1, "deadlines": 9}}, {})
    assert headline_of(environment) == "mean_wait_s"
    assert "edf" in rivals_of(environment)


def test_a_trace_is_looked_for_here_and_then_in_lepton_data(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, here = tmp_path / "data" / "openb", tmp_path / "here"
    data.mkdir(parents=True)
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("LEPTON_DATA", str(tmp_path / "data"))
    name = "openb/openb_pod_list_default.csv.gz"
    assert environment_for("gpu-cluster").workload.source == str(here / name)
    (data / "openb_pod_list_default.csv.gz").touch()
    assert environment_for("gpu-cluster").workload.source == str(tmp_path / "data" / name)


def test_all_traces_of_a_run_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEPTON_DATA", str(tmp_path))
    name = "swf/ANL-Theta-2022.swf.gz"
    (tmp_path / "swf").mkdir()
    (tmp_path / name).touch()
    evolution = train_config("hpc-logs", [], None, None, None).evolution
    assert evolution.also_train_on[0].source == str(tmp_path / name)
    assert evolution.also_validate_on[0].source == str(tmp_path / name)
