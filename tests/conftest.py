"""Fixtures that every folder of tests shares."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

_ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="session")
def trace_dir() -> Path:
    """Folder of the public traces (`swf/`, `openb/`, ...): LEPTON_DATA or ../shared/data."""
    folder = Path(os.environ.get("LEPTON_DATA", _ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no traces in {folder}; set LEPTON_DATA to the folder that holds swf/")
    return folder
