"""The command line: exit status, one clear message, results on stdout and nothing else there."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

from lepton_rl.cli import main
from lepton_rl.core.version import VERSION
from lepton_rl.evaluate import METRICS
from lepton_rl.policies.artifact import Manifest, read_artifact
from lepton_rl.policies.registry import BASELINES
from tests.trained import TRAINING, WORKLOAD, random_policy_file

ROOT = Path(__file__).parents[1]
COMMANDS = (
    ["train"],
    ["sweep"],
    ["evaluate"],
    ["simulate"],
    ["export"],
    ["inspect"],
    ["verify"],
    ["explain"],
    ["replay"],
    ["serve"],
    ["protocols"],
    ["bench"],
    ["report"],
    ["policies"],
    ["policies", "list"],
    ["policies", "card"],
    ["policies", "check"],
    ["policies", "publish"],
    ["workload"],
    ["workload", "describe"],
    ["workload", "convert"],
    ["workload", "generate"],
)


def config_file(folder: Path, name: str = "tiny.yaml", **changes: Any) -> str:
    path = folder / name
    path.write_text(yaml.safe_dump({**TRAINING, **changes}), encoding="utf-8")
    return str(path)


@pytest.fixture
def tiny(tmp_path: Path) -> str:
    return config_file(tmp_path)


Row = Sequence[float]


def trace(path: Path, rows: Sequence[Row], header: str = "; MaxProcs: 8") -> str:
    """A log of (submit time, run time, processors) in Standard Workload Format."""
    lines = [header]
    for number, (submit_s, run_s, processors) in enumerate(rows, start=1):
        fields = [number, submit_s, -1, run_s, processors, -1, -1, processors, run_s, -1, 1]
        lines.append(" ".join(map(str, fields + [-1] * 7)))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def steady(count: int = 200, processors: int = 3) -> list[Row]:
    return [(10 * i, 20 + i % 7, 1 + i % processors) for i in range(count)]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run."""
    folder = tmp_path_factory.mktemp("cli")
    out = folder / "ラン" / "first"
    assert main(["train", "--config", config_file(folder), "--out", str(out)]) == 0
    return out


