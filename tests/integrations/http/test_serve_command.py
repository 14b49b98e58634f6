"""`lepton-rl serve` as a user starts it: a process, real tasks, a journal, Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lepton_rl.commands.serve import ServeRequest, run_service
from lepton_rl.core.errors import ConfigError, InputFileError, LeptonError
from lepton_rl.core.tasks import Task, TaskState
from lepton_rl.integrations.http.client import Client
from tests.integrations.http.conftest import LONG_S, TOKEN
from tests.trained import random_policy_file

CLUSTER = "nodes:\n  - {name: here, capacity: {cpu: 4, memory: 4}}\n"


def start(folder: Path, *more: str) -> tuple[subprocess.Popen[str], str]:
    (folder / "cluster.yaml").write_text(CLUSTER, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "lepton_rl.cli", "serve", "--cluster", "cluster.yaml", "--port",
         "0", "--journal", "journal.db", *more],
        cwd=folder, stderr=subprocess.PIPE, text=True, env={**os.environ, "LEPTON_TOKEN": TOKEN},
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(r"serving on (\S+)", line):
            assert TOKEN not in line
            return process, found[1]
    raise AssertionError(process.wait())


def test_it_runs_commands_and_takes_up_its_work_again(tmp_path: Path) -> None:
    options = ("--policy", str(random_policy_file()), "--audit", "audit.jsonl",
               "--candidate", "sjf", "--canary", "0.5")  # fmt: skip
    process, url = start(tmp_path, *options)
    write = Task("write", {"cpu": 1, "memory": 1}, 60.0, command=("touch", str(tmp_path / "done")))
    with Client(url, TOKEN) as client:
        client.submit(write)
        assert client.wait("write", LONG_S) is TaskState.COMPLETED
        wide = Task("later", {"cpu": 4, "memory": 1}, 60.0, command=("sleep", "30"))
        client.submit(wide)
        client.submit(Task("after", {"cpu": 4, "memory": 1}, 60.0, command=("true",)))
    process.send_signal(signal.SIGINT)
    assert process.wait(LONG_S) in (0, 130)
    assert (tmp_path / "done").exists()
    audit = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert {"write"} <= {line.get("task") for line in audit}

    process, url = start(tmp_path)
    with Client(url, TOKEN) as client:
        assert client.task("after")["state"] in ("pending", "running", "completed")
        client.cancel("later")
        assert client.wait("after", LONG_S) is TaskState.COMPLETED
    process.send_signal(signal.SIGTERM)
    assert process.wait(LONG_S) is not None


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"executor": "slurmm"}, ConfigError, "unknown name 'slurmm'"),
        ({"policy": "none.onnx"}, LeptonError, "cannot read none.onnx"),
        ({"canary": 0.1}, ConfigError, "--candidate"),
        ({"overrides": (("host", "0.0.0.0"),)}, ConfigError, "other machines"),
        ({"cluster": Path("none.yaml")}, InputFileError, "none.yaml"),
        ({"settings": Path("wrong.yaml")}, ConfigError, "expected the keys http and guard"),
    ],
    ids=str,
)
def test_wrong_usage(
    change: dict[str, object],
    error: type[LeptonError],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("LEPTON_TOKEN", TOKEN)
    (tmp_path / "wrong.yaml").write_text("colour: red\n", encoding="utf-8")
    (tmp_path / "cluster.yaml").write_text(CLUSTER, encoding="utf-8")
    usual = {"cluster": Path("cluster.yaml"), "overrides": (("port", 0),)}
    with pytest.raises(error, match=re.escape(message)):
        run_service(ServeRequest(**{**usual, **change}), None)  # type: ignore[arg-type]
