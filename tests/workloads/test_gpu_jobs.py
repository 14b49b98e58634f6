"""Job lists on pools of GPUs: Muri, Chronus, ElasticFlow, Tiresias."""

from __future__ import annotations

from pathlib import Path

import pytest

from lepton_rl.core.errors import WorkloadError
from lepton_rl.workloads.kinds import kind_of
from lepton_rl.workloads.sources import open_workload
from tests.workloads.files import write

MURI = (
    "job_id,num_gpu,submit_time,iterations,model_name,batch_size,duration,interval,iteration_time,"
    "resource_time_0,resource_time_1,resource_time_2,priority",
    "0,1,1500,10,dqn,128,2868500,46122000,490,446,8,0,1",
    "1,16,0,10,vgg16,16,4000,0,509,435,8,0.5,0",
)
CHRONUS = (
    "job_id,user,num_gpu,submit_time,iterations,model_name,duration,interval,expect_time_list,"
    "expect_value_list,best_effort,job_type",
    "0,vc_a,4,30,1,resnet101,211,8,282,10,0,strict",
    "1,vc_b,1,10,1,alexnet,96,5,159-189-229,10-8-5,0,soft",
    "2,vc_a,2,20,1,vgg16,146,10,20,10,1,best",
    "3,vc_a,0,5,1,vgg16,146,10,20,10,1,best",
)
ELASTICFLOW = (
    "job_id,submit_time,real_iteration,model_name,ddl,batch_size,num_gpu,real_duration,duration,"
    "iteration",
    "0,5,1282877,vgg16,771220,256,1,976570,976570,1282877",
    "1,219316,26446831,bert,2065619,64,4,1792395,1792395,26446831",
)
TIRESIAS = ("job_id,num_gpu,submit_time,iterations,model_name,duration,interval",
            "0,1,0,606,vgg19,164,30", "1,8,30,133,vgg11,147,23")  # fmt: skip
SPEC = ("num_switch,num_node_p_switch,num_gpu_p_node,num_cpu_p_node,mem_p_node", "2,3,4,128,254")


def test_muri(tmp_path: Path) -> None:
    path = write(tmp_path, "muri.csv", *MURI)
    assert kind_of(path).name == "muri"
    workload = open_workload(path)
    assert workload.ids.tolist() == ["1", "0"]
    assert workload.tasks["submit_us"].tolist() == [0, 1_500_000]
    assert workload.run_us.tolist() == [4_000_000, 2_868_500_000]
    assert workload.tasks["replicas"].tolist() == [2, 1]
    assert workload.tasks["urgency"].tolist() == [0, 1]
    assert workload.task_classes is not None
    assert workload.task_classes.tolist() == ["vgg16", "dqn"]


def test_chronus(tmp_path: Path) -> None:
    path = write(tmp_path, "chronus.csv", *CHRONUS)
    assert kind_of(path).name == "chronus"
    workload = open_workload(path, settings={"unit_s": 2})
    assert workload.ids.tolist() == ["1", "2", "0"]
    assert workload.tasks["submit_us"].tolist() == [20_000_000, 40_000_000, 60_000_000]
    assert workload.run_us.tolist() == [192_000_000, 292_000_000, 422_000_000]
    assert workload.deadlines_us is not None
    assert workload.deadlines_us.tolist() == [338_000_000, -1, 624_000_000]
    assert workload.tenants is not None
    assert workload.tenants.tolist() == ["vc_b", "vc_a", "vc_a"]
    assert workload.skipped["asks for no GPU: dropped"] == 1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (",strict", ",hard", r"line 2: field 'job_type' must be one of strict, soft, best"),
        (",282,", ",soon-later,", r"line 2: field 'expect_time_list' must be times joined by '-'"),
        (",282,", ",,", r"line 2: field 'expect_time_list' must be times"),
    ],
)
def test_malformed_chronus(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = write(tmp_path, "chronus.csv", *(line.replace(old, new, 1) for line in CHRONUS))
    with pytest.raises(WorkloadError, match=message):
        open_workload(path)


def test_elasticflow(tmp_path: Path) -> None:
    path = write(tmp_path, "ef.csv", *ELASTICFLOW)
    assert kind_of(path).name == "elasticflow"
    workload = open_workload(path)
    assert workload.tasks["submit_us"].tolist() == [5_000_000, 219_316_000_000]
    assert workload.deadlines_us is not None
    assert workload.deadlines_us.tolist() == [771_220_000_000, 2_065_619_000_000]
    assert workload.tasks["demand"].tolist()[1][0] == 4000


def test_tiresias(tmp_path: Path) -> None:
    path = write(tmp_path, "jobs.csv", *TIRESIAS)
    with pytest.raises(
        WorkloadError, match=r"expected its cluster file at .*tiresias_cluster_spec"
    ):
        open_workload(path)
    write(tmp_path, "tiresias_cluster_spec.csv", *SPEC)
    assert kind_of(path).name == "tiresias"
    workload = open_workload(path)
    assert [node.name for node in workload.cluster.nodes][:4] == [
        "node-0-0", "node-0-1", "node-0-2", "node-1-0",
    ]  # fmt: skip
    assert workload.cluster.nodes[5].capacity == {"cpu": 128, "memory": 254, "gpu": 4}
    assert workload.cluster.nodes[5].labels == {"switch-1"}
    assert workload.tasks["replicas"].tolist() == [1, 2]


PUBLIC = {
    "muri_philly_trace1.csv.gz": (1494, 1494),
    "muri_philly_trace2.csv.gz": (5755, 5755),
    "chronus_philly_SLO.csv.gz": (30940, 30735),
    "chronus_philly_MIX2.csv.gz": (30940, 30746),
    "elasticflow_philly_103959.csv": (876, 876),
    "tiresias_60_job.csv": (60, 60),
}
"""Rows, and tasks made of them: jobs of no GPU (205 and 194) are left out."""


@pytest.mark.parametrize("name", PUBLIC)
def test_the_public_traces(trace_dir: Path, name: str) -> None:
    workload = open_workload(trace_dir / "gpu" / name)
    rows, tasks = PUBLIC[name]
    assert len(workload) == tasks
    assert workload.skipped.get("asks for no GPU: dropped", 0) == rows - tasks
    workload.check_feasible()


def test_deadlines_of_the_public_traces(trace_dir: Path) -> None:
    mixed = open_workload(trace_dir / "gpu" / "chronus_philly_MIX2.csv.gz")
    assert mixed.deadlines_us is not None
    assert mixed.tenants is not None
    assert len(set(mixed.tenants.tolist())) == 11
    assert 3000 < int((mixed.deadlines_us == -1).sum()) <= 3139  # best effort, some of no GPU
    elastic = open_workload(trace_dir / "gpu" / "elasticflow_philly_103959.csv")
    assert elastic.deadlines_us is not None
    slack = (elastic.deadlines_us - elastic.tasks["submit_us"]) / elastic.run_us
    assert 0.5 <= slack.min() < slack.max() <= 1.5
