from __future__ import annotations

import json
from pathlib import Path

import pytest

from lepton_rl.core.errors import ConfigError, InputFileError
from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.tasks import Task
from lepton_rl.workloads.lublin import LublinConfig, generate_lublin
from lepton_rl.workloads.sources import describe, offered_load, open_workload
from lepton_rl.workloads.workload import Workload

# sum(run time x processors) / (last submit - first submit) / machine size. The traces' README
# divides by the span to the last end, which gives the figures in the comments.
LOADS = {
    "lublin_256": 1.0608,  # 1.06
    "KTH-SP2-1996": 0.6895,  # 0.69
    "HPC2N-2002-first3170": 0.4240,  # 0.40
    "CEA-Curie-2011-sample": 0.6278,  # 0.60
    "ANL-Theta-2022": 0.7592,  # 0.76
}


@pytest.mark.parametrize("name", LOADS)
def test_offered_load_of_public_traces(trace_dir: Path, name: str) -> None:
    workload = open_workload(trace_dir / "swf" / f"{name}.swf.gz")
    assert offered_load(workload) == pytest.approx(LOADS[name], abs=5e-5)


def test_generator_by_name() -> None:
    workload = open_workload("lublin", seed=3)
    same = generate_lublin(LublinConfig(), 3)
    assert workload.run_us.tolist() == same.run_us.tolist()
    settings = {"num_tasks": 50, "load": 0.5, "classes": ["whole-sample"]}
    small = open_workload("lublin", processors=32, settings=settings)
    assert len(small) == 50
    assert small.cluster.nodes[0].capacity == {"cpu": 32}


@pytest.mark.parametrize(
    ("source", "hint"),
    [
        ("lubln", "did you mean 'lublin'"),
        ("log.swff", r"did you mean '\.swf'"),
        ("log.sfw.gz", r"did you mean '\.swf\.gz'"),
        ("folder.d/log.parquet", r"known: \.csv, \.csv\.gz, "),
        ("", "known: autonomous-driving, edge, "),
    ],
)
def test_unknown_source_names_the_known_ones(source: str, hint: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"\.swf, \.swf\.gz, .*\(lublin, ml-platform, .*, edge\); {hint}"
    ):
        open_workload(source)


def test_bad_options() -> None:
    with pytest.raises(ConfigError, match="lublin: unknown setting 'lod'; did you mean 'load'"):
        open_workload("lublin", settings={"lod": 1})
    with pytest.raises(
        ConfigError, match=r"lublin: processors: .*greater than or equal to 1, got 0"
    ):
        open_workload("lublin", processors=0)
    with pytest.raises(ConfigError, match=r"log\.swf \(swf\): unknown setting 'load'"):
        open_workload("log.swf", settings={"kind": "swf", "load": 1})
    with pytest.raises(InputFileError, match=r"cannot read log\.swf"):
        open_workload("log.swf")


def test_describe_by_hand() -> None:
    tasks = [
        Task("a", {"cpu": 2}, requested_time_s=50, submit_time_s=0, run_time_s=100),
        Task("b", {"cpu": 1}, requested_time_s=300, submit_time_s=100, run_time_s=300),
    ]
    figures = describe(Workload.from_tasks("two", Cluster.pool(4), tasks))
    assert figures["tasks"] == 2
    assert figures["processors"] == 4
    assert figures["capacity"] == {"cpu": 4}
    assert figures["span_days"] == pytest.approx(100 / 86_400)
    assert figures["offered_load"] == pytest.approx((2 * 100 + 1 * 300) / (100 * 4))
    assert figures["run_time_s"] == {
        "mean": 200, "p1": 102, "p25": 150, "p50": 200, "p75": 250, "p99": 298, "max": 300,
    }  # fmt: skip
    assert figures["gap_s"]["mean"] == 100  # type: ignore[index]
    assert figures["size"]["serial"] == 0.5  # type: ignore[index]
    assert figures["overrun"] == 0.5
    assert figures["skipped"] == {}
    assert json.loads(json.dumps(figures)) == figures


def test_load_is_that_of_the_scarcest_kind_and_counts_replicas() -> None:
    node = Node("gpu-0", {"cpu": 100, "gpu": 4}, device_model="T4")
    task = Task("a", {"cpu": 1, "gpu": 1}, 10, run_time_s=10, num_replicas=3)
    late = Task("b", {"cpu": 1}, 1, submit_time_s=10, run_time_s=1)
    workload = Workload.from_tasks("gang", Cluster((node,)), [task, late])
    assert offered_load(workload) == pytest.approx(3 * 10 / (4 * 10))


def test_no_span_has_no_load() -> None:
    workload = Workload.from_tasks("one", Cluster.pool(1), [Task("a", {"cpu": 1}, 1, run_time_s=1)])
    figures = describe(workload)
    assert figures["offered_load"] is None
    assert figures["gap_s"] == {}
