"""A policy that chooses nodes, in the commands that decide and behind a guard."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from lepton_rl.cli import main
from lepton_rl.envs.config import EnvironmentConfig
from lepton_rl.envs.episodes import Episodes
from lepton_rl.policies.artifact import read_artifact
from lepton_rl.policies.guard import GuardedPolicy, GuardSettings
from lepton_rl.policies.learned import LearnedPolicy
from lepton_rl.system import Scheduler
from tests.policies.desks import FALLBACK
from tests.trained import TRAINING, placing, placing_policy_file


@pytest.fixture
def unlike(tmp_path: Path) -> str:
    path = tmp_path / "unlike.yaml"
    path.write_text(yaml.safe_dump({**TRAINING, "environment": placing()}), encoding="utf-8")
    return str(path)


def test_simulating(unlike: str, capsys: pytest.CaptureFixture[str]) -> None:
    policy = str(placing_policy_file())
    assert (
        main(["simulate", "--workload", unlike, "--policy", policy, "--tasks", "40", "--json"]) == 0
    )

    figures = json.loads(capsys.readouterr().out)
    assert figures["policy"] == "placing"
    assert figures["mean_bounded_slowdown"] >= 1


def test_evaluating(unlike: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["evaluate", "--workload", unlike, "--policy", str(placing_policy_file())]
    command += ["--heuristic", "fcfs", "--windows", "2", "--length", "12", "--json"]
    assert main([*command, "--out", str(tmp_path / "judged")]) == 0

    text = capsys.readouterr().out
    assert "placing" in text
    assert "fcfs" in text


def test_behind_a_guard_it_decides_alone() -> None:
    """Every choice of nodes is feasible, so the schedule is that of the policy."""
    config = EnvironmentConfig.model_validate(placing())
    work = Episodes.of(config).workload.window(0, 60)
    starts = []
    guard = GuardedPolicy(
        LearnedPolicy(read_artifact(placing_policy_file())), FALLBACK, GuardSettings(budget_us=6e7)
    )
    for policy in (guard, LearnedPolicy(read_artifact(placing_policy_file())), FALLBACK):
        system = Scheduler(work.cluster, policy)
        system.submit_all(work)
        system.run()
        schedule = system.schedule()
        starts.append((schedule.start_us.tolist(), schedule.nodes.tolist()))

    assert starts[0] == starts[1] != starts[2]
    assert list(guard.counts()) == ["policy-decided"]


def test_explaining_names_what_spoke_for_the_node(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    nodes = [{"name": name, "capacity": {"cpu": cpu}} for name, cpu in (("x", 8), ("y", 32))]
    pending = [
        {"id": f"t{n}", "demand": {"cpu": 1 + n}, "requested_time_s": 10.0 + n} for n in range(3)
    ]
    state = tmp_path / "state.json"
    state.write_text(json.dumps({"nodes": nodes, "pending": pending}), encoding="utf-8")
    command = ["explain", str(placing_policy_file()), str(state), "--features", "40"]

    assert main([*command, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["action"] == "start"
    assert facts["nodes"][0] in ("x", "y")
    assert {name.split(".")[0] for name in facts["features"]} == {"task", "node", "cluster"}
    assert any(name.startswith("candidate.") for name in facts["node_features"])
    assert any(effect != 0 for effect in facts["node_features"].values())

    assert main(command) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"placing: start {facts['task']} on {facts['nodes'][0]}")
    assert "candidate." in text

    state.write_text(json.dumps({"nodes": nodes[:1], "pending": pending}), encoding="utf-8")
    assert main([*command, "--json"]) == 0
    assert "node_features" not in json.loads(capsys.readouterr().out)
