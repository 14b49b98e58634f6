"""Standard Workload Format (SWF): logs of parallel machines, `.swf` and `.swf.gz`.

Format: Feitelson, Tsafrir and Krakov, "Experience with using the Parallel Workloads Archive", JPDC
74(10), 2014. A row has 18 blank-separated fields (more are ignored), -1 means unknown, `;` starts a
comment line. The rows become tasks by the rules of the RLScheduler protocol (Zhang et al., SC'20):

    processors       the larger of fields 5 (allocated) and 8 (requested)
    requested time   field 9, or the run time where that is unknown
    run time         field 4; 0 drops the row, below 0 (unknown) becomes 10 s

    tenant           field 12 (user), '' where unknown

Besides these only job id, submit time, wait and status are read (status 2 to 4 marks a part of a
job whose summary row is in the log too). `Workload.skipped` counts what was dropped or replaced.

The machine is one pool of processors. Its size is the `processors` argument; else MaxProcs of the
header; else MaxNodes; else the sum of nodes x cpus in a sibling `<name>.machines` file (see
`lepton_rl.workloads.machines`).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.checks import require_count, shown
from lepton_rl.core.clock import to_us
from lepton_rl.core.errors import WorkloadError
from lepton_rl.workloads.machines import MACHINES_SUFFIX, read_node_groups
from lepton_rl.workloads.text_file import read_lines
from lepton_rl.workloads.workload import Workload

__all__ = ["SWF_SUFFIXES", "read_swf"]

SWF_SUFFIXES = (".swf", ".swf.gz")

UNKNOWN_RUN_TIME_S = 10.0
"""Run time of a task whose log does not know it (RLScheduler)."""

_NUM_FIELDS = 18
_FIELDS = {
    0: "job id",
    1: "submit time",
    3: "run time",
    4: "allocated processors",
    7: "requested processors",
    8: "requested time",
    10: "status",
    2: "wait",
    11: "user",
    17: "think time",  # read only to see that the row has all 18 fields
}
_PARTIAL_STATUS = (2, 3, 4)
"""Parts of a job that was swapped or checkpointed; the log has a summary row of it as well."""

_LARGEST_TIME_S = 1e11
"""About 3,000 years: any sum of two such times still fits int64 microseconds."""

_LARGEST_MACHINE = 10**9

_LARGEST_ID = 2**53
"""Beyond it a float64 does not hold every whole number."""

Rows = NDArray[np.float64]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


def read_swf(path: str | Path, *, processors: int | None = None) -> Workload:
    """Read a log; tasks by submit time, then job id, with the log's own submit times.

    Args:
        path: a `.swf` or `.swf.gz` file.
        processors: machine size (>= 1); overrides the header and the `.machines` file.

    Returns:
        One task a usable row, on `Cluster.pool(machine size)`: demand in whole processors, one
        replica. `skipped` counts every row that was dropped or changed, by reason.

    Raises:
        InputFileError: the file cannot be opened.
        WorkloadError: it is not SWF (the message names line and field), has no usable row, or
            nothing tells the machine size.
        ConfigError: `processors` is not a whole number from 1 to 1e9.
    """
    path = Path(path)
    if processors is not None:
        processors = require_count(processors, "processors", _LARGEST_MACHINE)
    lines = read_lines(path, "Standard Workload Format")
    rows = _parse_rows(path, lines)
    return _workload(path, rows, processors or _machine_size(path, lines))


def _is_row(line: str) -> bool:
    text = line.lstrip()
    return bool(text) and text[0] != ";"


def _parse_rows(path: Path, lines: Sequence[str]) -> Rows:
    """The fields that `_FIELDS` names, `(rows, len(_FIELDS))`."""
    data = [line for line in lines if _is_row(line)]
    if not data:
        raise WorkloadError(
            f"{path}: expected rows of {_NUM_FIELDS} fields, got none (only comments or blanks)"
        )
    try:
        return np.loadtxt(data, usecols=tuple(_FIELDS), comments=None, ndmin=2)
    except ValueError as error:
        raise _first_problem(path, lines) or WorkloadError(f"{path}: {error}") from error


def _first_problem(path: Path, lines: Sequence[str]) -> WorkloadError | None:
    """What is wrong with the first row that cannot be read."""
    for number, line in enumerate(lines, start=1):
        fields = line.split() if _is_row(line) else None
        if fields is None:
            continue
        if len(fields) < _NUM_FIELDS:
            return WorkloadError(
                f"{path}, line {number}: expected {_NUM_FIELDS} fields, got {len(fields)}:"
                f" {shown(line)}; complete or remove the line (is the file cut off?), or start"
                " it with ';' if it is a comment"
            )
        for column, name in _FIELDS.items():
            if not _is_number(fields[column]):
                return WorkloadError(
                    f"{path}, line {number}: field {column + 1} ({name}) must be a number, -1 where"
                    f" unknown; got {shown(fields[column])}"
                )
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text


def _machine_size(path: Path, lines: Sequence[str]) -> int:
    """Processors of the machine; see the module's docstring for where they come from."""
    header = list(itertools.takewhile(lambda line: not _is_row(line), lines))
    for key in ("MaxProcs", "MaxNodes"):
        for line in header:
            found = re.match(rf"\s*;\s*{key}\s*:\s*(\d+)", line, re.IGNORECASE)
            if found and 1 <= int(found[1]) <= _LARGEST_MACHINE:
                return int(found[1])
    stem = _stem(path)
    machines = path.with_name(f"{stem}{MACHINES_SUFFIX}")
    if machines.is_file():
        return sum(group.nodes * group.cpus for group in read_node_groups(machines))
    raise WorkloadError(
        f"{path}: nothing tells the machine size: the header has no '; MaxProcs: N' or"
        f" '; MaxNodes: N' and there is no {machines.name} beside it; add one of them, or give"
        " the number of processors (processors=N)"
    )


