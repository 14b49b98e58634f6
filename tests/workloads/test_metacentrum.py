from __future__ import annotations

from pathlib import Path

import pytest

from lepton_rl.core.errors import WorkloadError
from lepton_rl.core.intake import Intake
from lepton_rl.workloads.kinds import kind_of
from lepton_rl.workloads.pbs import NodeRequest
from lepton_rl.workloads.sources import open_workload
from tests.workloads.files import write

MACHINES = ("0\tzewura\t2\t80\t1\t529426432", "1\tzegox\t3\t12\t1\t94035968")


def row(
    job: int, request: str, *, submit: int = 1000, run: int = 60, processors: int = 1, ram: int = 0
) -> str:
    numbers = [job, submit, 7, run, processors, 1, 1024, processors, 3600, ram, 1, 62]
    return " ".join(map(str, [*numbers, 1, 1, -1, 1, 1, 1, "{1241,1240}", "q_1d", request]))


def log(folder: Path, *rows: str) -> Path:
    write(folder, "log.machines", *MACHINES)
    return write(folder, "log.swf", "; comment", *rows)


def test_rows_become_tasks(tmp_path: Path) -> None:
    path = log(
        tmp_path,
        row(2, "2:ppn=8:x86_64:cl_zegox", submit=2000, processors=16, ram=8 * 2**30 + 1),
        row(1, "1:ppn=40:cl_zewura#excl", processors=40),
        row(3, "1:ppn=1.5:brno", submit=2000),
        row(4, "2", submit=2000, processors=7),
        row(5, "1:ppn=1+3:ppn=2", submit=2000, processors=7),
        row(6, "1:ppn=1", run=0),
        row(7, "1:ppn=81", processors=81),
    )
    assert kind_of(path).name == "metacentrum"
    workload = open_workload(path)

    assert workload.name == "log"
    assert workload.ids.tolist() == ["1", "2", "3", "4", "5"]
    assert workload.tasks["submit_us"].tolist() == [1_000_000_000] + [2_000_000_000] * 4
    cores, memory = workload.tasks["demand"][:, :2].T.tolist()
    assert cores == [40_000, 8000, 1500, 4000, 2000]
    assert memory == [0, 8193, 0, 0, 0]
    assert workload.tasks["replicas"].tolist() == [1, 2, 1, 2, 4]
    assert workload.tasks["exclusive"].tolist() == [True, False, False, False, False]
    assert set(workload.tasks["requested_us"].tolist()) == {3_600_000_000}
    assert workload.tenants is not None
    assert set(workload.tenants.tolist()) == {"62"}
    assert workload.task_classes is not None
    assert workload.task_classes[0] == "q_1d"
    assert workload.waits_us is not None
    assert workload.waits_us[0] == 7_000_000
    assert dict(workload.skipped) == {
        "run time <= 0: dropped": 1,
        "nodes of unlike size: each as large as the largest": 1,
        "larger than the cluster: dropped": 1,
    }


NODES_OF = {
    "1:ppn=1:brno": {"zewura1", "zewura2", "zegox1", "zegox2", "zegox3"},
    "1:ppn=1:cl_zewura": {"zewura1", "zewura2"},
    "1:ppn=1:^cl_zewura": {"zegox1", "zegox2", "zegox3"},
    "1:ppn=1:nodecpus12": {"zegox1", "zegox2", "zegox3"},
    "1:ppn=1:nodecpus80:^zewura1.cerit-sc.cz": {"zewura2"},
    "1:zegox2.cerit-sc.cz": {"zegox2"},
    "1:ppn=1:host=zewura2": {"zewura2"},
    "zegox3.cerit-sc.cz:ppn=1:brno": {"zegox3"},
}


def test_properties_choose_nodes(tmp_path: Path) -> None:
    rows = [row(number, request) for number, request in enumerate(NODES_OF)]
    workload = open_workload(log(tmp_path, *rows))
    intake = Intake(workload.cluster)
    for index, expected in enumerate(NODES_OF.values()):
        needed = intake.describe(workload.tasks, index, "t").required_labels
        assert {node.name for node in workload.cluster.nodes if needed <= node.labels} == expected


