"""`lepton-rl evaluate`: protocols with work of their own, and what is refused."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import pytest

from lepton_rl.cli import main
from lepton_rl.commands import scenarios
from lepton_rl.evaluate.scenarios import evaluate_scenario
from lepton_rl.workloads.scenarios.registry import SCENARIOS
from tests.workloads.files import write

Capture = pytest.CaptureFixture[str]


def test_the_scenarios_protocol(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    """Two of the six, in short; the whole is below."""
    monkeypatch.setattr(scenarios, "SCENARIOS", {n: SCENARIOS[n] for n in ("edge", "ml-platform")})
    short = partial(evaluate_scenario, windows=6, length=40)
    monkeypatch.setattr(scenarios, "evaluate_scenario", short)
    assert main(["evaluate", "--protocol", "scenarios", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["protocol"]["name"] == "scenarios"
    assert [each["scenario"] for each in document["scenarios"]] == ["edge", "ml-platform"]
    assert all(each["stability"] and each["scalability"] for each in document["scenarios"])
    assert main(["evaluate", "--protocol", "scenarios"]) == 0
    out = capsys.readouterr().out
    assert out.count("protocol scenarios v2, 6 windows of 40 tasks") == 2


@pytest.mark.slow
def test_the_scenarios_protocol_in_full(capsys: Capture) -> None:
    assert main(["evaluate", "--protocol", "scenarios"]) == 0
    out = capsys.readouterr().out
    assert out.count("protocol scenarios v2, 8 windows of 1000 tasks") == len(SCENARIOS) == 6


@pytest.mark.slow
def test_a_policy_is_trained_and_judged_in_a_scenario(tmp_path: Path, capsys: Capture) -> None:
    run = tmp_path / "edge"
    short = ["total_steps=4096", "imitation.steps=5", "validation.windows=2", "test_windows=2"]
    options = [f"--set={each}" for each in short]
    assert main(["train", "--config", "edge", *options, "--out", str(run)]) == 0
    capsys.readouterr()
    judged = ["evaluate", "--workload", "edge", "--policy", str(run / "policy.onnx")]
    assert main([*judged, "--windows", "2", "--heuristic", "edf"]) == 0
    assert "> lepton-edge" in capsys.readouterr().out


PODS = [f"pod-{n},{1000 * (n % 3)},1024,1,{(250, 460, 1000)[n % 3]},,LS,0,9,0" for n in range(30)]


def openb(folder: Path) -> Path:
    """A dozen small nodes, and pods that ask for shares of their cards."""
    header = "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,creation_time,deletion_time"
    write(folder, "openb_pod_list_default.csv", f"{header},scheduled_time", *PODS)
    nodes = [f"n{n},16000,65536,{1 + n % 2},T4" for n in range(12)]
    header = "sn,cpu_milli,memory_mib,gpu,model"
    write(folder, "openb_node_list_gpu_node.csv", header, *nodes)
    return folder


def test_the_packing_protocol_goes_on_and_shares_its_work(tmp_path: Path, capsys: Capture) -> None:
    data, out = openb(tmp_path), tmp_path / "out"
    command = ["evaluate", "--protocol", "fgd", "--data", str(data), "--out", str(out)]
    assert main([*command, "--seeds", "1"]) == 0
    first = capsys.readouterr().out
    assert "protocol fgd v2" in first
    assert first.count("openb_pod_list_default") == 6
    lines = (out / "cells.jsonl").read_text(encoding="utf-8").splitlines()
    (out / "cells.jsonl").write_text("\n".join([*lines[:-2], ""]), encoding="utf-8")
    assert main([*command, "--seeds", "1", "--resume", "--jobs", "2"]) == 0
    again = capsys.readouterr()
    assert again.out == first
    assert "4 cells are finished" in again.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--heuristic f4 --heuristic f4", "--heuristic f4: named twice"),
        ("--heuristic sjf+easy", "--heuristic sjf+easy: the protocol says who may overtake"),
        ("--protocol rlscheduler --windows 3", "--windows: protocol rlscheduler does not take it"),
        ("--protocol fgd --heuristic f4", "--heuristic: protocol fgd does not take it"),
        ("--protocol fgd --hindsight 5", "--hindsight: protocol fgd does not take it"),
        ("--protocol requests --workload quick", "--workload: protocol requests does not take it"),
        ("--protocol scenarios --policy hpc", "--policy: protocol scenarios does not take it"),
        ("--protocol scenarios --backfill easy", "--backfill: protocol scenarios does not take"),
    ],
)
def test_what_would_be_left_aside_is_refused(options: str, message: str, capsys: Capture) -> None:
    assert main(["evaluate", *options.split()]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert f"error: {message}" in captured.err
