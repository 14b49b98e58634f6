"""Workloads as one file of columns (`.npz`), exact and quick to load.

A file is a zip archive of plain NumPy arrays; docs/workloads.md lists them. Loading runs no code
from the file: arrays of Python objects are refused, and every array must have the type, the shape
and the range that is expected of it before anything is built from it.
"""

from __future__ import annotations

import os
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from lepton_rl.core.errors import ConfigError, InputFileError, LeptonError, WorkloadError
from lepton_rl.core.intake import empty_tasks
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.settings import Settings
from lepton_rl.core.tables import Records
from lepton_rl.workloads.array_checks import Arrays, ArraySpec
from lepton_rl.workloads.columnar_cluster import CLUSTER_SPECS, cluster_arrays, cluster_from
from lepton_rl.workloads.record_codes import CODED, write_codes
from lepton_rl.workloads.workload import OPTIONAL, Workload

__all__ = [
    "COLUMNAR_SUFFIX",
    "FORMAT",
    "VERSION",
    "ColumnarSettings",
    "read_columnar",
    "write_columnar",
]

COLUMNAR_SUFFIX = ".npz"
FORMAT = "lepton-rl workload"
VERSION = 1

_MOST_BYTES = 2**33
"""Larger files are refused before anything of them is read into memory."""
_MOST_US = 10**17
"""Some 3,000 years, as everywhere."""
_MOST_UNITS = 2**53
_TASKS = "tasks."

_SPECS: dict[str, ArraySpec] = {
    "format": ArraySpec("U"),
    "version": ArraySpec("int64"),
    "name": ArraySpec("U"),
    "ids": ArraySpec("U", "N"),
    "run_us": ArraySpec("int64", "N", 1, _MOST_US),
    "skipped.reasons": ArraySpec("U", "R"),
    "skipped.counts": ArraySpec("int64", "R", 0, 2**62),
    **CLUSTER_SPECS,
}
_OPTIONAL_SPECS = {
    "tenants": ArraySpec("U", "N"),
    "task_classes": ArraySpec("U", "N"),
    "waits_us": ArraySpec("int64", "N", -1, _MOST_US),
}
_RANGES: dict[str, tuple[float, float]] = {
    "submit_us": (0, _MOST_US),
    "requested_us": (1, _MOST_US),
    "demand": (0, _MOST_UNITS),
    "replicas": (1, 1_000_000),
    "size": (0, 1e300),
    "urgency": (-1e300, 1e300),
}
"""Fields of a task; whole numbers not named here are from 0 up."""


class ColumnarSettings(Settings):
    """A columnar file has no settings."""


def write_columnar(workload: Workload, path: str | Path) -> None:
    """Write a workload with its cluster; a file of this name is replaced, never half-written.

    Raises:
        ConfigError: the name does not end in .npz, is that of a folder, or its folder is missing.
        OSError: it cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != COLUMNAR_SUFFIX:
        raise ConfigError(f"{path}: expected a name that ends in {COLUMNAR_SUFFIX}; rename it")
    if path.is_dir():
        raise ConfigError(f"{path}: expected a file, this is a folder; choose another name")
    if not path.parent.is_dir():
        raise ConfigError(f"{path}: expected a folder {path.parent}, there is none; make it first")
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            np.savez_compressed(file, **_arrays(workload))  # type: ignore[arg-type]
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_columnar(path: str | Path, settings: ColumnarSettings | None = None) -> Workload:
    """Read a workload; it equals the one that was written, array by array.

    Args:
        path: of the file.
        settings: none.

    Raises:
        InputFileError: the file cannot be opened.
        WorkloadError: it is not of this format and version, damaged, or holds something that no
            workload can; the array is named.
    """
    path = Path(path)
    arrays = Arrays(f"{path}", _load(path))
    found = arrays.scalar("format", "U"), arrays.scalar("version", "int64")
    if found != (FORMAT, VERSION):
        raise WorkloadError(
            f"{path}: expected format {FORMAT!r} version {VERSION}, got {found[0]!r} version"
            f" {found[1]!r}; convert the source again with this version of lepton-rl"
        )
    fields = _task_specs(len(arrays.take("kinds.names", ArraySpec("U", "K"))))
    arrays.check({**_SPECS, **fields}, _OPTIONAL_SPECS)
    try:
        return _workload(arrays)
    except WorkloadError:
        raise
    except LeptonError as error:
        raise WorkloadError(f"{path}: {error}") from error


def _arrays(workload: Workload) -> dict[str, NDArray[Any]]:
    num_kinds = len(workload.cluster.schema.kinds)
    records = workload.tasks
    fields = {f"{_TASKS}{name}": records[name] for name in _field_names(records)}
    fields[f"{_TASKS}demand"] = records["demand"][:, :num_kinds]
    optional = {name: getattr(workload, name) for name in OPTIONAL}
    return {
        "format": np.array(FORMAT),
        "version": np.array(VERSION, np.int64),
        "name": np.array(workload.name),
        "ids": workload.ids,
        "run_us": workload.run_us,
        "skipped.reasons": np.array(list(workload.skipped), np.str_),
        "skipped.counts": np.array(list(workload.skipped.values()), np.int64),
        **fields,
        **{name: values for name, values in optional.items() if values is not None},
        **cluster_arrays(workload.cluster),
    }


def _field_names(records: Records) -> list[str]:
    """Fields that are kept; codes of names are made anew from the names."""
    return [name for name in records.dtype.names or () if name not in CODED]


def _task_specs(num_kinds: int) -> dict[str, ArraySpec]:
    """What each field of a task must be, for this version's records."""
    records = empty_tasks(0, num_kinds)
    specs: dict[str, ArraySpec] = {}
    for name in _field_names(records):
        base = records.dtype[name].base
        least, most = _RANGES.get(name, (0, 2**63 - 1))
        dims = "NK" if name == "demand" else "N"
        specs[f"{_TASKS}{name}"] = ArraySpec(base.name, dims, least, most)
    return specs


