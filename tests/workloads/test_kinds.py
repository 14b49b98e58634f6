from __future__ import annotations

from pathlib import Path

import pytest

from lepton_rl.core.errors import ConfigError, InputFileError, WorkloadError
from lepton_rl.workloads.kinds import KINDS, kind_of
from lepton_rl.workloads.sources import open_workload
from tests.workloads import test_philly
from tests.workloads.files import write


def test_each_header_is_that_of_one_kind(tmp_path: Path) -> None:
    for name, kind in KINDS.items():
        if kind.columns:
            path = write(tmp_path, "any.csv", ",".join(sorted(kind.columns)), "")
            assert kind_of(path).name == name


def test_unknown_header_names_the_nearest_kind(tmp_path: Path) -> None:
    path = write(tmp_path, "a.csv", "timestamp,duration,gpus,cluster", "1,2,3,4")
    with pytest.raises(WorkloadError, match=r"no known kind .*nearest is philly, .* num_gpus too"):
        open_workload(path)
    with pytest.raises(InputFileError, match=r"cannot read .*no\.csv"):
        open_workload(tmp_path / "no.csv")


def test_the_kind_can_be_named(tmp_path: Path) -> None:
    path = write(tmp_path, "jobs.txt", *test_philly.JOBS)
    workload = open_workload(path, settings={"kind": "philly", "nodes": 8})
    assert len(workload) == 5
    with pytest.raises(WorkloadError, match="expected a column 'name'"):
        open_workload(path, settings={"kind": "openb"})
    with pytest.raises(ConfigError, match="kind: unknown 'phily'; did you mean 'philly'"):
        open_workload(path, settings={"kind": "phily"})
