"""Requests and instances: Azure LLM, Azure Functions, DLRM, LoRA."""

from __future__ import annotations

from pathlib import Path

import pytest

from lepton_rl.core.errors import ConfigError, WorkloadError
from lepton_rl.core.intake import Intake
from lepton_rl.workloads.kinds import kind_of
from lepton_rl.workloads.sources import open_workload
from tests.workloads.files import write

LLM = (
    "TIMESTAMP,ContextTokens,GeneratedTokens",
    "2023-11-16 18:15:50.9951690,400,100",
    "2023-11-16 18:15:46.6805900,1000,50",
)
FUNCTIONS = (
    "app,func,end_timestamp,duration",
    "a1,f1,10.25,10.0",
    "a1,f2,5.5,0",
    "a2,f3,1.0,1.5",
)
DLRM_HEADER = (
    "instance_sn,role,app_name,cpu_request,cpu_limit,gpu_request,gpu_limit,rdma_request,"
    "rdma_limit,memory_request,memory_limit,disk_request,disk_limit,max_instance_per_node,"
    "creation_time,scheduled_time,deletion_time"
)
DLRM = (
    DLRM_HEADER,
    "i0,HN,app_0,12,12,1,1,25,25,120.5,120.0,640.0,800.0,8,,,",
    "i1,CN,app_1,64,64,0,0,1,1,320.0,320.0,340.0,400.0,-1,100.0,107.0,500.0",
    "i2,CN,app_1,64,64,0,0,1,1,320.0,320.0,340.0,400.0,-1,100.0,100.0,90.0",
    "i3,CN,app_1,6400,64,0,0,1,1,320.0,320.0,340.0,400.0,-1,100.0,100.0,190.0",
)
LORA = (
    "gmt_create,predict_type,predict_status,exec_time_seconds,groupId,prompt_length,"
    "negative_prompt_length,num_images_per_prompt,num_inference_steps,"
    "checkpoint_model_version_id,num_lora",
    "2024-11-15 16:57:50,TXT_2_IMG,SUCCEED,32.0,G0,63.0,26.0,1.0,30.0,M0,0",
    "2024-11-15 16:57:40,IMG_2_IMG,FAILED,43.0,G1,93.0,,1.0,40.0,M1,0",
    "2024-11-15 16:58:00,TXT_2_IMG,PENDING,0.0,G1,93.0,,1.0,40.0,M1,0",
)


def test_service_times_of_llm_requests(tmp_path: Path) -> None:
    settings = {"overhead_s": 1, "prefill_tokens_per_s": 100, "decode_tokens_per_s": 10,
                "expected_generated_tokens": 20, "share_of_card": 0.25}  # fmt: skip
    path = write(tmp_path, "llm.csv", *LLM)
    assert kind_of(path).name == "azure-llm"
    workload = open_workload(path, settings=settings)
    assert workload.ids.tolist() == ["3", "2"]
    assert workload.tasks["submit_us"].tolist() == [0, 4_314_579]
    assert workload.run_us.tolist() == [16_000_000, 15_000_000]  # 1 + 10 + 5, 1 + 4 + 10
    assert workload.tasks["requested_us"].tolist() == [13_000_000, 7_000_000]
    assert workload.tasks["demand"][:, 0].tolist() == [250, 250]
    with pytest.raises(ConfigError, match=r"decode_tokens_per_s: .*greater than 0"):
        open_workload(path, settings={"decode_tokens_per_s": 0})


def test_functions(tmp_path: Path) -> None:
    path = write(tmp_path, "functions.csv", *FUNCTIONS)
    assert kind_of(path).name == "azure-functions"
    workload = open_workload(path, settings={"cores": 0.5})
    assert workload.ids.tolist() == ["4", "2", "3"]
    assert workload.tasks["submit_us"].tolist() == [0, 250_000, 5_500_000]
    assert workload.run_us.tolist() == [1_500_000, 10_000_000, 1000]
    assert workload.tasks["demand"][:, 0].tolist() == [500] * 3
    assert workload.task_classes is not None
    assert workload.task_classes.tolist() == ["f3", "f1", "f2"]


