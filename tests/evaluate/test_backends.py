"""Figures do not depend on where cells run, nor on whether the run was stopped in between."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from lepton_rl.core.errors import ConfigError, InputFileError, StateError
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.evaluate import Comparison, Contender, HeuristicContender, compare
from lepton_rl.evaluate.backends import open_backend
from lepton_rl.evaluate.cells import AnyCell, Cell, CellResult, run_serially
from lepton_rl.evaluate.hindsight import Hindsight
from lepton_rl.evaluate.kept import KeptCells
from lepton_rl.evaluate.learned import LearnedContender
from lepton_rl.policies.learned import load_policy
from tests.evaluate.small import HEURISTICS, Waiting, busy_windows
from tests.trained import random_policy_file

WINDOWS = busy_windows(3, 32)


def contenders() -> list[Contender]:
    learned = LearnedContender("net", load_policy(random_policy_file()))
    return [*(HeuristicContender(n, HEURISTICS[n]) for n in ("fcfs", "sjf")), learned]


def compared(runner: object = run_serially, seen: list[int] | None = None) -> Comparison:
    def progress(done: int, total: int, _: str) -> None:
        if seen is not None:
            seen.append(done)
            assert total == 12

    return compare(
        contenders(),
        WINDOWS,
        runner=runner,
        hindsight=Hindsight(10),
        progress=progress,  # type: ignore[arg-type]
    )


@pytest.fixture(scope="module")
def serial() -> Comparison:
    return compared()


@pytest.mark.parametrize("jobs", [1, 2])
def test_processes_give_the_same_figures(serial: Comparison, jobs: int) -> None:
    seen: list[int] = []
    with open_backend("processes", jobs) as runner:
        assert compared(runner, seen) == serial
    assert seen == list(range(1, 13))


def test_ray_gives_the_same_figures(serial: Comparison) -> None:
    pytest.importorskip("ray", reason="ray is not installed (extra ray)")
    with open_backend("ray", 2) as runner:
        assert compared(runner) == serial


def test_a_failure_in_a_process_names_contender_and_window() -> None:
    wrong = Waiting("wrong", {window.name: -5.0 for window in WINDOWS})
    with (
        open_backend("processes", 2) as runner,
        pytest.raises(StateError, match=r"wrong on .*: task .* starts before it is submitted"),
    ):
        compare([wrong], WINDOWS, runner=runner)


@pytest.mark.parametrize(
    ("name", "jobs", "message"),
    [("proceses", 2, "did you mean 'processes'"), ("processes", 0, "--jobs 0: expected at least")],
)
def test_bad_backends_are_refused(name: str, jobs: int, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        open_backend(name, jobs)


class Counting:
    """Runs serially, counts, and stops like Ctrl-C after so many cells."""

    def __init__(self, most: int = 1000) -> None:
        self.count, self.most = 0, most

    def __call__(self, cells: Sequence[AnyCell]) -> Iterator[tuple[int, CellResult]]:
        for each in run_serially(cells):
            if self.count == self.most:
                raise KeyboardInterrupt
            self.count += 1
            yield each


def test_a_stopped_evaluation_goes_on_where_it_was(serial: Comparison, tmp_path: Path) -> None:
    path = tmp_path / "out" / "cells.jsonl"
    with pytest.raises(KeyboardInterrupt):
        compared(KeptCells(Counting(5), path))
    with path.open("a", encoding="utf-8") as file:
        file.write('{"key": "cut off by a ki')
    rest = Counting()
    kept = KeptCells(rest, path)
    assert len(kept) == 5
    assert compared(kept) == serial
    assert rest.count == 12 - 5
    nothing = Counting()
    assert compared(KeptCells(nothing, path)) == serial
    assert nothing.count == 0


def test_a_file_of_something_else_is_refused_by_line(tmp_path: Path) -> None:
    path = tmp_path / "cells.jsonl"
    path.write_text('{"key": "a"}\n', encoding="utf-8")
    with pytest.raises(InputFileError, match=r"cells.jsonl, line 1: expected a finished cell"):
        KeptCells(run_serially, path)


def test_kept_cells_are_plain_json(tmp_path: Path) -> None:
    path = tmp_path / "cells.jsonl"
    list(KeptCells(run_serially, path)([cell()]))
    (line,) = path.read_text(encoding="utf-8").splitlines()
    data = json.loads(line)
    assert data["what"] == f"fcfs on {WINDOWS[0].name}"
    assert data["metrics"]["energy_kwh"] is None
    assert data["decision_us"] > 0


def cell(name: str = "fcfs", window: int = 0, backfill: Backfill = Backfill.EASY) -> Cell:
    work = WINDOWS[window]
    return Cell(HeuristicContender(name, HEURISTICS[name]), work, work.cluster, backfill)


def test_keys_tell_cells_apart() -> None:
    others = [cell("sjf"), cell(window=1), cell(backfill=Backfill.NONE)]
    assert cell().key == cell().key
    assert len({each.key for each in [cell(), *others]}) == 4
    unknown = Cell(Waiting("w", {}), WINDOWS[0], WINDOWS[0].cluster, Backfill.NONE)
    assert unknown.key == ""
