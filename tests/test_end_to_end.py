"""The main job end to end: train, export, load back, schedule, evaluate; and bad input."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from lepton_rl.cli import main

TINY = [
    "--config=quick",
    "--set=total_steps=2048",
    "--set=ppo.num_envs=16",
    "--set=imitation.steps=20",
    "--set=environment.workload.settings.num_tasks=3000",
    "--set=environment.episode_tasks=64",
    "--set=validation.windows=4",
]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    assert main(["train", *TINY, f"--out={folder}", "--json"]) == 0
    return folder


def test_a_run_leaves_everything_it_takes_to_use_and_repeat_it(run: Path) -> None:
    assert {path.name for path in run.iterdir()} >= {
        "checkpoints",
        "config.yaml",
        "evaluation.json",
        "policy.onnx",
        "run.json",
        "tensorboard",
    }
    document = json.loads((run / "evaluation.json").read_text())
    names = {each["name"] for each in document["settings"][0]["contenders"]}
    assert names > {"lepton-quick", "f4", "saf", "fcfs", "lepton"}
    assert document["settings"][0]["verdict"]


def test_the_exported_policy_equals_the_network(run: Path) -> None:
    from lepton_rl.policies.artifact import read_artifact

    assert read_artifact(run / "policy.onnx").manifest.parity <= 1e-5


def test_the_policy_schedules_in_the_real_scheduler_as_in_the_simulator(run: Path) -> None:
    from lepton_rl.core.rules.backfill import Backfill
    from lepton_rl.evaluate.learned import LearnedContender
    from lepton_rl.policies.learned import load_policy
    from lepton_rl.system import Scheduler
    from lepton_rl.workloads.sources import open_workload

    policy = load_policy(run / "policy.onnx")
    window = open_workload("lublin", settings={"load": 0.9, "num_tasks": 300}).window(100, 150)
    simulated = LearnedContender("p", policy).schedule(window, window.cluster, Backfill.NONE)
    scheduler = Scheduler(window.cluster, policy)
    scheduler.submit_all(window)
    scheduler.run()
    np.testing.assert_array_equal(scheduler.schedule().start_us, simulated.start_us)
    np.testing.assert_array_equal(scheduler.schedule().end_us, simulated.end_us)


def test_resume_goes_on_counting(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ["--set=total_steps=6144", "--resume", "--json"]
    assert main(["train", *TINY, f"--out={run}", *more]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["steps"] >= 6144
    assert len(list((run / "checkpoints").glob("step-*.pt"))) >= 2


HEADER = "; MaxProcs: 8\n"
ROW = "1 0 -1 10 {processors} -1 -1 -1 {requested} -1 1 -1 -1 -1 0 -1 -1 -1\n"
GOOD = ROW.format(processors=4, requested=20)


@pytest.mark.parametrize(
    ("text", "status", "expected"),
    [
        ("", 1, "expected"),
        (HEADER, 1, "no"),
        (HEADER + GOOD.replace(" 10 ", " ten "), 1, "line 2"),
        (HEADER + "1 2 3\n", 1, "line 2"),
        (HEADER + ROW.format(processors=9, requested=20), 1, "8 processors"),
        (HEADER + GOOD.replace(" 10 ", " nan "), 1, "not finite"),
    ],
    ids=["empty", "no rows", "not a number", "too few fields", "infeasible", "nan"],
)
def test_a_bad_trace_gives_one_clear_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, status: int, expected: str
) -> None:
    trace = tmp_path / "bad.swf.gz"
    trace.write_bytes(gzip.compress(text.encode()))
    assert main(["simulate", "--workload", str(trace)]) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert "bad.swf.gz" in captured.err
    assert expected in captured.err.lower()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["evaluate", "--workload", "nowhere.swf"], "nowhere.swf"),
        (["evaluate", "--protocol", "heldou"], "heldout"),
        (["evaluate", "--heuristic", "f44"], "f4"),
        (["train", "--set", "ppo.epoch=3"], "epochs"),
        (["train", "--set", "ppo.learning_rate=.nan"], "learning_rate"),
        (["train", "--config", "hpcc"], "hpc"),
        (["simulate", "--policy", "fcsf"], "fcfs"),
        (["trian"], "train"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_wrong_usage_names_what_is_right(
    capsys: pytest.CaptureFixture[str], arguments: list[str], expected: str
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert expected in captured.err
    assert "Traceback" not in captured.err


def test_an_unknown_yaml_key_is_named_with_the_nearest(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("environment:\n  slotz: 64\n")
    assert main(["train", "--config", str(config)]) == 2
    assert "'slots'" in capsys.readouterr().err