@pytest.fixture
def ready_export(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tracing a network for ONNX takes longer than training it here, so a ready file is taken."""

    def copy(_: object, __: object, path: Path, **___: object) -> Manifest:
        shutil.copyfile(random_policy_file(), path)
        return read_artifact(path).manifest

    monkeypatch.setattr("lepton_rl.agents.training.export_policy", copy)


def test_a_clusters_own_accounting_is_trained_on_in_one_command(
    tmp_path: Path, tiny: str, ready_export: None, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the sacct of a real Slurm printed (tests/workloads/test_sacct.py)."""
    history = ROOT / "tests" / "workloads" / "data" / "slurm-24.11.sacct.gz"
    out = tmp_path / "ours"

    assert main(["train", "--config", tiny, "--workload", str(history), "--out", str(out)]) == 0

    assert (out / "policy.onnx").exists()
    assert "399 tasks" in capsys.readouterr().err


Output = tuple[int, str, str]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Output]:
    """Run a command in this process; exit status, stdout and stderr."""

    def run_here(*arguments: object) -> Output:
        capsys.readouterr()
        status = main([str(each) for each in arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run_here


def require_refusal(output: Output, status: int, message: str) -> None:
    """One line that starts with "error:", below what was logged; nothing on stdout."""
    code, out, err = output
    assert "Traceback" not in err
    assert out == ""
    assert code == status, err
    *_, last = err.splitlines()
    assert last.startswith("error: ")
    assert err.count("error: ") == 1
    assert message in last


def subprocess_of(*arguments: object, program: str = "-m lepton_rl.cli") -> list[str]:
    return [sys.executable, "-W", "error", *program.split(), *map(str, arguments)]


# Usage


def test_version(call: Callable[..., Output]) -> None:
    assert call("--version") == (0, f"lepton-rl {VERSION}\n", "")


@pytest.mark.parametrize("command", [[], *COMMANDS], ids=" ".join)
def test_help(call: Callable[..., Output], command: list[str]) -> None:
    status, out, err = call(*command, "--help")

    assert status == 0
    assert " ".join(["Usage:", "", *command])[:6] in out
    assert "--help" in out
    assert err == ""


@pytest.mark.parametrize("command", [[], ["workload"]], ids=str)
def test_without_arguments_there_is_help_but_no_success(
    call: Callable[..., Output], command: list[str]
) -> None:
    status, out, err = call(*command)

    assert status == 2
    assert "Usage:" in out + err
    assert "error:" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "No such command 'trian'. Did you mean 'train'?"),
        (["train", "--sed", "3"], "No such option: --sed"),
        (["train", "--seed", "one"], "Invalid value for '--seed'"),
        (["export"], "Missing argument"),
        (["train", "--config", "hcp"], "did you mean 'hpc'?"),
        (["train", "--config", "no/such.yaml"], "cannot read no/such.yaml: No such file"),
        (["train", "--workload", "no.swf"], "cannot read"),
        (["train", "--workload", "no.txt"], "expected a path ending in .swf"),
        (["train", "--device", "tpu"], "device: Input should be 'auto', 'cpu' or 'cuda'"),
        (["train", "--seed", "-1"], "seed: Input should be greater than or equal to 0"),
        (["train", "--seed", str(2**32)], "seed: Input should be less than"),
        (["train", "--set", "ppo.epochs"], "expected name=value"),
        (["train", "--set", "ppo.epoch=3"], "unknown setting 'ppo.epoch'; did you mean 'epochs'?"),
        (["train", "--set", "pop.epochs=3"], "unknown setting 'pop'; did you mean 'ppo'?"),
        (["train", "--set", "ppo.epochs=many"], "ppo.epochs: "),
        (["train", "--set", "ppo.epochs=[1"], "the value is not YAML"),
        (["train", "--set", "ppo.epochs.x=1"], "'epochs' has no settings below it"),
        (["train", "--set", "ppo.gamma=.nan"], "ppo.gamma: "),
        (["train", "--set", "environment=3"], "environment: "),
        (["train", "--set", "environment=3", "--workload", "x.swf"], "environment: "),
        (["train", "--set", "imitation.teacher=f44"], "did you mean 'f4'?"),
        (["train", "--set", "environment.workload.settings.laod=1"], "did you mean 'load'?"),
        (["train", "--set", "environment.workload.settings.load=.nan"], "load: "),
        (["evaluate", "--protocol", "heldot"], "did you mean 'heldout'?"),
        (["evaluate", "--split", "tset"], "did you mean 'test'?"),
        (
            ["evaluate", "--backfill", "eazy"],
            "--backfill eazy: expected none, easy or conservative",
        ),
        (["evaluate", "--heuristic", "f44"], "did you mean 'f4'?"),
        (["evaluate", "--heuristic", "f4+easy"], "--heuristic f4+easy: the protocol says who"),
        (["evaluate", "--windows", "0"], "number of windows must be a whole number from 1"),
        (["evaluate", "--length", "0"], "window length must be a whole number from 1"),
        (["evaluate", "--seed", "-1"], "seed"),
        (["simulate", "--policy", "fcsf"], "did you mean 'fcfs'?"),
        (["simulate", "--first", "-1"], "--first -1: expected a task in 0.."),
        (["simulate", "--workload", "no.swf"], "cannot read no.swf: No such file"),
        (["simulate", "--workload", "hpcc"], "did you mean 'hpc'?"),
        (["export", "no/such/run"], "no/such/run: expected the folder of `lepton-rl train`"),
        (["workload", "describe", "hpcc"], "did you mean 'hpc'?"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_wrong_usage(
    call: Callable[..., Output],
    arguments: list[str],
    message: str,
    tiny: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    given = {"train": ["--config", tiny], "evaluate": ["--workload", tiny]}
    given["simulate"] = given["evaluate"]
    command, *rest = arguments
    usual = given.get(command, [])
    if usual and usual[0] in rest:
        usual = []
    if command == "evaluate" and "--length" not in rest:
        usual = [*usual, "--length", "24"]

    require_refusal(call(command, *usual, *rest), 2, message)

    assert not (tmp_path / "runs").exists(), "nothing is begun"


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        ("total_step: 3", 2, "unknown setting 'total_step'; did you mean 'total_steps'?"),
        ("enviroment: {}", 2, "unknown setting 'enviroment'; did you mean 'environment'?"),
        ("environment: {episode_tasks: .nan}", 2, "environment.episode_tasks: "),
        ("environment: {workload: {train: .inf}}", 2, "environment.workload.train: "),
        ("environment: {workload: {train: 0.7, validation: 0.4}}", 2, "train + validation < 1"),
        ("environment: {workload: {settings: {num_tasks: 300}}, episode_tasks: 200}", 1, "fewer"),
        ("environment: {workload: {source: lublni}}", 2, "did you mean 'lublin'?"),
        ("seed: 1\nseed: 2", 2, "'seed' given twice"),
        ("[1, 2]", 2, "expected a mapping"),
        ("a: [", 2, "is not valid YAML"),
        ("seed: !!python/object/apply:os.system [touch was-run]", 2, "is not valid YAML"),
        ("\x00", 2, "is not valid YAML"),
    ],
    ids=lambda value: repr(value)[:30],
)
@pytest.mark.parametrize("command", [["train", "--config"], ["evaluate", "--workload"]])
def test_wrong_configuration_files(
    call: Callable[..., Output],
    command: list[str],
    text: str,
    status: int,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("wrong.yaml").write_text(text, encoding="utf-8")
    if status == 1 and command[0] == "evaluate":
        command = ["evaluate", "--length", "200", "--workload"]

    require_refusal(call(*command, "wrong.yaml"), status, message)

    assert [path.name for path in Path().iterdir()] == ["wrong.yaml"]


# Traces


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "expected rows of 18 fields, got none"),
        ("; MaxProcs: 8\n", "expected rows of 18 fields, got none"),
        ("; MaxProcs: 8\n1 2 3\n", "line 2: expected 18 fields, got 3"),
        ("\x00\x01binary", "got binary data"),
        ("1 0 -1 9 1 -1 -1 1 9" + " -1" * 9, "nothing tells the machine size"),
        ("; MaxProcs: 8\n1 nan -1 9 1 -1 -1 1 9" + " -1" * 9, "a field is not finite: dropped: 1"),
        ("; MaxProcs: 8\n1 0 -1 9 99 -1 -1 99 9" + " -1" * 9, "larger than the machine: dropped"),
        ("; MaxProcs: 8\n1 0 -1 x 1 -1 -1 1 9" + " -1" * 9, "field 4 (run time) must be a number"),
    ],
    ids=["empty", "no rows", "cut off", "binary", "no size", "nan", "too large", "no number"],
)
@pytest.mark.parametrize(
    "command", [["workload", "describe"], ["simulate", "--workload"], ["train", "--workload"]]
)
def test_traces_that_cannot_be_used(
    call: Callable[..., Output], command: list[str], content: str, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "bad.swf"
    path.write_text(content, encoding="utf-8")

    require_refusal(call(*command, path), 1, message)


def test_tasks_larger_than_every_node(call: Callable[..., Output], tmp_path: Path) -> None:
    """All of them: an error. Some: they are left out, which is said on stderr."""
    path = trace(tmp_path / "wide.swf", [(i, 10, 6) for i in range(300)])
    changed = {**TRAINING["environment"], "workload": {"source": path, "processors": 4}}
    narrow = config_file(tmp_path, environment=changed)

    for command in (["simulate", "--workload", narrow], ["train", "--config", narrow]):
        require_refusal(call(*command), 1, "is a usable task on 4 processors (larger than the")

    mixed = trace(tmp_path / "mixed.swf", [*steady(50), (999, 10, 99)])
    status, out, err = call("simulate", "--workload", mixed)
    assert status == 0
    assert "50 tasks" in out
    assert "1 rows: larger than the machine: dropped" in err


@pytest.mark.usefixtures("ready_export")
def test_training_on_a_trace_keeps_the_other_settings(
    call: Callable[..., Output], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also those of its workload that are set beside it; and the run knows where the trace is."""
    monkeypatch.chdir(tmp_path)
    trace(Path("ma trace.swf"), steady())
    config = config_file(tmp_path, total_steps=64)
    options = ["--set", "environment.workload.processors=6", "--seed", "5", "--out", "out"]

    status, out, _ = call(
        "train", "--config", config, "--workload", "ma trace.swf", *options, "--json"
    )

    assert status == 0
    assert json.loads(out)["steps"] == 64
    written = yaml.safe_load(Path("out/config.yaml").read_text(encoding="utf-8"))
    workload = written["environment"]["workload"]
    assert workload["source"] == str(tmp_path / "ma trace.swf")
    assert workload["processors"] == 6
    assert written["seed"] == 5
    assert written["environment"]["episode_tasks"] == TRAINING["environment"]["episode_tasks"]
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    assert call("export", "../out", "--out", "again.onnx")[0] == 0
    assert call("train", "--resume", "--out", "../out", "--set", "total_steps=128")[0] == 0


# Policies


def corrupted(folder: Path) -> Path:
    path = folder / "bad.onnx"
    data = bytearray(random_policy_file().read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))
    return path


@pytest.mark.parametrize("command", ["evaluate", "simulate"])
def test_policies_that_cannot_be_used(
    call: Callable[..., Output], command: str, tiny: str, tmp_path: Path
) -> None:
    usual = (command, "--workload", tiny, "--policy")

    require_refusal(call(*usual, "no.onnx"), 1, "cannot read no.onnx: No such file")
    require_refusal(call(*usual, corrupted(tmp_path)), 1, "checksum mismatch; the file is damaged")
    (tmp_path / "text.onnx").write_text("hello", encoding="utf-8")
    require_refusal(call(*usual, tmp_path / "text.onnx"), 1, "was not written by lepton-rl export")


# What the commands do


def test_training_leaves_a_run_and_prints_its_result(run: Path) -> None:
    assert {path.name for path in run.iterdir()} == {
        *("config.yaml", "run.json", "checkpoints", "tensorboard"),
        *("policy.onnx", "evaluation.json", "evaluation.txt"),
    }
    document = json.loads((run / "evaluation.json").read_text(encoding="utf-8"))
    text = (run / "evaluation.txt").read_text(encoding="utf-8")
    assert document["workload"] in text
    assert all(name in text for name in (*BASELINES, "tiny"))


def test_json_of_training_is_all_there_is_on_stdout(
    call: Callable[..., Output], tiny: str, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    status, text, err = call("train", "--config", tiny, "--out", out, "--json", "--seed", "3")

    assert status == 0
    document = json.loads(text)
    assert document["policy"] == str(out / "policy.onnx")
    assert document["steps"] == 256
    assert document["interrupted"] is False
    assert document["parity"] <= 1e-5
    assert document["evaluation"] == json.loads((out / "evaluation.json").read_text("utf-8"))
    assert (out / "evaluation.txt").is_file()
    assert f"logs and checkpoints in {out}" in err
    assert "exported the weights of decision" in err


@pytest.mark.usefixtures("ready_export")
def test_a_new_run_in_the_same_folder_moves_the_earlier_one_aside(
    call: Callable[..., Output], run: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(run, tmp_path / "copy")
    config = config_file(tmp_path, total_steps=64)

    status, _, err = call("train", "--config", config, "--out", out)

    assert status == 0
    assert f"moved the earlier run in {out} to {out / 'earlier-1'}" in err
    assert (out / "earlier-1" / "policy.onnx").read_bytes() == (run / "policy.onnx").read_bytes()
    assert [p.name for p in (out / "checkpoints").iterdir()] == ["step-000000000064.pt"]


def test_a_run_that_cannot_begin_leaves_the_earlier_one_alone(
    call: Callable[..., Output], run: Path
) -> None:
    config = str(run.parents[1] / "tiny.yaml")
    before = sorted(run.rglob("*"))

    assert call("train", "--config", config, "--out", run, "--set", "ppo.epoch=1")[0] == 2
    assert call("train", "--config", config, "--out", run, "--workload", "no.swf")[0] == 2
    assert call("train", "--config", config, "--out", run, "--set", "test_windows=0")[0] == 2

    assert sorted(run.rglob("*")) == before


@pytest.mark.usefixtures("ready_export")
def test_resuming(call: Callable[..., Output], run: Path, tmp_path: Path) -> None:
    """The settings are the run's own unless others are given."""
    out = shutil.copytree(run, tmp_path / "copy")

    status, text, _ = call("train", "--resume", "--out", out, "--set", "total_steps=320", "--json")

    assert status == 0
    assert json.loads(text)["steps"] == 320
    other_network = ("train", "--resume", "--out", out, "--set", "ppo.hidden=[4]")
    require_refusal(call(*other_network), 2, "does not fit the configured network")
    require_refusal(
        call("train", "--resume", "--out", out, "--config", "quick"), 2, "--resume: the environment"
    )
    nothing = tmp_path / "nothing"
    require_refusal(call("train", "--resume", "--out", nothing), 1, "no checkpoint in")
    assert not nothing.exists()


@pytest.mark.usefixtures("ready_export")
def test_ctrl_c(
    call: Callable[..., Output], tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lepton_rl.agents.training.imitate", interrupt)
    out = tmp_path / "out"

    status, text, err = call("train", "--config", tiny, "--out", out, "--json")

    assert status == 130
    assert json.loads(text)["interrupted"] is True
    assert (out / "policy.onnx").is_file()
    assert "stopped after 0 decisions" in err


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="POSIX signals")
def test_ctrl_c_for_real(tiny: str, tmp_path: Path) -> None:
    out = tmp_path / "out"
    arguments = ("train", "--config", tiny, "--out", out, "--set", "total_steps=100000000")
    with subprocess.Popen(
        subprocess_of(*arguments), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        try:
            while not list(out.glob("checkpoints/*.pt")) and process.poll() is None:
                time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            text, err = process.communicate(timeout=300)
        finally:
            process.kill()

    assert process.returncode == 130, err.decode()
    assert b"stopped after" in err
    assert b"Traceback" not in err
    assert b"policy: " in text


@pytest.mark.parametrize("blocked", ["a file", "a file above it"])
def test_a_folder_that_cannot_be_written(
    call: Callable[..., Output], tiny: str, tmp_path: Path, blocked: str
) -> None:
    file = tmp_path / "file"
    file.write_text("mine", encoding="utf-8")
    out = file if blocked == "a file" else file / "below"

    require_refusal(call("train", "--config", tiny, "--out", out), 1, f"cannot write {out}: ")

    assert file.read_text(encoding="utf-8") == "mine"


def test_a_full_disk(
    call: Callable[..., Output], tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(path: Path, _: bytes) -> int:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    out = tmp_path / "out"

    require_refusal(
        call("train", "--config", tiny, "--out", out), 1, ".pt.tmp: No space left on device"
    )


def test_exporting(call: Callable[..., Output], run: Path, tmp_path: Path) -> None:
    target = tmp_path / "Ünterlagen" / "policy.onnx"

    status, text, err = call("export", run, "--out", target, "--json")

    assert (status, err) == (0, "")
    facts = json.loads(text)
    assert facts["policy"] == str(target)
    assert facts["name"] == "tiny"
    assert target.is_file()


@pytest.mark.usefixtures("ready_export")
def test_inspecting_and_verifying(call: Callable[..., Output], tmp_path: Path) -> None:
    good, bad = str(random_policy_file()), tmp_path / "bad.onnx"
    bad.write_bytes(random_policy_file().read_bytes()[:-9])

    status, text, _ = call("inspect", good, "--json")
    facts = json.loads(text)
    assert status == 0
    assert facts["name"] == "random"
    assert facts["sha256"] == read_artifact(good).sha256
    assert facts["sample"]["tasks"][2] == len(facts["task_features"])
    assert "schema_version" in call("inspect", good)[1]
    require_refusal(call("inspect", str(bad)), 1, str(bad))

    assert call("verify", good)[:2] == (0, f"{good}: good\n")
    status, text, _ = call("verify", good, str(bad))
    assert status == 1
    assert str(bad) in text.splitlines()[1]
    status, text, _ = call("verify", str(bad), "--json")
    assert (status, json.loads(text)[0]["policy"]) == (1, str(bad))


STATE = {
    "nodes": [{"name": "x", "capacity": {"cpu": 4}}],
    "pending": [
        {"id": f"t{n}", "demand": {"cpu": 1 + n}, "requested_time_s": 10.0 + n} for n in range(3)
    ],
    "running": [
        {"task": {"id": "old", "demand": {"cpu": 1}, "requested_time_s": 9}, "nodes": ["x"]}
    ],
    "now_s": 4.0,
}


def test_explaining(call: Callable[..., Output], tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    state.write_text(json.dumps(STATE), encoding="utf-8")

    status, text, _ = call("explain", "sjf", str(state), "--json")
    facts = json.loads(text)
    assert (status, facts["task"], facts["nodes"]) == (0, "t0", ["x"])
    assert list(facts["scores"]) == ["t0", "t1", "t2"]

    status, text, _ = call("explain", str(random_policy_file()), str(state), "--features", "3")
    assert status == 0
    assert text.startswith("random: ")
    assert text.count("task.") + text.count("node.") + text.count("cluster.") == 3

    state.write_text(json.dumps({**STATE, "colour": 1}), encoding="utf-8")
    require_refusal(call("explain", "sjf", str(state)), 2, "colour")
    require_refusal(call("explain", "sjf", str(tmp_path / "none")), 2, "cannot read")


def test_replaying(call: Callable[..., Output], tiny: str, tmp_path: Path) -> None:
    status, text, _ = call("replay", str(random_policy_file()), "--workload", tiny, "--json",
                           "--tasks", "200", "--against", "sjf")  # fmt: skip
    facts = json.loads(text)
    assert (status, facts["tasks"], facts["policy"]) == (0, 200, "random")
    (compared,) = facts["compared"]
    assert compared["other"] == "sjf"
    assert compared["differences"]["wait_s"]["difference_interval"]["level"] == 0.95
    assert "against" in call("replay", "f4", "--workload", tiny, "--tasks", "100")[1]

    require_refusal(call("replay", "f4"), 2, "--journal or --workload, one of them")
    require_refusal(call("replay", "f4+easy", "--workload", tiny), 2, "choose with --backfill")
    none = str(tmp_path / "none.db")
    require_refusal(call("replay", "f4", "--journal", none), 1, "none.db")


def test_exporting_into_the_run(call: Callable[..., Output], run: Path, tmp_path: Path) -> None:
    out = shutil.copytree(run, tmp_path / "copy")

    status, text, err = call("export", out)

    assert (status, err) == (0, "")
    assert f"policy              {out / 'policy.onnx'}\n" in text


def test_exporting_from_a_damaged_run(
    call: Callable[..., Output], run: Path, tmp_path: Path
) -> None:
    out = shutil.copytree(run, tmp_path / "copy")
    for path in (out / "checkpoints").iterdir():
        path.write_bytes(path.read_bytes()[:500])
    require_refusal(call("export", out), 1, "cannot read the checkpoint")
    shutil.rmtree(out / "checkpoints")
    require_refusal(call("export", out), 1, "no checkpoint in")


def test_evaluating(call: Callable[..., Output], tiny: str, run: Path) -> None:
    policy = run / "policy.onnx"
    usual = ("evaluate", "--workload", tiny, "--length", "24", "--windows", "3")

    status, text, err = call(*usual, "--policy", policy, "--policy", policy)
    assert (status, err) == (0, "")
    assert all(name in text for name in (*BASELINES, "tiny", "tiny-2"))

    status, text, err = call(*usual, "--policy", policy, "--heuristic", "f4", "--json")
    assert (status, err) == (0, "")
    assert json.loads(text)["workload"] == "lublin-32"
    assert "NaN" not in text

    assert call(*usual, "--backfill", "easy", "--split", "validation", "--heuristic", "sjf")[0] == 0
    short = call("evaluate", "--workload", tiny, "--protocol", "rlscheduler")
    require_refusal(short, 1, "use a longer workload")


@pytest.mark.parametrize("policy", ["f4+easy", "lepton", "fcfs+fixed-shadow+blocking", "learned"])
def test_simulating(call: Callable[..., Output], tiny: str, policy: str) -> None:
    chosen = str(random_policy_file()) if policy == "learned" else policy
    usual = ("simulate", "--workload", tiny, "--policy", chosen, "--first", "10", "--tasks", "50")

    status, text, err = call(*usual)
    assert (status, err) == (0, "")
    assert "50 tasks" in text
    assert all(info.title in text for info in METRICS.values())

    status, text, err = call(*usual, "--json")
    assert (status, err) == (0, "")
    figures = json.loads(text)
    assert set(METRICS) <= set(figures)
    assert figures["policy"] == ("random" if policy == "learned" else policy)


def test_simulated_blocking_rules_are_those_of_the_simulator(
    call: Callable[..., Output], tiny: str
) -> None:
    """The repository's rules take one event at a time, the scheduler must be told to."""
    from lepton_rl.evaluate import measure
    from lepton_rl.policies.registry import rule_of
    from lepton_rl.sim.replay import replay
    from lepton_rl.workloads.sources import open_workload

    spec = "sjf+fixed-shadow+blocking"
    whole = open_workload(
        "lublin", processors=WORKLOAD["processors"], settings=WORKLOAD["settings"]
    )
    schedule = replay(whole.tasks, whole.run_us, whole.cluster, rule_of(spec))

    _, text, _ = call("simulate", "--workload", tiny, "--policy", spec, "--json")

    expected = measure(schedule, whole, whole.cluster).mean_bounded_slowdown
    assert json.loads(text)["mean_bounded_slowdown"] == pytest.approx(expected, rel=1e-12)


def test_simulating_more_than_there_is(call: Callable[..., Output], tiny: str) -> None:
    require_refusal(call("simulate", "--workload", tiny, "--tasks", "0"), 2, "expected 1 to 600")
    require_refusal(call("simulate", "--workload", tiny, "--tasks", "601"), 2, "expected 1 to 600")


@pytest.mark.parametrize("source", ["configuration", "trace"])
def test_describing(call: Callable[..., Output], tiny: str, source: str, tmp_path: Path) -> None:
    workload = tiny if source == "configuration" else trace(tmp_path / "a.swf", steady())

    status, text, err = call("workload", "describe", workload)
    assert (status, err) == (0, "")
    assert "offered_load" in text
    status, text, err = call("workload", "describe", workload, "--json")
    assert (status, err) == (0, "")
    assert json.loads(text)["tasks"] == (600 if source == "configuration" else 200)


def test_describing_a_node_list_and_quotas(call: Callable[..., Output], tmp_path: Path) -> None:
    nodes = tmp_path / "nodes.csv"
    nodes.write_text("sn,cpu_milli,memory_mib,gpu,model\nn0,64000,262144,2,P100\n")
    status, text, err = call("workload", "describe", nodes, "--json")
    assert (status, err) == (0, "")
    assert json.loads(text)["capacity"] == {"cpu": 64.0, "memory": 256.0, "gpu": 2.0}
    quotas = tmp_path / "quotas.csv"
    quotas.write_text("date,vcA,vcB,total\n2020-04-01,3,1,4\n")
    status, text, err = call("workload", "describe", quotas)
    assert (status, err) == (0, "")
    assert "vcA 0.75, vcB 0.25" in text


def test_converting_and_generating(call: Callable[..., Output], tmp_path: Path) -> None:
    source = trace(tmp_path / "a.swf", [*steady(), (9999, 10, 99)])
    target = tmp_path / "a.npz"

    status, text, err = call("workload", "convert", source, target)
    assert status == 0
    assert "200 tasks on 1 nodes" in text
    assert "1 rows: larger than the machine: dropped" in err
    told = [call("simulate", "--workload", each, "--json")[1] for each in (source, target)]
    figures = [json.loads(each) for each in told]
    for each in figures:
        assert each.pop("events") == 600
        assert each.pop("us_per_event") == pytest.approx(each.pop("wall_s") / 600 * 1e6)
    assert figures[0] == figures[1]

    made = tmp_path / "made.npz"
    settings = ("--set", "num_tasks=40", "--set", "processors=16")
    status, text, err = call("workload", "generate", made, *settings, "--seed", "5", "--json")
    assert (status, err) == (0, "")
    assert json.loads(text)["tasks"] == 40
    assert json.loads(call("workload", "describe", made, "--json")[1])["processors"] == 16


def test_settings_of_a_trace(call: Callable[..., Output], tmp_path: Path) -> None:
    source, target = trace(tmp_path / "a.swf", steady()), tmp_path / "a.npz"
    narrow = "environment.workload.settings.processors=2"
    assert "134 tasks" in call("workload", "convert", source, target, "--set", narrow)[1]
    wrong = "environment.workload.settings.nodes=2"
    refused = call("workload", "convert", source, target, "--set", wrong)
    require_refusal(refused, 2, "(swf): unknown setting 'nodes'")
    require_refusal(call("workload", "convert", source, "a.csv"), 2, "ends in .npz")
    unknown = call("workload", "generate", target, "--generator", "lubln")
    require_refusal(unknown, 2, "--generator lubln: unknown generator; did you mean 'lublin'?")


# In processes of their own


def test_train_py_is_the_train_command() -> None:
    done = subprocess.run(
        subprocess_of("--help", program="train.py"), cwd=ROOT, capture_output=True, text=True
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "--resume" in done.stdout


def test_a_refusal_has_no_traceback(tmp_path: Path) -> None:
    (tmp_path / "wrong.yaml").write_text("ppo: {epoch: 3}", encoding="utf-8")
    done = subprocess.run(
        subprocess_of("evaluate", "--workload", tmp_path / "wrong.yaml"),
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    require_refusal((done.returncode, done.stdout, done.stderr), 2, "did you mean 'epochs'?")


def test_evaluating_and_simulating_need_no_training_library(tiny: str) -> None:
    """They work after a plain `pip install lepton-rl`; training says what is missing."""
    code = (
        "import sys\n"
        "heavy = ('torch', 'gymnasium', 'onnx', 'onnxscript', 'stable_baselines3', 'sb3_contrib')\n"
        "sys.modules.update(dict.fromkeys(heavy))\n"  # importing one of them is an error now
        "from lepton_rl.cli import main\n"
        "tiny, policy = sys.argv[1:]\n"
        "usual = ['--workload', tiny, '--policy', policy]\n"
        "assert main(['simulate', *usual, '--tasks', '50']) == 0\n"
        "assert main(['evaluate', *usual, '--length', '24', '--windows', '2']) == 0\n"
        "assert main(['workload', 'describe', tiny]) == 0\n"
        "sys.exit(main(['train', '--config', tiny]))\n"
    )

    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code, tiny, str(random_policy_file())],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("install it with: pip install 'lepton-rl[train]'")
    assert "Traceback" not in done.stderr


def test_a_reader_that_goes_away_is_no_error(tiny: str) -> None:
    process = subprocess.Popen(
        subprocess_of("workload", "describe", tiny),
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    process.stdout.close()
    assert process.stderr is not None
    err = process.stderr.read()
    process.wait(60)
    process.stderr.close()

    assert b"Traceback" not in err


# Protocols, recorded episodes, long evaluations


def test_protocols_are_listed(call: Callable[..., Output]) -> None:
    code, out, _ = call("protocols")
    assert code == 0
    assert "rlscheduler v1" in out
    assert "fgd v2" in out
    code, out, _ = call("protocols", "--json")
    assert {"heldout", "gpu-training", "requests"} <= {each["name"] for each in json.loads(out)}


def test_protocols_with_traces_of_their_own(call: Callable[..., Output], tmp_path: Path) -> None:
    require_refusal(
        call("evaluate", "--protocol", "fgd", "--data", tmp_path), 2, "no openb_pod_list"
    )
    output = call("evaluate", "--protocol", "requests", "--workload", "quick", "--data", tmp_path)
    require_refusal(output, 2, "--workload: protocol requests does not take it: it brings its own")


def test_an_episode_is_recorded(call: Callable[..., Output], tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image", reason="Pillow is not installed (extra report)")
    work, film = trace(tmp_path / "log.swf", steady(40)), tmp_path / "film.gif"
    code, _, err = call("simulate", "--workload", work, "--policy", "sjf", "--record", film)
    assert code == 0, err
    with image.open(film) as opened:
        assert opened.size == (640, 360)
        assert opened.n_frames > 1
    refused = call("simulate", "--workload", work, "--record", tmp_path / "film.mp4")
    require_refusal(refused, 2, "expected a file ending in .gif, .apng, .png")


def test_evaluations_are_kept_and_resumed(call: Callable[..., Output], tmp_path: Path) -> None:
    work, out = trace(tmp_path / "log.swf", steady(200)), tmp_path / "out"
    options = ["--length", "16", "--heuristic", "fcfs", "--heuristic", "sjf", "--hindsight", "5"]
    first = call("evaluate", "--workload", work, *options, "--out", out)
    again = call("evaluate", "--workload", work, *options, "--out", out, "--resume")
    assert first[0] == again[0] == 0
    assert first[1] == again[1] == (out / "evaluation.txt").read_text(encoding="utf-8")
    assert "6 cells are finished" in again[2]
    assert "hindsight (found)" in first[1]
    require_refusal(call("evaluate", "--workload", work, "--resume"), 2, "--resume: say what")
    require_refusal(call("evaluate", "--backend", "rai", "--workload", work), 2, "did you mean")
