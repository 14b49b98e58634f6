from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lepton_rl.core.errors import ConfigError, InputFileError, WorkloadError
from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.resources import ResourceKind, ResourceSchema
from lepton_rl.core.tasks import Task
from lepton_rl.workloads.columnar import _OPTIONAL_SPECS, read_columnar, write_columnar
from lepton_rl.workloads.lublin import LublinConfig, generate_lublin
from lepton_rl.workloads.record_codes import write_codes
from lepton_rl.workloads.sources import open_workload
from lepton_rl.workloads.workload import OPTIONAL, Workload

Loaded = dict[str, NDArray[Any]]

CLUSTER = Cluster(
    (
        Node("a", {"cpu": 3.25, "net": 7}, labels=frozenset({"x", "ü"}), idle_watts=50.5,
             peak_watts=300),
        Node("b", {"cpu": 8, "gpu": 2}, "T4", speed_factors={"train": 0.1, "serve": 3}),
        Node("c", {"cpu": 8, "gpu": 2}, "A100", frozenset({"x"}), {"train": 0.1, "serve": 3}),
    ),
    ResourceSchema(
        (
            ResourceKind("cpu", "cores", 1000),
            ResourceKind("net", "Gbit/s", 10),
            ResourceKind("gpu", "cards", 1000, is_device=True),
        )
    ),
)  # fmt: skip
TASKS = (
    Task("first", {"cpu": 1.5, "net": 0.1}, 9.0, 1.0, 3.0, required_labels=frozenset({"ü"}),
         deadline_s=12.5, preemptible=True, checkpoint_interval_s=0.5),
    Task("second", {"gpu": 0.3}, 2.5, 1.0, 1e-6, num_replicas=2, urgency=-1.5, tenant="ann",
         device_models=frozenset({"T4", "A100"}), exclusive_node=True, critical=True),
)  # fmt: skip


def workload() -> Workload:
    described = Workload.from_tasks("small", CLUSTER, TASKS)
    classes = np.array(["train", ""])
    write_codes(described.tasks, CLUSTER, described.tenants, classes)
    return replace(
        described,
        skipped={"why: dropped": 3},
        waits_us=np.array([-1, 5]),
        task_classes=classes,
    )


def require_equal(one: Workload, other: Workload) -> None:
    assert (one.name, one.cluster, dict(one.skipped)) == (
        other.name, other.cluster, dict(other.skipped)
    )  # fmt: skip
    assert one.tasks.dtype == other.tasks.dtype
    for name in one.tasks.dtype.names or ():
        assert (one.tasks[name] == other.tasks[name]).all(), name
    for name in ("run_us", "ids", *OPTIONAL):
        mine, its = getattr(one, name), getattr(other, name)
        assert (mine is None) == (its is None), name
        assert mine is None or (mine == its).all(), name


def test_round_trip_is_exact(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    write_columnar(workload(), path)
    require_equal(open_workload(path), workload())
    assert [each.name for each in tmp_path.iterdir()] == ["w.npz"]


def test_round_trip_without_optional_arrays(tmp_path: Path) -> None:
    bare = generate_lublin(LublinConfig(num_tasks=50), 1)
    write_columnar(bare, tmp_path / "w.npz")
    require_equal(read_columnar(tmp_path / "w.npz"), bare)


def test_the_same_workload_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.npz", "two.npz"):
        write_columnar(workload(), tmp_path / name)
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


def test_every_optional_array_has_a_specification() -> None:
    assert set(_OPTIONAL_SPECS) == set(OPTIONAL)


def test_other_names_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"w\.csv: expected a name that ends in \.npz"):
        write_columnar(workload(), tmp_path / "w.csv")
    with pytest.raises(InputFileError, match=r"cannot read .*no\.npz: No such file"):
        read_columnar(tmp_path / "no.npz")
    with pytest.raises(ConfigError, match="unknown setting 'nodes'"):
        open_workload(tmp_path / "no.npz", settings={"nodes": 3})


@pytest.mark.parametrize(
    "source",
    [
        "openb/openb_pod_list_gpuspec33.csv.gz",
        "gpu/gavel_msr_seed0_0e4a51.trace.gz",
        "gpu/chronus_philly_MIX2.csv.gz",
        "requests/disaggregated_DLRM_trace.csv.gz",
        "swf/MetaCentrum-wagap-2013.swf.gz",
        "swf/KTH-SP2-1996.swf.gz",
    ],
)
def test_round_trip_of_public_traces(trace_dir: Path, tmp_path: Path, source: str) -> None:
    whole = open_workload(trace_dir / source)
    write_columnar(whole, tmp_path / "w.npz")
    require_equal(read_columnar(tmp_path / "w.npz"), whole)


# Files that were not written by us


def changed(folder: Path, change: Callable[[Loaded], object]) -> Path:
    path = folder / "w.npz"
    write_columnar(workload(), path)
    with np.load(path, allow_pickle=False) as file:
        arrays: Loaded = dict(file)
    change(arrays)
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


def put(name: str, values: object, dtype: object = None) -> Callable[[Loaded], object]:
    return lambda arrays: arrays.update({name: np.array(values, dtype)})  # type: ignore[call-overload]


