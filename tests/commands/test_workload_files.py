"""`lepton-rl workload` on every file that stands with the public traces."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from lepton_rl.cli import main
from lepton_rl.workloads.kinds import TRACE_SUFFIXES
from lepton_rl.workloads.philly import PhillySettings
from lepton_rl.workloads.sources import open_workload

Capture = pytest.CaptureFixture[str]

BESIDE = {
    "gpu/gavel_simulation_throughputs.json.gz": "throughputs",
    "gpu/helios_earth_vc_gpu_number.csv": "quotas",
    "gpu/philly_node_sequence.csv.gz": "rows_with_so_many",
    "gpu/tiresias_cluster_spec.csv": "device_models",
    "openb/openb_node_list_all_node.csv": "device_models",
    "openb/openb_node_list_gpu_node.csv": "device_models",
    "openb/spot2026_node_info_df.csv.gz": "device_models",
    "swf/HPC2N.machines": "capacity",
    "swf/MetaCentrum-wagap-2013.machines": "capacity",
}
"""Files that are no work, and a figure that `describe` has of them."""

RESULTS = "fgd_"
"""Figures that others have published; `evaluate --protocol fgd` reads those it needs."""


@pytest.mark.parametrize("name", BESIDE)
def test_files_beside_traces_are_described(name: str, trace_dir: Path, capsys: Capture) -> None:
    if not (trace_dir / name).is_file():
        pytest.skip(f"no {name}")
    assert main(["workload", "describe", str(trace_dir / name), "--json"]) == 0
    assert BESIDE[name] in json.loads(capsys.readouterr().out)


def test_phillys_default_pool_is_what_its_cluster_had_most_often(
    trace_dir: Path, capsys: Capture
) -> None:
    path = trace_dir / "gpu" / "philly_node_sequence.csv.gz"
    if not path.is_file():
        pytest.skip(f"no {path}")
    assert main(["workload", "describe", str(path), "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert (figures["nodes"], figures["rows_with_so_many"]) == (PhillySettings().nodes, 102_704)
    assert figures["rows"] == 105_644


def test_a_columnar_file_says_the_same(tmp_path: Path, capsys: Capture) -> None:
    made = str(tmp_path / "made.npz")
    options = ["--generator", "edge", "--set", "num_tasks=300", "--seed", "3"]
    assert main(["workload", "generate", made, *options]) == 0
    assert main(["workload", "convert", made, str(tmp_path / "again.npz")]) == 0
    capsys.readouterr()
    described = []
    for name in ("made", "again"):
        assert main(["workload", "describe", str(tmp_path / f"{name}.npz"), "--json"]) == 0
        described.append(json.loads(capsys.readouterr().out))
    assert described[0] == described[1]
    assert described[0]["tasks"] == 300


@pytest.mark.slow
def test_every_public_trace_is_described_and_converted(
    trace_dir: Path, tmp_path: Path, capsys: Capture
) -> None:
    done = 0
    for path in sorted(trace_dir.rglob("*")):
        name = str(path.relative_to(trace_dir))
        if not path.name.lower().endswith((*TRACE_SUFFIXES, ".csv", ".csv.gz")):
            continue
        if name in BESIDE or path.name.startswith(RESULTS):
            continue
        made = tmp_path / f"{done}.npz"
        assert main(["workload", "describe", str(path), "--json"]) == 0, name
        tasks = json.loads(capsys.readouterr().out)["tasks"]
        assert main(["workload", "convert", str(path), str(made)]) == 0, name
        assert len(open_workload(made)) == tasks
        capsys.readouterr()
        done += 1
    assert done >= 1