def _workload(arrays: Arrays) -> Workload:
    cluster = cluster_from(arrays)
    records = _records(arrays, cluster)
    reasons = arrays["skipped.reasons"].tolist()
    optional: dict[str, Any] = {name: arrays.get(name) for name in OPTIONAL}
    write_codes(records, cluster, optional["tenants"], optional["task_classes"])
    return Workload(
        str(arrays["name"]),
        cluster,
        records,
        arrays["run_us"],
        arrays["ids"],
        dict(zip(reasons, arrays["skipped.counts"].tolist(), strict=True)),
        **optional,
    )


def _records(arrays: Arrays, cluster: Cluster) -> Records:
    num_kinds = len(cluster.schema.kinds)
    records = empty_tasks(len(arrays["run_us"]), num_kinds)
    for name in _field_names(records):
        values = arrays[f"{_TASKS}{name}"]
        if name == "demand":
            records[name][:, :num_kinds] = values
        else:
            records[name] = values
    models = {node.device_model for node in cluster.nodes} - {""}
    arrays.require_bits("tasks.labels", len(arrays["labels.names"]))
    arrays.require_bits("tasks.models", len(models))
    return records


def _load(path: Path) -> Mapping[str, NDArray[Any]]:
    """Every array of the archive, none of Python objects."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            size = sum(member.file_size for member in members)
            if size > _MOST_BYTES:
                raise WorkloadError(f"{path}: {size} bytes, more than {_MOST_BYTES}; split it")
            return {
                member.filename.removesuffix(".npy"): _array(path, archive, member)
                for member in members
            }
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise WorkloadError(
            f"{path}: expected a columnar workload, got no readable zip archive ({error}); convert"
            " the source again"
        ) from error
    except OSError as error:
        raise InputFileError(f"cannot read {path}: {error.strerror or error}") from error


def _array(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> NDArray[Any]:
    try:
        with archive.open(member) as file:
            _require_honest_header(file, member.file_size)
        with archive.open(member) as file:
            values: NDArray[Any] = npy.read_array(file, allow_pickle=False)
            return values
    except ValueError as error:
        raise WorkloadError(
            f"{path}: {member.filename} is not a plain NumPy array ({error}); convert the source"
            " again"
        ) from error


def _require_honest_header(file: IO[bytes], num_bytes: int) -> None:
    """The array that the header announces is the one that follows: nothing larger is allocated.

    Raises:
        ValueError: it is not, or holds Python objects.
    """
    if npy.read_magic(file) != (1, 0):
        raise ValueError("unknown version of the array format")
    shape, _, dtype = npy.read_array_header_1_0(file)
    if dtype.hasobject:
        raise ValueError("it holds Python objects")
    announced = dtype.itemsize
    for extent in shape:
        announced *= extent
    if announced != num_bytes - file.tell():
        raise ValueError(f"its header announces {announced} bytes, which are not what follows")