def test_instances(tmp_path: Path) -> None:
    path = write(tmp_path, "dlrm.csv", *DLRM)
    assert kind_of(path).name == "dlrm"
    workload = open_workload(path, settings={"end_s": 1000})
    assert workload.ids.tolist() == ["i0", "i1", "i2"]
    assert workload.cluster.schema.names == ("cpu", "memory", "disk", "rdma", "gpu")
    demand = workload.tasks["demand"][:, :5].tolist()
    assert demand[0] == [12_000, 123_392, 655_360, 25_000, 1000]
    assert demand[1] == [64_000, 327_680, 348_160, 1000, 0]
    assert workload.tasks["submit_us"].tolist() == [0, 100_000_000, 100_000_000]
    assert workload.run_us.tolist() == [1_000_000_000, 400_000_000, 1_000_000]
    assert workload.waits_us is not None
    assert workload.waits_us.tolist() == [-1, 7_000_000, 0]
    intake = Intake(workload.cluster)
    assert intake.describe(workload.tasks, 0, "i0").required_labels == {"HN"}
    assert dict(workload.skipped) == {
        "max_instance_per_node not kept": 1,
        "there before the trace began: submitted at 0": 1,
        "outlives the trace: ends at 1000 s": 1,
        "run time <= 0: 1 s taken": 1,
        "requested time unknown: run time taken": 4,
        "larger than the cluster: dropped": 1,
    }


def test_instances_on_other_nodes(tmp_path: Path) -> None:
    nodes = {"nodes": 1, "cpu": 8, "memory_gib": 64, "disk_gib": 100, "rdma_percent": 100}
    path = write(tmp_path, "dlrm.csv", *DLRM)
    workload = open_workload(path, settings={"cpu_nodes": nodes})
    assert workload.ids.tolist() == ["i0"]
    with pytest.raises(ConfigError, match=r"unknown setting 'cpu_nodes\.cpus'; did you mean 'cpu'"):
        open_workload(path, settings={"cpu_nodes": {**nodes, "cpus": 3}})


def test_an_instance_of_another_role(tmp_path: Path) -> None:
    path = write(tmp_path, "dlrm.csv", DLRM[1 - 1], DLRM[1], DLRM[2].replace("CN", "XN"))
    workload = open_workload(path)
    assert workload.ids.tolist() == ["i0"]
    assert workload.skipped["no node has its labels or device models: dropped"] == 1


def test_image_requests(tmp_path: Path) -> None:
    path = write(tmp_path, "lora.csv", *LORA)
    assert kind_of(path).name == "lora"
    workload = open_workload(path)
    assert workload.ids.tolist() == ["3", "2"]
    assert workload.tasks["submit_us"].tolist() == [0, 10_000_000]
    assert workload.run_us.tolist() == [43_000_000, 32_000_000]
    assert workload.skipped["never executed: dropped"] == 1
    with pytest.raises(WorkloadError, match="line 2: field 'exec_time_seconds' must be a number"):
        open_workload(write(tmp_path, "bad.csv", LORA[0], LORA[1].replace("32.0", "long")))


PUBLIC = {
    "AzureLLMInferenceTrace_conv.csv.gz": 19_366,
    "azure_functions_2021_sample.csv": 199,
    "disaggregated_DLRM_trace.csv.gz": 23_871,
    "lora_request_trace.csv.gz": 26_823 - 30,
}


@pytest.mark.parametrize("name", PUBLIC)
def test_the_public_traces(trace_dir: Path, name: str) -> None:
    workload = open_workload(trace_dir / "requests" / name)
    assert len(workload) == PUBLIC[name]
    workload.check_feasible()


def test_facts_of_the_public_traces(trace_dir: Path) -> None:
    folder = trace_dir / "requests"
    llm = open_workload(folder / "AzureLLMInferenceTrace_conv.csv.gz")
    assert 57 < llm.tasks["submit_us"][-1] / 60e6 < 60  # 58 min
    functions = open_workload(folder / "azure_functions_2021_sample.csv")
    assert functions.task_classes is not None
    assert len(set(functions.task_classes.tolist())) == 31
    dlrm = open_workload(folder / "disaggregated_DLRM_trace.csv.gz")
    assert dlrm.tenants is not None
    assert dlrm.task_classes is not None
    assert len(set(dlrm.tenants.tolist())) == 156
    assert dlrm.task_classes.tolist().count("HN") == 7386