def test_a_host_that_is_not_there(tmp_path: Path) -> None:
    path = log(tmp_path, row(1, "1:ppn=1"), row(2, "1:ppn=1:zegox9.cerit-sc.cz"))
    workload = open_workload(path)
    assert workload.ids.tolist() == ["1"]
    assert workload.skipped["no node has its labels or device models: dropped"] == 1


def test_requests() -> None:
    assert NodeRequest.parse("2:ppn=4:a:b#excl") == NodeRequest(2, 4.0, ("a", "b"), True, False)
    assert NodeRequest.parse("3") == NodeRequest(3, None, (), False, False)
    assert NodeRequest.parse("1:ppn=14:mem=2gb") == NodeRequest(1, 14.0, (), False, False)
    with pytest.raises(ValueError, match="asks for nothing"):
        NodeRequest.parse("1:ppn=0")


def test_an_ordinary_log_is_not_one(tmp_path: Path) -> None:
    plain = " ".join(row(1, "1").split()[:18])
    assert kind_of(write(tmp_path, "plain.swf", plain)).name == "swf"
    extended = log(tmp_path, row(1, "1:ppn=1"))
    as_pool = open_workload(extended, settings={"kind": "swf"})
    assert as_pool.cluster.nodes[0].capacity == {"cpu": 2 * 80 + 3 * 12}


def test_errors(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match=r"line 3: expected 21 fields, got 20"):
        open_workload(log(tmp_path, row(1, "1"), row(2, "")))
    with pytest.raises(WorkloadError, match=r"line 3: field 4 \(run time\) must be a number"):
        open_workload(log(tmp_path, row(1, "1"), row(2, "1").replace(" 60 ", " later ")))
    with pytest.raises(WorkloadError, match=r"line 2: field 21 \(node request\) must be nodes:ppn"):
        open_workload(log(tmp_path, row(1, "0:ppn=1")))
    path = log(tmp_path, row(1, "1"))
    write(tmp_path, "log.machines", "0 zewura 2 80 1 529426432")
    with pytest.raises(
        WorkloadError, match=r"log\.machines, line 1: expected 6 tab-separated fields"
    ):
        open_workload(path)
    (tmp_path / "log.machines").unlink()
    with pytest.raises(WorkloadError, match=r"expected its node groups at .*log\.machines"):
        open_workload(path)


def test_the_public_log(trace_dir: Path) -> None:
    workload = open_workload(trace_dir / "swf" / "MetaCentrum-wagap-2013.swf.gz")
    dropped = sum(n for reason, n in workload.skipped.items() if reason.endswith("dropped"))
    assert len(workload) + dropped == 17_900
    assert workload.skipped["run time <= 0: dropped"] == 2
    assert int(workload.tasks["exclusive"].sum()) == 231
    assert len(workload.cluster.nodes) == 68
    assert Intake(workload.cluster).nodes.total.tolist()[0] == (20 * 80 + 48 * 12) * 1000
    assert workload.tenants is not None
    assert len(set(workload.tenants.tolist())) == 75


def test_demand_of_the_public_log_is_what_it_requested(trace_dir: Path) -> None:
    """Nodes x ppn is field 8 in all but the requests of 1.5 cores and of unlike nodes."""
    workload = open_workload(trace_dir / "swf" / "MetaCentrum-wagap-2013.swf.gz")
    as_pool = open_workload(
        trace_dir / "swf" / "MetaCentrum-wagap-2013.swf.gz", settings={"kind": "swf"}
    )
    asked = dict(zip(as_pool.ids.tolist(), as_pool.tasks["size"].tolist(), strict=True))
    sizes = zip(workload.ids.tolist(), workload.tasks["size"].tolist(), strict=True)
    assert sum(size != asked[job] for job, size in sizes) == 20 + 12
