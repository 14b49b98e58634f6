from __future__ import annotations

from pathlib import Path

import pytest

from lepton_rl.core.errors import WorkloadError
from lepton_rl.workloads.sources import open_workload
from tests.workloads.files import write

CASE = (
    ",job_name,norm_job_submit_time,ddl,A100,V100,GTX2080Ti",
    "0,a,0,inf,1000.0,1500.0,2500.0",
    "1,b,0,90.5,200.0,301.0,500.0",
    "2,c,3,inf,100.0,200.0,300.0",
)


def test_run_times_and_speeds(tmp_path: Path) -> None:
    workload = open_workload(write(tmp_path, "case.csv", *CASE), settings={"v100_nodes": 1})

    assert workload.ids.tolist() == ["a", "b", "c"]
    assert workload.run_us.tolist() == [1_000_000_000, 200_000_000, 100_000_000]
    assert workload.task_classes is not None
    classes = workload.task_classes.tolist()
    assert classes == ["V100 1.5, GTX2080Ti 2.5"] * 2 + ["V100 2, GTX2080Ti 3"]  # 1.505 is near
    assert workload.deadlines_us is not None
    assert workload.deadlines_us.tolist() == [-1, 90_500_000, -1]
    nodes = {node.device_model: node for node in workload.cluster.nodes}
    assert len(workload.cluster.nodes) == 2 + 1 + 2
    assert nodes["A100"].speed_of(classes[0]) == 1
    assert nodes["V100"].speed_of(classes[0]) == 1 / 1.5
    assert nodes["GTX2080Ti"].speed_of(classes[2]) == 1 / 3


def test_more_decimals_tell_more_classes_apart(tmp_path: Path) -> None:
    workload = open_workload(write(tmp_path, "case.csv", *CASE), settings={"decimals": 3})
    assert workload.task_classes is not None
    assert workload.task_classes[1] == "V100 1.505, GTX2080Ti 2.5"


def test_malformed(tmp_path: Path) -> None:
    path = write(tmp_path, "case.csv", *CASE[:3], CASE[3].replace("200.0", "0"))
    with pytest.raises(WorkloadError, match=r"line 4: field 'V100' must be a number from 0\.001"):
        open_workload(path)


def test_the_public_case(trace_dir: Path) -> None:
    workload = open_workload(trace_dir / "gpu" / "hydra_20_ddl.csv.gz")
    assert len(workload) == 5000
    assert workload.deadlines_us is not None
    assert int((workload.deadlines_us >= 0).sum()) == 985
    assert set(workload.tasks["submit_us"].tolist()) == {0}
    assert workload.task_classes is not None
    assert len(set(workload.task_classes.tolist())) == 2977
