"""The table of real logs: the same windows for all, and a policy is not worse than itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.real_logs import main
from tests.trained import write_policy


def test_policies_and_heuristics_are_set_side_by_side(
    trace_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    policy = write_policy(tmp_path / "policy.onnx")
    name = "HPC2N-2002-first3170.swf.gz"
    main([str(policy), "--split", "validation", "--data", str(trace_dir / "swf"), "--logs", name])
    told = capsys.readouterr().out
    assert f"{name}, validation, 2 windows" in told
    assert "best by users' estimates: f4 + EASY: 19.56, 7,177.50" in told
    assert "best by predictions: " in told
    assert told.count("too few windows") == 12
