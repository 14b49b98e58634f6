"""Slurm's programs: how they are run, and the command line with recorded answers on the PATH."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from lepton_rl.cli import main
from lepton_rl.core.errors import ExecutorError
from lepton_rl.integrations.slurm.commands import SlurmCommands, run_command

DATA = Path(__file__).parent / "data"


class Recorded:
    """Answers like the Slurm 22.05.8 that was recorded."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, ...]] = []
        self.stdin = ""

    def __call__(
        self, arguments: Sequence[str], stdin: str, timeout_s: float
    ) -> tuple[int, str, str]:
        self.asked.append(tuple(arguments))
        self.stdin = stdin
        if tuple(arguments) == ("scontrol",):
            return 1, "", "Invalid job id specified for job 999\n"
        files = {"squeue": "squeue-22.05.json", "sinfo": "nodes-22.05.json"}
        if arguments[-1] == "--json":
            return 0, (DATA / files[arguments[0]]).read_text(), ""
        if arguments[-1] == "config":
            return 0, "BOOT_TIME               = 2026-11-23T18:50:24\n", ""
        return 0, "slurm-wlm 22.05.8\n", ""


def test_a_reading_takes_three_commands_however_many_jobs_there_are() -> None:
    recorded = Recorded()
    slurm = SlurmCommands(5.0, recorded)
    slurm.read()
    recorded.asked.clear()

    found = slurm.read()

    assert recorded.asked == [
        ("squeue", "--json"), ("sinfo", "--json"), ("scontrol", "show", "config"),
    ]  # fmt: skip
    assert (len(found.jobs), len(found.nodes), found.boot) == (7, 4, "2026-11-23T18:50:24")


def test_changes_are_one_batch_and_complaints_come_back() -> None:
    recorded = Recorded()

    complaints = SlurmCommands(5.0, recorded).send(["release 1", "release 999"])

    assert recorded.asked == [("scontrol",)]
    assert recorded.stdin == "release 1\nrelease 999\n"
    assert complaints == ["Invalid job id specified for job 999"]


def test_nothing_to_change_costs_nothing() -> None:
    recorded = Recorded()

    assert SlurmCommands(5.0, recorded).send([]) == []
    assert recorded.asked == []


def test_a_command_that_fails_is_named() -> None:
    slurm = SlurmCommands(5.0, lambda *_: (1, "", "slurm_load_jobs error: no controller\n"))

    with pytest.raises(ExecutorError, match="squeue --version failed: slurm_load_jobs error"):
        slurm.read()


def test_programs_are_run_without_a_shell_and_with_a_timeout() -> None:
    assert run_command(["cat"], "a; b\n", 5.0) == (0, "a; b\n", "")
    with pytest.raises(ExecutorError, match=r"sleep did not answer within 0\.05 s"):
        run_command(["sleep", "10"], "", 0.05)
    with pytest.raises(ExecutorError, match="no-such-program is not on the PATH"):
        run_command(["no-such-program"], "", 1.0)


@pytest.fixture
def path_with_slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs that answer with what was recorded; scontrol writes down what it is told."""
    scripts = {
        "squeue": f'[ "$1" = --version ] && echo slurm-wlm 22.05.8 || cat {DATA}/squeue-22.05.json',
        "sinfo": f"cat {DATA}/nodes-22.05.json",
        "scontrol": f'[ "$1" = show ] || cat >> {tmp_path}/told',
    }
    for name, script in scripts.items():
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def test_a_dry_run_prints_and_touches_nothing(
    path_with_slurm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = path_with_slurm / "state"

    assert main(["attach", "slurm", "--policy", "sjf", "--dry-run", "--state", str(state)]) == 0

    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["JobId=3_2", "JobId=5"]
    assert not state.exists()
    assert not (path_with_slurm / "told").exists()


def test_rounds_send_and_figures_are_told(
    path_with_slurm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = str(path_with_slurm / "state")

    assert main(["attach", "slurm", "--rounds", "1", "--state", state, "--json"]) == 0

    figures = json.loads(capsys.readouterr().out)
    assert (figures["rounds"], figures["changes"], figures["refused"]) == (1, 2, 0)
    assert len((path_with_slurm / "told").read_text().splitlines()) == 2


def test_release_all_frees_the_array_that_our_marker_holds(
    path_with_slurm: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = str(path_with_slurm / "state")

    assert main(["attach", "slurm", "--release-all", "--state", state]) == 0

    assert capsys.readouterr().out == "release 3_[1,3-5]\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--mode", "both"], "mode"),
        (["--set", "grace=3"], "did you mean 'grace_s'"),
        (["--policy", "f9"], "unknown name 'f9'"),
    ],
)
def test_wrong_usage_is_told(
    tmp_path: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["attach", "slurm", "--state", str(tmp_path), "--dry-run", *options]) == 2
    assert message in capsys.readouterr().err
