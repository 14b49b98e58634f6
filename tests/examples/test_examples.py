"""The scripts and the notebook in examples/ run, and print what they are for."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import pytest

EXAMPLES = Path(__file__).parents[2] / "examples"
TESTED = {"seed_listing.py", "compare_heuristics.py", "real_processes.py", "first_look.ipynb"}


def run_script(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", [name])
    runpy.run_path(str(EXAMPLES / name), run_name="__main__")


def test_every_example_is_tested() -> None:
    there = {path.name for path in EXAMPLES.iterdir() if path.suffix in {".py", ".ipynb"}}
    assert there == TESTED


def test_comparing_heuristics(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_script("compare_heuristics.py", monkeypatch)

    _, *rows = capsys.readouterr().out.splitlines()
    assert len(rows) == 8
    slowdowns = [float(row.split()[0]) for row in rows]
    assert slowdowns == sorted(slowdowns)
    assert "fcfs + none" in rows[-1]


@pytest.mark.skipif(sys.platform != "linux", reason="the local executor is for Linux")
def test_real_processes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run_script("real_processes.py", monkeypatch)

    lines = capsys.readouterr().out.splitlines()
    assert lines[:5] == [f"sum-{number}: COMPLETED" for number in range(5)]
    assert lines[5] == "decided by the policy: True"


def test_the_notebook(capsys: pytest.CaptureFixture[str]) -> None:
    notebook = json.loads((EXAMPLES / "first_look.ipynb").read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    names: dict[str, Any] = {"__name__": "__main__"}
    for number, cell in enumerate(cells):
        assert cell["outputs"] == [], "outputs are not kept in the repository"
        exec(compile("".join(cell["source"]), f"cell {number}", "exec"), names)

    printed = capsys.readouterr().out
    assert len(cells) >= 5
    assert "8000 tasks" in printed
    assert "lepton-hpc against" in printed
    assert "features of a task" in printed
