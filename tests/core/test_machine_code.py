"""Machine code that several processes have put on disk is the right code for whoever loads it."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

from lepton_rl.core.machine_code import keep_files_apart
from lepton_rl.core.rules.lepton import load

ROOT = Path(__file__).parents[2]


def first_of_kinds(cache: Path, *kinds: int) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.core.first_of_kinds", *map(str, kinds)],
        env={**os.environ, "LEPTON_CACHE_DIR": str(cache)},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.strip()


def test_code_that_two_processes_compiled_for_two_clusters_is_not_mixed_up(tmp_path: Path) -> None:
    # Without `name_records_by_layout` the last process reads tasks of 1 kind (records of up to 4
    # are alike) by the code for those of 5, and prints `short long`.
    assert first_of_kinds(tmp_path, 1) == "short"
    assert first_of_kinds(tmp_path, 5) == "short"

    assert first_of_kinds(tmp_path, 5, 1) == "short short"


def test_a_process_writes_files_of_its_own() -> None:
    files = load._cache._cache_file  # type: ignore[attr-defined]

    assert f"-{os.getpid()}-" in files._data_name(1)
    assert files._data_name(1) != files._data_name(2)
    assert files._data_name(1).endswith(".nbc")


def test_without_a_cache_there_is_nothing_to_keep_apart() -> None:
    keep_files_apart(SimpleNamespace())
    keep_files_apart(SimpleNamespace(_cache=SimpleNamespace()))
