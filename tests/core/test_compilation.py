"""The first compilation of a process is told once, and nothing is told where code is found."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import logging
logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
from lepton_rl.core.rules.lepton import load, reserve_amount
load(1.0, 2.0)
reserve_amount(1.0, 2.0, 0.5)
"""


def run(cache: Path) -> list[str]:
    """What one process logs, with code kept in `cache`."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT],
        env={**os.environ, "LEPTON_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return done.stderr.splitlines()


def test_it_is_told_once_and_only_the_first_time(tmp_path: Path) -> None:
    first, second = run(tmp_path), run(tmp_path)

    assert len(first) == 1
    assert first[0].startswith("lepton_rl.compilation: compiling the scheduling rules")
    assert second == []
