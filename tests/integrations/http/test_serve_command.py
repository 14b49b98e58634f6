"""`lepton-rl serve` as a user starts it: a process, real tasks, a journal, Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lepton_rl.commands.serve import ServeRequest, run_service
from lepton_rl.core.errors import ConfigError, InputFileError, LeptonError
from lepton_rl.core.tasks import Task, TaskState
from lepton_rl.integrations.http.client import Client
from tests.integrations.http.conftest import LONG_S, TOKEN
from tests.trained import random_policy_file

CLUSTER = "nodes:\n  - {name: here, capacity: {cpu: 4, memory: 4}}\n"


@contextmanager
def started(folder: Path, stop: int, *more: str) -> Iterator[str]:
    """The command in a process; yields its address, and ends it with the signal `stop`."""
    (folder / "cluster.yaml").write_text(CLUSTER, encoding="utf-8")
    process = subprocess.Popen(
        [sys.executable, "-m", "lepton_rl.cli", "serve", "--cluster", "cluster.yaml", "--port",
         "0", "--journal", "journal.db", *more],
        cwd=folder, stderr=subprocess.PIPE, text=True, env={**os.environ, "LEPTON_TOKEN": TOKEN},
    )  # fmt: skip
    with process:
        assert process.stderr is not None
        lines = iter(process.stderr.readline, "")
        line = next(line for line in lines if "serving on" in line)
        assert TOKEN not in line
        try:
            yield line.split()[-1]
        finally:
            process.send_signal(stop)
            assert process.wait(LONG_S) in (0, 130, -stop)


def test_it_runs_commands_and_takes_up_its_work_again(tmp_path: Path) -> None:
    options = ("--policy", str(random_policy_file()), "--audit", "audit.jsonl",
               "--candidate", "sjf", "--canary", "0.5")  # fmt: skip
    write = Task("write", {"cpu": 1, "memory": 1}, 60.0, command=("touch", str(tmp_path / "done")))
    wide = Task("wide", {"cpu": 4, "memory": 1}, 60.0, command=("sleep", "30"))
    after = Task("after", {"cpu": 4, "memory": 1}, 60.0, command=("true",))
    with started(tmp_path, signal.SIGINT, *options) as url, Client(url, TOKEN) as client:
        client.submit(write)
        assert client.wait("write", LONG_S) is TaskState.COMPLETED
        client.submit(wide)
        client.submit(after)
    assert (tmp_path / "done").exists()
    audit = [json.loads(line) for line in (tmp_path / "audit.jsonl").read_text().splitlines()]
    assert "write" in {line.get("task") for line in audit}

    with started(tmp_path, signal.SIGTERM) as url, Client(url, TOKEN) as client:
        client.cancel("wide")
        assert client.wait("after", LONG_S) is TaskState.COMPLETED


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
