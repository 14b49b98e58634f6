"""Slurm accounting: what `sacct --parsable2` prints, in a file that ends in `.sacct`.

    sacct -a -X -P -S 2026-01-01 -E now -s CD,F,TO,CA,NF,OOM \
      -o JobID,User,Partition,Submit,Start,End,TimelimitRaw,NNodes,AllocCPUS,AllocTRES,State \
      > history.sacct

Columns may come in any order, with more of them. A row becomes a task:

    submit time      Submit, on a clock that starts with the first of them; wait = Start - Submit
    run time         End - Start
    requested time   TimelimitRaw (minutes), or the run time where there was no limit
    demand           with `cluster`: a gang of NNodes, each with its share of cpu, mem and
                     gres/gpu, gres/fpga of AllocTRES; without it: AllocCPUS processors
    tenant, class    User, Partition

Left out, and counted: steps of jobs (`12.batch`), jobs that never ran or have not ended.

The machine is that of the setting `cluster`, a description as docs/cluster.md has it, else one pool
of as many processors as were in use at once at most: accounting does not say how many there were.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.checks import shown
from lepton_rl.core.errors import WorkloadError
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.resources import CARD
from lepton_rl.core.settings import Settings
from lepton_rl.workloads.beside import file_beside
from lepton_rl.workloads.csv_table import Column, moment, require_fields, whole
from lepton_rl.workloads.task_columns import TaskColumns, build_workload, count
from lepton_rl.workloads.text_file import read_lines, stem_of
from lepton_rl.workloads.workload import Workload

__all__ = ["SACCT_SUFFIXES", "SacctSettings", "read_sacct"]

SACCT_SUFFIXES = (".sacct", ".sacct.gz")

_COLUMNS = ("JobID", "User", "Partition", "Submit", "Start", "End", "TimelimitRaw", "NNodes",
            "AllocCPUS", "AllocTRES")  # fmt: skip
_TIMES = ("Submit", "Start", "End")
_NO_LIMIT = {"UNLIMITED", "Partition_Limit", ""}
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)([KMGTP]?)", re.ASCII)
_CARDS = {"gres/gpu": "gpu", "gres/fpga": "fpga"}


def _text(name: str, expected: str, accepts: Callable[[str], bool]) -> Column:
    return Column(name, expected, accepts, lambda fields: np.array(fields, np.str_))


def _is_amount(part: str) -> bool:
    """Whether a part of AllocTRES can be read, or is of a kind that is not."""
    name, sign, amount = part.partition("=")
    is_read = name in {"mem", *_CARDS}
    return bool(sign) and (not is_read or _MEMORY.fullmatch(amount) is not None)


_CHECKED: Mapping[str, Column] = {
    **{name: moment(name) for name in _TIMES},
    "NNodes": whole("NNodes", least=0, most=1_000_000),
    "AllocCPUS": whole("AllocCPUS", least=0, most=1_000_000_000),
    "TimelimitRaw": _text(
        "TimelimitRaw",
        "minutes, UNLIMITED or Partition_Limit",
        lambda field: field in _NO_LIMIT or bool(re.fullmatch(r"\d{1,9}", field, re.ASCII)),
    ),
    "AllocTRES": _text(
        "AllocTRES",
        "name=amount joined by commas, such as cpu=2,mem=4G,gres/gpu=1",
        lambda field: all(_is_amount(part) for part in field.split(",") if part),
    ),
}
_NEVER = {"Unknown", "None", ""}
_MILLICORES = 1000
_SECONDS_PER_MINUTE = 60.0
_MIB = {"K": 2**-10, "M": 1.0, "": 1.0, "G": 2.0**10, "T": 2.0**20, "P": 2.0**30}

Floats = NDArray[np.float64]


class SacctSettings(Settings):
    """Settings of Slurm accounting.

    Attributes:
        cluster: description of the nodes (YAML), a path, or a bare file name beside the history;
            None for one pool of processors.
    """

    cluster: str | None = None


def read_sacct(path: Path, settings: SacctSettings) -> Workload:
    """Read a history.

    Raises:
        InputFileError: a file cannot be opened.
        WorkloadError: it is malformed (line and field are named), or no job of it has ended.
        ConfigError: the cluster's description is wrong.
    """
    rows, skipped = _rows(path), dict[str, int]()
    is_step = np.array(["." in row["JobID"] for row in rows], np.bool_)
    has_run = np.array([not {row["Start"], row["End"]} & _NEVER for row in rows], np.bool_)
    count(skipped, "step of a job: left out", is_step)
    count(skipped, "never ran, or has not ended: left out", ~is_step & ~has_run)
    kept = [row for row, keep in zip(rows, ~is_step & has_run, strict=True) if keep]
    if not kept:
        raise WorkloadError(f"{path}: none of its {len(rows)} rows is a job that has ended")
    times = {name: _CHECKED[name].convert([row[name] for row in kept]) for name in _TIMES}
    described = settings.cluster and file_beside(path, settings.cluster, "its nodes", "cluster")
    if described:
        cluster, demand, replicas = Cluster.from_yaml(described), *_gangs(kept)
    else:
        cluster = Cluster.pool(_most_in_use(kept, times))
        demand, replicas = {"cpu": _cpus(kept) * _MILLICORES}, None
    columns = _columns(kept, times, demand, replicas)
    return build_workload(stem_of(path), cluster, columns, skipped)


def _rows(path: Path) -> list[dict[str, str]]:
    """The columns we read, of each row."""
    lines = [line.rstrip("|") for line in read_lines(path, "sacct --parsable2") if line.strip()]
    header = lines[0].split("|") if lines else []
    for name in _COLUMNS:
        if name not in header:
            raise WorkloadError(
                f"{path}, line 1: expected a column {name} between |, got"
                f" {shown(lines[0] if lines else '')}; print it with sacct --parsable2 -o"
                f" {','.join(_COLUMNS)}"
            )
    rows = []
    for number, line in enumerate(lines[1:], start=2):
        fields = (line + "|" * (len(header) - 1 - line.count("|"))).split("|")
        if len(fields) != len(header):
            raise WorkloadError(
                f"{path}, line {number}: expected {len(header)} fields as in the header, got"
                f" {len(fields)}: {shown(line)}"
            )
        checks = [
            (position, _CHECKED[name])
            for position, name in enumerate(header)
            if name in _CHECKED and not (name in _TIMES and fields[position] in _NEVER)
        ]
        require_fields(path, number, fields, checks)
        rows.append(dict(zip(header, fields, strict=True)))
    return rows


def _columns(
    rows: Sequence[Mapping[str, str]],
    times: Mapping[str, Floats],
    demand: Mapping[str, NDArray[np.int64]],
    replicas: NDArray[np.int64] | None,
) -> TaskColumns:
    return TaskColumns(
        ids=np.array([row["JobID"] for row in rows], np.str_),
        submit_s=times["Submit"] - times["Submit"].min(),
        run_s=times["End"] - times["Start"],
        requested_s=np.array([_limit_s(row) for row in rows], np.float64),
        waits_s=np.maximum(0.0, times["Start"] - times["Submit"]),
        demand=demand,
        replicas=replicas,
        tenants=np.array([row["User"] for row in rows], np.str_),
        task_classes=np.array([row["Partition"] for row in rows], np.str_),
    )


def _limit_s(row: Mapping[str, str]) -> float:
    """0, which stands for the run time, where there was no limit."""
    minutes = row["TimelimitRaw"]
    return 0.0 if minutes in _NO_LIMIT else int(minutes) * _SECONDS_PER_MINUTE


def _cpus(rows: Sequence[Mapping[str, str]]) -> NDArray[np.int64]:
    return np.array([max(1, int(float(row["AllocCPUS"]))) for row in rows], np.int64)


def _most_in_use(rows: Sequence[Mapping[str, str]], times: Mapping[str, Floats]) -> int:
    """CPUs that were in use at once at most; a job that ends gives them back first."""
    cpus = _cpus(rows)
    at = np.concatenate([times["End"], times["Start"]])
    change = np.concatenate([-cpus, cpus])
    order = np.lexsort((change, at))
    return max(int(np.cumsum(change[order]).max()), int(cpus.max()))


def _gangs(
    rows: Sequence[Mapping[str, str]],
) -> tuple[dict[str, NDArray[np.int64]], NDArray[np.int64]]:
    """Demand of a replica in integer units, and replicas: one for each node of a job."""
    replicas = np.array([max(1, int(float(row["NNodes"]))) for row in rows], np.int64)
    totals = [_tres(row) for row in rows]
    units = {"cpu": _MILLICORES, "memory": 1, "gpu": CARD, "fpga": CARD}
    demand = {
        kind: np.ceil(np.array([each.get(kind, 0.0) for each in totals]) / replicas).astype(
            np.int64
        )
        * unit
        for kind, unit in units.items()
    }
    return {kind: amounts for kind, amounts in demand.items() if amounts.any()}, replicas


def _tres(row: Mapping[str, str]) -> dict[str, float]:
    """`cpu=2,gres/gpu=1,mem=4G` in cores, cards and MiB."""
    found = {"cpu": float(row["AllocCPUS"])}
    for part in filter(None, row["AllocTRES"].split(",")):
        name, _, amount = part.partition("=")
        matched = _MEMORY.fullmatch(amount)
        if matched is None:
            continue  # of a kind that is not read: the others have been checked
        if name == "mem":
            found["memory"] = float(matched[1]) * _MIB[matched[2]]
        elif name in _CARDS:
            found[_CARDS[name]] = float(matched[1])
    return found
