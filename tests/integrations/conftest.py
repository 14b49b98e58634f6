from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lepton_rl.integrations.local import LocalExecutor, LocalSettings

QUICK = LocalSettings(stop_grace_s=0.1)


@pytest.fixture
def executor(tmp_path: Path) -> Iterator[LocalExecutor]:
    """One that gives tasks little grace; what still runs at the end is stopped."""
    made = LocalExecutor(tmp_path / "run", QUICK)
    yield made
    made.close(stop_running=True)
