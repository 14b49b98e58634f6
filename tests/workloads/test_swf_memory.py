from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from lepton_rl.core.errors import InputFileError, WorkloadError
from lepton_rl.workloads.swf import read_swf
from lepton_rl.workloads.swf_memory import read_swf_memory

ROWS = """; UnixStartTime: 0
1 0 0 10 1 -1 500 1 60 1000 1 7 -1 -1 -1 -1 -1 -1
3 5 0 10 1 -1 -1 1 60 -1 1 7 -1 -1 -1 -1 -1 -1

2 5 0 10 1 -1 700 1 60 0 1 7 -1 -1 -1 -1 -1 -1
"""


def written(folder: Path, text: str, name: str = "log.swf") -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


@pytest.mark.parametrize("name", ["log.swf", "log.swf.gz"])
def test_fields_7_and_10_by_task(tmp_path: Path, name: str) -> None:
    path = written(tmp_path, ROWS, name)
    ids = read_swf(path, processors=4).ids
    memory = read_swf_memory(path, ids)

    assert ids.tolist() == ["1", "2", "3"]
    np.testing.assert_equal(memory.used_kib, [500, 700, np.nan])
    np.testing.assert_equal(memory.requested_kib, [1000, np.inf, np.inf])
    assert memory.is_measured


def test_the_same_on_all_rows_is_a_placeholder(tmp_path: Path) -> None:
    path = written(tmp_path, ROWS.replace(" 700 ", " 500 "))

    assert not read_swf_memory(path, np.array(["1", "2", "3"])).is_measured


def test_metacentrum_has_measured_none(trace_dir: Path) -> None:
    path = trace_dir / "swf" / "MetaCentrum-wagap-2013.swf.gz"

    assert not read_swf_memory(path, read_swf(path).ids).is_measured


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match=r"cannot read .*none\.swf"):
        read_swf_memory(tmp_path / "none.swf", np.array(["1"]))
    with pytest.raises(WorkloadError, match=r"line 1: expected numbers in fields 1, 7 .* got '1 2"):
        read_swf_memory(written(tmp_path, "1 2 3\n"), np.array(["1"]))
