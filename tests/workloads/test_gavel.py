from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from lepton_rl.core.errors import ConfigError, WorkloadError
from lepton_rl.core.intake import Intake
from lepton_rl.workloads.gavel import THROUGHPUTS, read_throughputs
from lepton_rl.workloads.sources import open_workload
from tests.workloads.files import write

JOBS = (
    "LM\tpython3 main.py\t--steps\t1\t1000\t0.000000\t1",
    "LM\tpython3 main.py\t--steps\t1\t1000\t5.500000\t8",
    "A3C\tpython3 main.py\t--steps\t1\t300\t7.000000\t1",
    "A3C\tpython3 main.py\t--steps\t1\t300\t8.000000\t2",
)
SPEEDS: dict[str, Any] = {
    "v100": {
        "('LM', 1)": {"null": 10.0, "('A3C', 1)": [4.0, 2.0]},
        "('LM', 8)": {"null": 50.0},
        "('A3C', 1)": {"null": 3.0},
    },
    "k80": {
        "('LM', 1)": {"null": 2.5},
        "('LM', 8)": {"null": 0.0},
        "('A3C', 1)": {"null": 3.0},
    },
}
NODES = {"nodes": {"v100": 2, "k80": 1}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / THROUGHPUTS).write_bytes(gzip.compress(json.dumps(SPEEDS).encode()))
    write(tmp_path, "jobs.trace", *JOBS)
    return tmp_path


def test_jobs_become_tasks(folder: Path) -> None:
    workload = open_workload(folder / "jobs.trace", settings=NODES)

    assert workload.ids.tolist() == ["1", "2", "3"]
    assert workload.tasks["submit_us"].tolist() == [0, 5_500_000, 7_000_000]
    assert workload.run_us.tolist() == [100_000_000, 20_000_000, 100_000_000]
    assert workload.tasks["replicas"].tolist() == [1, 2, 1]
    assert workload.tasks["size"].tolist() == [1, 8, 1]
    assert workload.task_classes is not None
    assert workload.task_classes.tolist() == ["LM x1", "LM x8", "A3C x1"]
    assert workload.skipped["no throughput on v100: dropped"] == 1


def test_speeds_and_where_a_job_fits(folder: Path) -> None:
    workload = open_workload(folder / "jobs.trace", settings=NODES)
    nodes = {node.device_model: node for node in workload.cluster.nodes}
    assert nodes["v100"].speed_of("LM x1") == 1
    assert nodes["k80"].speed_of("LM x1") == 0.25
    assert nodes["k80"].speed_of("A3C x1") == 1
    intake = Intake(workload.cluster)
    models = [intake.describe(workload.tasks, row, "t").device_models for row in range(3)]
    assert models == [set(), {"v100"}, set()]


def test_another_reference(folder: Path) -> None:
    workload = open_workload(folder / "jobs.trace", settings={**NODES, "reference": "k80"})
    assert workload.run_us.tolist() == [400_000_000, 100_000_000]
    nodes = {node.device_model: node for node in workload.cluster.nodes}
    assert nodes["v100"].speed_of("LM x1") == 4


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("LM\tpython3", "line 2: expected 7 tab-separated fields, got 2"),
        (JOBS[0].replace("1000", "many"), r"line 2: field 5 \(total steps\) must be a number"),
        (JOBS[0].replace("0.000000", "-1"), r"line 2: field 6 \(arrival\) must be a number"),
        (JOBS[0][:-1] + "0", r"line 2: field 7 \(GPUs\) must be a whole number from 1"),
    ],
)
def test_malformed_traces(folder: Path, line: str, message: str) -> None:
    with pytest.raises(WorkloadError, match=rf"bad\.trace, {message}"):
        open_workload(write(folder, "bad.trace", JOBS[0], line))


@pytest.mark.parametrize(
    "content",
    ["[]", "{", '{"v100": {"LM": {}}}', '{"v100": {"(\'LM\', 1)": {"null": -1}}}', "{} x"],
)
def test_malformed_throughputs(tmp_path: Path, content: str) -> None:
    with pytest.raises(WorkloadError, match=r"t\.json: expected JSON of GPU type"):
        read_throughputs(write(tmp_path, "t.json", content))


def test_code_in_a_throughput_file_is_not_run(tmp_path: Path) -> None:
    content = json.dumps({"v100": {"__import__('os').abort()": {"null": 1.0}}})
    with pytest.raises(WorkloadError, match="expected JSON of GPU type"):
        read_throughputs(write(tmp_path, "t.json", content))


def test_unknown_types_and_missing_files(folder: Path) -> None:
    with pytest.raises(ConfigError, match="no GPU type 'v10'; did you mean 'v100'"):
        open_workload(folder / "jobs.trace", settings={"nodes": {"v10": 1}})
    with pytest.raises(ConfigError, match="nodes: v100 must be from 1 to 100000, got 0"):
        open_workload(folder / "jobs.trace", settings={"nodes": {"v100": 0}})
    with pytest.raises(WorkloadError, match=r"expected its throughput file at .*no\.json"):
        open_workload(folder / "jobs.trace", settings={"throughputs": "no.json"})
    with pytest.raises(WorkloadError, match="none of its 1 jobs has a throughput on v100"):
        open_workload(write(folder, "one.trace", JOBS[3]), settings=NODES)


def test_the_public_traces(trace_dir: Path) -> None:
    for name, rows in {"ee9e8c": 2000, "0e4a51": 1181}.items():
        workload = open_workload(trace_dir / "gpu" / f"gavel_msr_seed0_{name}.trace.gz")
        assert len(workload) + workload.skipped["no throughput on v100: dropped"] == rows
        assert len(workload.cluster.nodes) == 27
        workload.check_feasible()


def test_run_times_of_the_public_trace(trace_dir: Path) -> None:
    """Run time = total steps / throughput, for the first job on each type of GPU."""
    workload = open_workload(trace_dir / "gpu" / "gavel_msr_seed0_ee9e8c.trace.gz")
    speeds = read_throughputs(trace_dir / "gpu" / THROUGHPUTS)
    key = ("Transformer (batch size 128)", 1)
    assert len(speeds) == 6
    nodes = {node.device_model: node for node in workload.cluster.nodes}
    for model in ("v100", "p100", "k80"):
        there_s = workload.run_us[0] / 1e6 / nodes[model].speed_of(f"{key[0]} x1")
        assert there_s == pytest.approx(15_486_530 / speeds[model][key], rel=1e-9)
