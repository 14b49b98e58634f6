"""Every command and every Python example of the README runs, as a newcomer would run it."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


COMMANDS = [line for block in blocks("console") for line in block.strip().splitlines()]


def run(arguments: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    bin_folder = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(
        arguments, cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )


def test_commands_and_examples_in_order(tmp_path: Path) -> None:
    (tmp_path / "train.py").symlink_to(ROOT / "train.py")
    for command in COMMANDS:
        if command.startswith("make "):
            continue  # see below
        result = run(shlex.split(command), tmp_path)
        assert result.returncode == 0, f"{command}\n{result.stderr}"
        assert result.stdout, command
    for number, example in enumerate(blocks("python")):
        result = run([sys.executable, "-W", "error", "-c", example], tmp_path)
        assert result.returncode == 0, f"example {number}\n{result.stderr}"


@pytest.mark.parametrize("command", [c for c in COMMANDS if c.startswith("make ")])
def test_make_targets_exist(command: str) -> None:
    # `make test` is what runs this test and `make train` takes minutes: CI runs the one, and
    # tests/learning the other's command.
    result = run([*shlex.split(command), "--dry-run"], ROOT)
    assert result.returncode == 0, result.stderr


def test_every_linked_file_exists() -> None:
    for target in re.findall(r"\]\(([^)#:]+)\)", README):
        assert (ROOT / target).exists(), target
