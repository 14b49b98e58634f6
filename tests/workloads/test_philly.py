from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from lepton_rl.core.errors import ConfigError, WorkloadError
from lepton_rl.workloads.sources import open_workload
from tests.workloads.files import write

HEADER = "timestamp,duration,num_gpus,gpu_time,cluster"
JOBS = (
    HEADER,
    "2017-10-09 07:00:10,66.0,1,66.0,b",
    "2017-10-09 07:00:00,10.5,8,84.0,a",
    "2017-10-09 07:00:05,20.0,16,320.0,a",
    "2017-10-09 07:00:06,20.0,12,240.0,b",
    "2017-10-09 07:00:07,20.0,33,660.0,b",
)


def test_jobs_become_tasks(tmp_path: Path) -> None:
    workload = open_workload(write(tmp_path, "jobs.csv", *JOBS), settings={"nodes": 4})

    assert workload.ids.tolist() == ["3", "4", "5", "2"]  # lines of the file
    assert workload.tasks["submit_us"].tolist() == [0, 5_000_000, 6_000_000, 10_000_000]
    assert workload.run_us.tolist() == [10_500_000, 20_000_000, 20_000_000, 66_000_000]
    assert workload.tasks["demand"][:, 0].tolist() == [8000, 8000, 8000, 1000]
    assert workload.tasks["replicas"].tolist() == [1, 2, 2, 1]
    assert workload.tasks["size"].tolist() == [8, 16, 16, 1]
    assert workload.tenants is not None
    assert workload.tenants.tolist() == ["a", "a", "b", "b"]
    assert dict(workload.skipped) == {
        "not a whole number of nodes: rounded up to whole nodes": 2,
        "requested time unknown: run time taken": 5,
        "larger than the cluster: dropped": 1,  # 33 cards need 5 nodes
    }


def test_narrow_nodes_make_larger_gangs(tmp_path: Path) -> None:
    settings = {"nodes": 9, "cards_per_node": 4}
    workload = open_workload(write(tmp_path, "jobs.csv", *JOBS), settings=settings)
    assert workload.tasks["replicas"].tolist() == [2, 4, 3, 9, 1]


def test_errors(tmp_path: Path) -> None:
    path = write(tmp_path, "jobs.csv", *JOBS, "2017-10-09 07:00,1,1,1,a")
    with pytest.raises(WorkloadError, match=r"line 7: field 'timestamp' must be a time such as"):
        open_workload(path)
    with pytest.raises(ConfigError, match=r"nodes: .*greater than or equal to 1, got 0"):
        open_workload(path, settings={"nodes": 0})
    with pytest.raises(ConfigError, match="unknown setting 'processors'"):
        open_workload(path, processors=8)


def test_the_public_trace(trace_dir: Path) -> None:
    workload = open_workload(trace_dir / "gpu" / "philly_2017_jobs.csv.gz")

    assert len(workload) == 82_247
    assert workload.tenants is not None
    assert len(set(workload.tenants.tolist())) == 15
    asked = workload.tasks["size"]
    assert int(asked.max()) == 128
    assert np.unique(workload.tasks["demand"][:, 0]).tolist() == [1000, 2000, 4000, 8000]
    assert int((workload.tasks["replicas"] > 1).sum()) == 199 + 67 + 7 + 7 + 6 + 3
    assert workload.tasks["submit_us"][0] == 0
    assert 108 < workload.tasks["submit_us"][-1] / 86_400e6 < 110  # 2017-09-04 to 2017-12-22
