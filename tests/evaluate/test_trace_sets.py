"""Protocols over sets of traces: the registry, what is found, what is missing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from lepton_rl.core.errors import ConfigError, InputFileError, WorkloadError
from lepton_rl.evaluate import evaluate
from lepton_rl.evaluate.catalogue import PROTOCOLS, protocol_info
from lepton_rl.evaluate.fgd import PackingRow, pod_lists, published_means
from lepton_rl.evaluate.trace_sets import GPU_TRAINING, REQUESTS, TRACE_SETS, find_traces
from lepton_rl.policies.registry import rule_of


def test_every_protocol_has_name_version_and_source() -> None:
    assert list(PROTOCOLS) == [
        "heldout",
        "rlscheduler",
        "fgd",
        "gpu-training",
        "requests",
        "scenarios",
    ]
    for name, info in PROTOCOLS.items():
        assert info.name == name
        assert info.measures.endswith(".")
        assert info.source
        assert info.version > 0


def test_a_wrong_name_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean 'gpu-training'"):
        protocol_info("gpu-traning")


def test_traces_are_found_in_the_folder_or_below_it(tmp_path: Path) -> None:
    (tmp_path / "gpu").mkdir()
    (tmp_path / "gpu" / "muri_philly_trace1.csv.gz").touch()
    found = {case.title: path for case, path in find_traces(GPU_TRAINING, tmp_path)}
    assert found["Muri 1"] == tmp_path / "gpu" / "muri_philly_trace1.csv.gz"
    assert found["Philly"] is None
    with pytest.raises(InputFileError, match=r"requests: none of its traces .* with --data"):
        list(find_traces(REQUESTS, tmp_path))


@pytest.mark.parametrize("name", TRACE_SETS)
def test_each_trace_that_is_present_can_be_evaluated(name: str, trace_dir: Path) -> None:
    traces = TRACE_SETS[name]
    for case, path in find_traces(traces, trace_dir):
        if path is None or case.title in ("Philly", "DLRM instances"):  # large; the others will do
            continue
        short = replace(case, count=1, length=64)
        workload = traces.open(short, path)
        rules = {name: rule_of(spec) for name, spec in traces.heuristics.items()}
        found = evaluate(
            traces.protocol(short, workload), workload, rules, headline=traces.headline
        )
        ((_, comparison),) = found.comparisons
        assert len(comparison.results) == len(rules)
        assert comparison.windows == (f"{workload.name}[0:64]",)


def test_jobs_of_gpu_training_may_be_stopped(trace_dir: Path) -> None:
    case, path = next(
        (c, p) for c, p in find_traces(GPU_TRAINING, trace_dir) if c.title == "Muri 1"
    )
    if path is None:
        pytest.skip(f"no {case.file} in {trace_dir}")
    workload = GPU_TRAINING.open(case, path)
    assert workload.tasks["preemptible"].all()
    assert (workload.tasks["checkpoint_us"] == 60_000_000).all()


def test_pod_lists_and_published_means(tmp_path: Path) -> None:
    with pytest.raises(InputFileError, match="protocol fgd: no openb_pod_list"):
        pod_lists(tmp_path)
    (tmp_path / "openb_pod_list_default.csv.gz").touch()
    assert pod_lists(tmp_path) == {
        "openb_pod_list_default": tmp_path / "openb_pod_list_default.csv.gz"
    }
    assert published_means(tmp_path) == {}
    summary = tmp_path / "fgd_expected_summary.csv"
    summary.write_text(
        "workload,policy,arrived_pct,alloc_pct_mean\nw,01-Random,120,80\nw,01-Random,130,87.5\n",
        encoding="utf-8",
    )
    assert published_means(tmp_path) == {("w", "01-Random"): 0.875}
    summary.write_text("workload,policy,arrived_pct\nw,01-Random,130\n", encoding="utf-8")
    with pytest.raises(WorkloadError, match=r"summary.csv, line 1: expected .* 'alloc_pct_mean'"):
        published_means(tmp_path)


def test_a_packing_row() -> None:
    row = PackingRow("w", "01-Random", (0.8, 0.9), 0.86)
    assert row.mean == pytest.approx(0.85)
    assert row.deviation == pytest.approx(0.0707, abs=1e-4)
    assert row.points == pytest.approx(-1.0)
    assert PackingRow("w", "01-Random", (0.8,), None).points is None
