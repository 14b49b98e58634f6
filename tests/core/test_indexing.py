"""Indices are used as they are, in our functions and nowhere else."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numba
import numpy as np
import pytest

from lepton_rl.core.indexing import _OURS
from lepton_rl.core.rules.lepton import load
from lepton_rl.core.tables import Ints

REPOSITORY = Path(__file__).parents[2]


def test_functions_of_others_still_count_from_the_end() -> None:
    @numba.njit  # type: ignore[untyped-decorator]
    def at(values: Ints, index: int) -> int:
        return values[index] + values[-1]  # type: ignore[no-any-return]

    assert at(np.array([10, 20, 30]), -2) == 50


def test_the_symbols_of_our_functions_are_known() -> None:
    """Otherwise nothing would be gained, and nobody would notice."""
    load(1.0, 2.0)

    overload = next(iter(load.overloads.values()))  # type: ignore[attr-defined]
    assert overload.fndesc.mangled_name.startswith(_OURS)


@pytest.mark.slow
def test_no_index_lies_outside_of_its_array(tmp_path: Path) -> None:
    """The tests of rules, encoder and simulator, with every index compared with both ends."""
    settings = {"NUMBA_BOUNDSCHECK": "1", "LEPTON_CACHE_DIR": str(tmp_path)}
    folders = [f"tests/{name}" for name in ("core/rules", "encoding", "sim", "differential")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", *folders],
        cwd=REPOSITORY,
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
