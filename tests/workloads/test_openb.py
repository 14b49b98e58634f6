from __future__ import annotations

from pathlib import Path

import pytest

from lepton_rl.core.errors import ConfigError, WorkloadError
from lepton_rl.core.intake import Intake
from lepton_rl.workloads.openb import NODE_LIST
from lepton_rl.workloads.sources import open_workload
from tests.workloads.files import write

NODES = (
    "sn,cpu_milli,memory_mib,gpu,model",
    "n0,64000,262144,2,P100",
    "n1,96000,393216,8,G2",
    "n2,32000,65536,0,",
)
HEADER = (
    "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,pod_phase,creation_time,"
    "deletion_time,scheduled_time"
)
PODS = (
    HEADER,
    "late,12000,16384,1,1000,,LS,Running,100,1100,107",
    "share,6500,100,1,460,P100|T4,BE,Running,50,60,50",
    "cards,4000,2048,8,1000,,LS,Succeeded,60,90,",
    "plain,1000,1024,0,0,,Burstable,Failed,70,70,70",
    "foreign,1000,1024,1,500,T4,LS,Running,80,90,80",
    "huge,96001,1024,0,0,,LS,Running,80,90,80",
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path, NODE_LIST, *NODES)
    write(tmp_path, "pods.csv", *PODS)
    return tmp_path


def test_pods_become_tasks(folder: Path) -> None:
    workload = open_workload(folder / "pods.csv")

    assert workload.name == "pods"
    assert workload.ids.tolist() == ["share", "cards", "plain", "late"]
    assert workload.tasks["submit_us"].tolist() == [50_000_000, 60_000_000, 70_000_000, 100_000_000]
    assert workload.run_us.tolist() == [10_000_000, 30_000_000, 1_000_000, 1_000_000_000]
    assert workload.tasks["requested_us"].tolist() == workload.run_us.tolist()
    assert workload.tasks["demand"][:, :3].tolist() == [
        [6500, 100, 460], [4000, 2048, 8000], [1000, 1024, 0], [12000, 16384, 1000],
    ]  # fmt: skip
    assert workload.tasks["size"].tolist() == [0.46, 8.0, 1.0, 1.0]
    assert workload.task_classes is not None
    assert workload.task_classes.tolist() == ["BE", "LS", "Burstable", "LS"]
    assert workload.waits_us is not None
    assert workload.waits_us.tolist() == [0, -1, 0, 7_000_000]
    assert dict(workload.skipped) == {
        "never started in the log: its life taken as run time": 1,
        "run time <= 0: 1 s taken": 1,
        "requested time unknown: run time taken": 6,
        "no node has its labels or device models: dropped": 1,
        "larger than the cluster: dropped": 1,
    }


def test_constraints_are_those_of_described_tasks(folder: Path) -> None:
    workload = open_workload(folder / "pods.csv")
    share = Intake(workload.cluster).describe(workload.tasks, 0, "share")
    assert share.device_models == {"P100"}  # no node has a T4
    assert share.demand == {"cpu": 6.5, "memory": 100 / 1024, "gpu": 0.46}
    workload.check_feasible()


def test_a_smaller_cluster_and_faster_arrivals(folder: Path) -> None:
    whole = open_workload(folder / "pods.csv")
    part = open_workload(folder / "pods.csv", settings={"every_node": 2, "speed_up": 10})
    assert [node.name for node in part.cluster.nodes] == ["n0", "n2"]
    assert part.ids.tolist() == ["share", "plain", "late"]  # eight cards are on n1
    assert part.tasks["submit_us"].tolist() == [5_000_000, 7_000_000, 10_000_000]
    assert part.run_us.tolist() == whole.run_us[[0, 2, 3]].tolist()


def test_nodes(folder: Path) -> None:
    nodes = open_workload(folder / "pods.csv").cluster.nodes
    assert [node.name for node in nodes] == ["n0", "n1", "n2"]
    assert nodes[1].capacity == {"cpu": 96, "memory": 384, "gpu": 8}
    assert [node.device_model for node in nodes] == ["P100", "G2", ""]


