"""Gavel: training jobs on unlike GPUs, with the measured speed of each job type on each.

Source: `scheduler/traces/msr/` and `scheduler/simulation_throughputs.json` of
stanford-futuredata/gavel; Narayanan et al., "Heterogeneity-aware cluster scheduling policies for
deep learning workloads", OSDI 2020.

A line of a trace has tab-separated job type, command, step-count flag, needs_data_dir, total steps,
arrival (s), GPUs. The throughput file has, for each GPU type, steps/s of each (job type, GPUs):

    run time         total steps / throughput on a `reference` GPU (v100), all GPUs near each other
    speed factor     of a GPU type for a task class: throughput there / that on the reference
    task class       job type and GPUs, e.g. `LM (batch size 5) x4`
    device models    the GPU types with a throughput above 0 (elsewhere the job does not fit)
    demand           n GPUs, more than `cards_per_node` as a gang of whole nodes
    requested time   the run time on the reference: the trace has no estimates
    id               number of the line

Jobs for which the file has no throughput on the reference at this number of GPUs are dropped (many
types were measured with one GPU only). Sharing one GPU by two jobs, and the lower throughputs of
spread-out jobs (`v100_unconsolidated`), are not represented. The default machine is that of the
paper's simulations, 36 GPUs of each type, here 9 nodes of 4.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lepton_rl.core.checks import shown
from lepton_rl.core.errors import ConfigError, WorkloadError
from lepton_rl.core.naming import did_you_mean
from lepton_rl.core.nodes import MAX_CARDS
from lepton_rl.core.settings import Settings
from lepton_rl.workloads.beside import file_beside
from lepton_rl.workloads.csv_table import Column, number, require_fields, whole
from lepton_rl.workloads.gpu_pools import gang_demand, typed_pool
from lepton_rl.workloads.task_columns import TaskColumns, build_workload, count
from lepton_rl.workloads.text_file import read_bytes, read_lines, stem_of
from lepton_rl.workloads.workload import Workload

__all__ = ["GAVEL_SUFFIXES", "GavelSettings", "read_gavel", "read_throughputs"]

GAVEL_SUFFIXES = (".trace", ".trace.gz")
THROUGHPUTS = "gavel_simulation_throughputs.json.gz"

_NUM_FIELDS = 7
_FASTEST = 1e6  # as `Node.speed_factors` allows

Throughputs = dict[str, dict[tuple[str, int], float]]
"""GPU type -> (job type, GPUs) -> steps/s of a job alone on its cards."""


class _Job(NamedTuple):
    job_type: str
    steps: float
    arrival_s: float
    num_gpus: int


_FIELDS: tuple[tuple[int, Column], ...] = (
    (4, number("total steps", most=1e15)),
    (5, number("arrival")),
    (6, whole("GPUs", 1, 1_000_000)),
)


class GavelSettings(Settings):
    """Settings of a Gavel trace.

    Attributes:
        throughputs: the throughput file, a path, or a bare file name beside the trace.
        reference: GPU type on which run times are told.
        nodes: GPU type -> number of nodes.
        cards_per_node: GPUs of each.
    """

    throughputs: str = THROUGHPUTS
    reference: str = "v100"
    nodes: dict[str, int] = Field(default={"v100": 9, "p100": 9, "k80": 9}, min_length=1)
    cards_per_node: int = Field(default=4, ge=1, le=MAX_CARDS)


def read_gavel(path: Path, settings: GavelSettings) -> Workload:
    """Read a trace and its throughput file.

    Raises:
        InputFileError: a file cannot be opened.
        WorkloadError: a file is malformed, or there is no throughput file.
        ConfigError: a GPU type that the throughput file does not have.
    """
    jobs = list(_jobs(path))
    throughputs = read_throughputs(
        file_beside(path, settings.throughputs, "its throughput file", "throughputs")
    )
    _require_types(settings, throughputs)
    skipped: dict[str, int] = {}
    measured = throughputs[settings.reference]
    keys = [(job.job_type, job.num_gpus) for job in jobs]
    known = np.array([measured.get(key, 0.0) > 0 for key in keys], np.bool_)
    count(skipped, f"no throughput on {settings.reference}: dropped", ~known)
    if not known.any():
        raise WorkloadError(
            f"{path}: none of its {len(jobs)} jobs has a throughput on {settings.reference}"
        )
    rows = np.flatnonzero(known)
    columns = _columns([jobs[row] for row in rows], rows, throughputs, settings, skipped)
    used = {keys[row] for row in rows}
    cluster = typed_pool(
        settings.nodes, settings.cards_per_node, _speeds(used, throughputs, settings)
    )
    return build_workload(stem_of(path), cluster, columns, skipped)


def read_throughputs(path: Path) -> Throughputs:
    """Read a throughput file.

    Raises:
        InputFileError: the file cannot be opened.
        WorkloadError: it is not JSON, or not of this form.
    """
    try:
        data = json.loads(read_bytes(path))
        return {
            str(gpu): {_key(name): _measured(path, gpu, name, of) for name, of in table.items()}
            for gpu, table in data.items()
        }
    except _MALFORMED as error:
        if isinstance(error, WorkloadError):
            raise
        raise _malformed(path, error) from error


_MALFORMED = (ValueError, AttributeError, TypeError, KeyError, SyntaxError, RecursionError)


def _malformed(path: Path, error: Exception, where: str = "") -> WorkloadError:
    return WorkloadError(
        f'{path}: expected JSON of GPU type -> "(\'job type\', GPUs)" -> "null" -> steps/s:'
        f" {where}{' '.join(str(error).split())[:200]}"
    )


def _measured(path: Path, gpu: str, name: str, entry: Mapping[str, Any]) -> float:
    try:
        return _speed(entry)
    except _MALFORMED as error:
        raise _malformed(path, error, f"{shown(gpu)}, {shown(name)}: ") from error


def _key(name: str) -> tuple[str, int]:
    job_type, num_gpus = ast.literal_eval(name)
    return str(job_type), int(num_gpus)


def _speed(entry: Mapping[str, Any]) -> float:
    speed = float(entry.get("null", 0.0))
    if not 0 <= speed <= _FASTEST:
        raise ValueError(f"a throughput of {speed} steps/s")
    return speed


def _jobs(path: Path) -> Iterator[_Job]:
    lines = read_lines(path, "Gavel's trace format")
    if not any(line.strip() for line in lines):
        raise WorkloadError(f"{path}: expected a line a job, got none")
    for line, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        fields = text.split("\t")
        if len(fields) != _NUM_FIELDS:
            raise WorkloadError(
                f"{path}, line {line}: expected {_NUM_FIELDS} tab-separated fields, got"
                f" {len(fields)}: {shown(text)}; complete or remove the line"
            )
        require_fields(path, line, fields, _FIELDS)
        yield _Job(fields[0], float(fields[4]), float(fields[5]), int(float(fields[6])))


def _require_types(settings: GavelSettings, throughputs: Throughputs) -> None:
    for model in (settings.reference, *settings.nodes):
        if model not in throughputs:
            hint = did_you_mean(model, throughputs)
            raise ConfigError(f"gavel: the throughput file has no GPU type {model!r}; {hint}")
    for model, number_of in settings.nodes.items():
        if not 1 <= number_of <= 100_000:
            raise ConfigError(f"gavel: nodes: {model} must be from 1 to 100000, got {number_of}")


def _class_of(job_type: str, num_gpus: int) -> str:
    return f"{job_type} x{num_gpus}"


def _columns(
    jobs: list[_Job],
    rows: NDArray[np.int64],
    throughputs: Throughputs,
    settings: GavelSettings,
    skipped: dict[str, int],
) -> TaskColumns:
    num_gpus = np.array([job.num_gpus for job in jobs], np.int64)
    demand, replicas = gang_demand(num_gpus, settings.cards_per_node, skipped)
    speed = throughputs[settings.reference]
    keys = [(job.job_type, job.num_gpus) for job in jobs]
    return TaskColumns(
        ids=(rows + 1).astype(np.str_),
        submit_s=np.array([job.arrival_s for job in jobs]),
        run_s=np.array([job.steps / speed[key] for job, key in zip(jobs, keys, strict=True)]),
        demand=demand,
        replicas=replicas,
        models=np.array([_models(key, throughputs, settings) for key in keys], np.str_),
        task_classes=np.array([_class_of(*key) for key in keys], np.str_),
    )


def _models(key: tuple[str, int], throughputs: Throughputs, settings: GavelSettings) -> str:
    """GPU types it fits on, '' for all."""
    fits = [model for model in settings.nodes if throughputs[model].get(key, 0.0) > 0]
    return "" if len(fits) == len(settings.nodes) else "|".join(fits or ["none"])


def _speeds(
    used: set[tuple[str, int]], throughputs: Throughputs, settings: GavelSettings
) -> dict[str, dict[str, float]]:
    reference = throughputs[settings.reference]
    return {
        model: {
            _class_of(*key): throughputs[model][key] / reference[key]
            for key in sorted(used)
            if throughputs[model].get(key, 0.0) > 0
        }
        for model in settings.nodes
    }