def drop(name: str) -> Callable[[Loaded], object]:
    return lambda arrays: arrays.pop(name)


BAD: dict[str, tuple[Callable[[Loaded], object], str]] = {
    "no format": (drop("format"), "expected an array 'format', got none"),
    "other format": (put("format", "x"), "expected format 'lepton-rl workload' version 1, got 'x'"),
    "newer": (put("version", 2), "got 'lepton-rl workload' version 2; convert the source again"),
    "missing": (drop("tasks.demand"), "expected an array 'tasks.demand'"),
    "unknown": (put("tenant", ["a", "b"]), "unknown array 'tenant'; did you mean 'tenants'"),
    "text for numbers": (put("run_us", ["1", "2"]), "'run_us' must be int64 of 1 dimensions, got"),
    "floats for integers": (put("run_us", [1.0, 2.0]), "'run_us' must be int64"),
    "other byte order": (put("run_us", [1, 2], ">i8"), "'run_us' must be int64"),
    "two dimensions": (put("ids", [["a", "b"]]), "'ids' must be U of 1 dimensions"),
    "another length": (put("run_us", [1, 2, 3]), "does not fit the other arrays"),
    "another kind count": (put("tasks.demand", [[1], [2]]), "'tasks.demand' has the shape"),
    "run time 0": (put("run_us", [0, 1]), "'run_us' must hold values from 1 to 1e.17, got 0 to 1"),
    "negative demand": (put("tasks.demand", [[1, 1, 0], [0, -1, 0]]), "'tasks.demand' must hold"),
    "no replicas": (put("tasks.replicas", [1, 0]), "'tasks.replicas' must hold values from 1"),
    "urgency NaN": (put("tasks.urgency", [np.nan, 0]), "'tasks.urgency' must hold"),
    "unknown label": (put("tasks.labels", [4, 0]), "'tasks.labels' must have the bits of 2 names"),
    "unknown model": (put("tasks.models", [0, 4]), "'tasks.models' must have the bits of 2 names"),
    "labels not sorted": (put("labels.names", ["ü", "x"]), "'labels.names' must be .*sorted"),
    "label of no node": (put("nodes.labels", [1, 0, 1]), "'labels.names' must be labels that a"),
    "speeds out of bounds": (put("nodes.speeds", [0, 9, 1]), "'nodes.speeds' must be rows of"),
    "speed 0": (put("speeds.factors", np.zeros((2, 2))), "'speeds.factors' must hold"),
    "two equal nodes": (put("nodes.names", ["a", "a", "b"]), "two nodes are named 'a'"),
    "half a card": (
        put("nodes.capacity", [[3.25, 7, 0.5], [8, 1, 2], [8, 1, 2]]), "must be whole cards",
    ),
    "unused kind": (put("nodes.capacity", [[3.0, np.nan, 1]] * 3), "'kinds.names' must be kinds"),
    "kinds that are equal": (put("kinds.names", ["cpu", "cpu", "gpu"]), "names must differ"),
    "no nodes": (
        lambda arrays: [
            put(name, values[:0])(arrays) for name, values in list(arrays.items())
            if name.startswith("nodes.")
        ],
        "labels that a node carries",
    ),
    "not in order": (put("tasks.submit_us", [2, 1]), "must be in order of their submit times"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_no_workload_can_hold_is_refused(tmp_path: Path, case: str) -> None:
    change, message = BAD[case]
    with pytest.raises(WorkloadError, match=message):
        read_columnar(changed(tmp_path, change))


class Explosive:
    """Unpickling it would end the process."""

    def __reduce__(self) -> tuple[object, ...]:
        return exit, (42,)


def test_nothing_in_a_file_runs(tmp_path: Path) -> None:
    path = changed(tmp_path, put("name", Explosive(), object))
    with pytest.raises(WorkloadError, match=r"name\.npy is not a plain NumPy array .*objects"):
        read_columnar(path)


def npy(shape: tuple[int, ...], data: bytes) -> bytes:
    file = io.BytesIO()
    header = {"descr": "<i8", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(file, header)
    return file.getvalue() + data


def test_headers_that_lie_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("run_us.npy", npy((10**15,), bytes(8)))
    with pytest.raises(WorkloadError, match=r"run_us\.npy .*announces 8000000000000000 bytes"):
        read_columnar(path)


@pytest.mark.parametrize("content", [b"", b"no zip at all", b"PK\x03\x04 cut"])
def test_no_archive(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "w.npz"
    path.write_bytes(content)
    with pytest.raises(WorkloadError, match="expected a columnar workload, got no readable zip"):
        read_columnar(path)


def test_a_damaged_archive(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    write_columnar(workload(), path)
    data = bytearray(path.read_bytes())
    for position in range(40, len(data) // 2, 97):
        damaged = data.copy()
        damaged[position] ^= 0xFF
        path.write_bytes(damaged)
        try:
            require_equal(read_columnar(path), workload())
        except WorkloadError:
            continue
    path.write_bytes(data[: len(data) // 2])
    with pytest.raises(WorkloadError, match="no readable zip archive"):
        read_columnar(path)