def test_another_node_list(folder: Path) -> None:
    write(folder, "few.csv", *NODES[:2])
    by_name = open_workload(folder / "pods.csv", settings={"nodes": "few.csv"})
    by_path = open_workload(folder / "pods.csv", settings={"nodes": str(folder / "few.csv")})
    assert len(by_name.cluster.nodes) == len(by_path.cluster.nodes) == 1
    with pytest.raises(WorkloadError, match=r"expected its node list at .*no\.csv.*setting nodes"):
        open_workload(folder / "pods.csv", settings={"nodes": "no.csv"})


def test_a_list_without_times(folder: Path) -> None:
    lines = [",".join(line.split(",")[:5]) for line in PODS[:4]]
    write(folder, "bare.csv", *lines)

    workload = open_workload(folder / "bare.csv", settings={"interval_s": 2, "run_time_s": 5})

    assert workload.ids.tolist() == ["late", "share", "cards"]
    assert workload.tasks["submit_us"].tolist() == [0, 2_000_000, 4_000_000]
    assert workload.run_us.tolist() == [5_000_000] * 3
    assert workload.waits_us is None
    assert workload.skipped["the list has no times: interval_s and run_time_s taken"] == 3


def test_odd_shares_are_changed_and_counted(folder: Path) -> None:
    write(folder, "odd.csv", HEADER, "a,1,1,2,300,,LS,Running,0,9,0", "b,1,1,1,0,,LS,Running,0,9,0")
    workload = open_workload(folder / "odd.csv")
    assert workload.tasks["demand"][:, 2].tolist() == [2000, 1000]
    assert workload.skipped["a share of no or several cards: whole cards taken"] == 2


def test_errors(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"\(openb\): unknown setting 'node'; did you mean 'nod"):
        open_workload(folder / "pods.csv", settings={"node": 3})
    write(folder, "bad.csv", *PODS[:2], PODS[2].replace("6500", "lots"))
    with pytest.raises(WorkloadError, match=r"bad\.csv, line 3: field 'cpu_milli' must be a whole"):
        open_workload(folder / "bad.csv")
    write(folder, "only.csv", HEADER, PODS[6])
    with pytest.raises(WorkloadError, match=r"none of its 1 tasks .*larger than the cluster: drop"):
        open_workload(folder / "only.csv")


ROWS = {"default": 8152, "gpuspec33": 8152, "cpu250": 9420, "gpushare100": 8152, "multigpu50": 9061}


@pytest.mark.parametrize("name", ROWS)
def test_the_public_traces(trace_dir: Path, name: str) -> None:
    workload = open_workload(trace_dir / "openb" / f"openb_pod_list_{name}.csv.gz")

    dropped = sum(n for reason, n in workload.skipped.items() if reason.endswith("dropped"))
    assert len(workload) + dropped == ROWS[name]
    capacity = Intake(workload.cluster).nodes.total.tolist()
    assert (capacity[0], capacity[2]) == (107_018_000, 6_212_000)
    assert len(workload.cluster.nodes) == 1213


def test_facts_of_the_default_trace(trace_dir: Path) -> None:
    settings = {"nodes": "openb_node_list_all_node.csv"}
    path = trace_dir / "openb" / "openb_pod_list_default.csv.gz"
    workload = open_workload(path, settings=settings)

    assert len(workload) == 8152
    assert len(workload.cluster.nodes) == 1523
    assert workload.skipped["never started in the log: its life taken as run time"] == 897
    assert sorted(workload.run_us)[len(workload) // 2] == 540_000_000
    spec = open_workload(trace_dir / "openb" / "openb_pod_list_gpuspec33.csv.gz")
    assert int((spec.tasks["models"] > 0).sum()) == 2388 - (8152 - len(spec))