def _stem(path: Path) -> str:
    return re.sub(r"(\.swf)?(\.gz)?$", "", path.name, flags=re.IGNORECASE)


def _workload(path: Path, rows: Rows, machine: int) -> Workload:
    job, submit_s, run_s, allocated, asked, requested_s, _, wait_s, user, _ = rows.T
    size = np.maximum(allocated, asked)
    skipped: dict[str, int] = {}
    keep = _usable(rows, size, machine, skipped)
    order = np.flatnonzero(keep)
    order = order[np.lexsort((job[order], submit_s[order]))]
    if len(order) == 0:
        reasons = ", ".join(f"{reason}: {count}" for reason, count in skipped.items())
        raise WorkloadError(
            f"{path}: none of its {len(rows)} rows is a usable task on {machine} processors"
            f" ({reasons})"
        )
    job, submit_s, size = job[order], submit_s[order], size[order]
    run_s, requested_s = _times(run_s[order], requested_s[order], skipped)
    return Workload.on_pool(
        _stem(path),
        machine,
        submit_s=submit_s,
        requested_s=requested_s,
        run_s=run_s,
        size=size.astype(np.int64),
        ids=job.astype(np.int64).astype(np.str_),
        skipped=skipped,
        tenants=_tenants(user[order]),
        waits_us=np.where(wait_s[order] < 0, -1, to_us(wait_s[order])),
    )


def _tenants(user: Floats) -> NDArray[np.str_] | None:
    """User numbers as names, '' below 0 (unknown); None if all are."""
    if (user < 0).all():
        return None
    return np.array(["" if number < 0 else f"{number:.0f}" for number in user], np.str_)


def _usable(rows: Rows, size: Floats, machine: int, skipped: dict[str, int]) -> Flags:
    """Rows to keep; a row that is dropped counts under the first reason that fits."""
    job, submit_s, run_s, _, _, requested_s, status, wait_s, _, _ = rows.T
    late = np.max([submit_s, run_s, requested_s, wait_s], axis=0) > _LARGEST_TIME_S
    not_whole = (np.rint(job) != job) | (np.abs(job) > _LARGEST_ID) | (np.rint(size) != size)
    reasons: dict[str, Flags] = {
        "a field is not finite: dropped": ~np.all(np.isfinite(rows), axis=1),
        "partial execution of a job: dropped": np.isin(status, _PARTIAL_STATUS),
        "job id or processors not whole: dropped": not_whole,
        "submit time < 0: dropped": submit_s < 0,
        f"a time beyond {_LARGEST_TIME_S:g} s: dropped": late,
        "run time 0: dropped": run_s == 0,
        "processors <= 0: dropped": size <= 0,
        "larger than the machine: dropped": size > machine,
    }
    keep = np.ones(len(rows), np.bool_)
    for reason, applies in reasons.items():
        _count(skipped, reason, keep & applies)
        keep &= ~applies
    repeated = keep.copy()
    repeated[np.flatnonzero(keep)[np.unique(job[keep], return_index=True)[1]]] = False
    _count(skipped, "job id seen before: dropped", repeated)
    return keep & ~repeated


def _times(run_s: Floats, requested_s: Floats, skipped: dict[str, int]) -> tuple[Floats, Floats]:
    """Run times and requested times, with what is unknown replaced."""
    unknown_run, unknown_request = run_s < 0, requested_s == -1
    bad_request = (requested_s <= 0) & ~unknown_request
    _count(skipped, "run time unknown: 10 s assumed", unknown_run)
    _count(skipped, "requested time unknown: run time taken", unknown_request)
    _count(skipped, "requested time <= 0: run time taken", bad_request)
    run_s = np.where(unknown_run, UNKNOWN_RUN_TIME_S, run_s)
    return run_s, np.where(unknown_request | bad_request, run_s, requested_s)


def _count(skipped: dict[str, int], reason: str, applies: Flags) -> None:
    if number := int(np.count_nonzero(applies)):
        skipped[reason] = number
