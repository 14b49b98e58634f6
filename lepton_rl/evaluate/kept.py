"""Finished cells on disk, so that an evaluation that was stopped goes on where it was.

One line of JSON a cell, appended as soon as it is done: `{"key", "what", "metrics",
"decision_us"}`, null for a figure that does not apply. A line that was cut off by a kill is run
again; a file that holds something else is refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from lepton_rl.core.errors import InputFileError
from lepton_rl.evaluate.cells import AnyCell, CellResult, Runner
from lepton_rl.evaluate.figures import known
from lepton_rl.evaluate.metrics import METRICS, Metrics

__all__ = ["KeptCells", "from_plain", "to_plain"]


class KeptCells:
    """A runner that runs only what a file does not have yet, and adds it there.

    Args:
        runner: runs what is missing.
        path: the file; made, with its folder, where it is missing.

    Raises:
        InputFileError: the file holds something else.
    """

    def __init__(self, runner: Runner, path: Path) -> None:
        self._runner, self._path = runner, path
        self._kept = _read(path) if path.is_file() else {}

    def __len__(self) -> int:
        """Cells that are kept."""
        return len(self._kept)

    def __call__(self, cells: Sequence[AnyCell]) -> Iterator[tuple[int, CellResult]]:
        """See `Runner`; kept cells come first."""
        keys = [cell.key for cell in cells]
        missing = [i for i, key in enumerate(keys) if key not in self._kept]
        for position, key in enumerate(keys):
            if key in self._kept:
                yield position, self._kept[key]
        if not missing:
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.open("a", encoding="utf-8") as file:
            for position, result in self._runner([cells[i] for i in missing]):
                key = keys[missing[position]]
                if key:
                    line = {"key": key, "what": cells[missing[position]].title, **to_plain(result)}
                    file.write(json.dumps(line, allow_nan=False) + "\n")
                    file.flush()
                    self._kept[key] = result
                yield missing[position], result


def to_plain(result: CellResult) -> dict[str, Any]:
    """A result as values for JSON."""
    figures = {name: known(getattr(result.metrics, name)) for name in METRICS}
    return {"metrics": figures, "decision_us": result.decision_us}


def from_plain(data: Any) -> CellResult:
    """The result of what `to_plain` gave.

    Raises:
        KeyError, TypeError, ValueError: it gave something else.
    """
    figures = {
        name: math.nan if data["metrics"][name] is None else float(data["metrics"][name])
        for name in METRICS
    }
    return CellResult(Metrics(**figures), float(data["decision_us"]))


def _read(path: Path) -> dict[str, CellResult]:
    text = path.read_text(encoding="utf-8")
    whole, _, cut_off = text.rpartition("\n")
    if cut_off:  # the process was killed while it wrote this line
        path.write_text(whole + "\n" if whole else "", encoding="utf-8")
    kept = {}
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            data = json.loads(line)
            kept[str(data["key"])] = from_plain(data)
        except (KeyError, TypeError, ValueError) as error:
            raise InputFileError(
                f"{path}, line {number}: expected a finished cell of an evaluation, got"
                f" {type(error).__name__} {error}; remove the file, or leave --resume out"
            ) from error
    return kept
