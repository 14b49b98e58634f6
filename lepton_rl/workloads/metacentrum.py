"""MetaCentrum: SWF with 21 fields, on clusters of unlike nodes with placement constraints.

Source: `Alea/data-set/` of aleasimulator/alea; Klusacek et al., "MetaCentrum workloads". Beyond the
18 fields of SWF (see `lepton_rl.workloads.swf`, whose rules for rows and times hold) a row has 19
the nodes it ran on, in braces; 20 the queue; 21 the PBS node request. Field 10 is the RAM per node
in bytes.

    demand            per replica: ppn cores (field 8 / nodes where the request has no ppn), and RAM
                      in MiB, rounded up
    replicas          nodes of the request; `1:ppn=1+2:ppn=2` becomes 3 replicas, each as large as
                      the largest, and counts as changed
    required labels   properties of the request that not every node has
    exclusive node    `#excl` at the end of the request
    tenant, class     user (field 12), queue (field 20)

Nodes come from the `.machines` file beside it (id, name, nodes, cpus per node, speed, RAM in KB per
node): `zewura1`, `zewura2`, ... What a property means:

    cl_zewura                       a node of that cluster
    nodecpus80                      a node of so many cpus
    zewura10.cerit-sc.cz, host=...  the node of that name
    ^property                       a node without it
    mem=3gb                         nothing more than field 10
    anything else (brno, x86_64)    every node has it: the log does not say which do
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lepton_rl.core.checks import shown
from lepton_rl.core.errors import WorkloadError
from lepton_rl.core.settings import Settings
from lepton_rl.workloads.beside import file_beside
from lepton_rl.workloads.csv_table import MOST, Column, number, require_fields
from lepton_rl.workloads.machines import read_node_groups
from lepton_rl.workloads.pbs import NodeProperties, NodeRequest
from lepton_rl.workloads.task_columns import TaskColumns, build_workload, count
from lepton_rl.workloads.text_file import read_lines, stem_of
from lepton_rl.workloads.workload import Workload

__all__ = ["MetaCentrumSettings", "is_metacentrum", "read_metacentrum"]

_NUM_FIELDS = 21
_MIB = 2**20
_MILLICORES = 1000

_NUMBERS: tuple[tuple[int, Column], ...] = (
    (0, number("job id", least=-MOST)),
    (1, number("submit time")),
    (2, number("wait", least=-MOST)),
    (3, number("run time", least=-MOST)),
    (7, number("requested processors", least=-1, most=1e9)),
    (8, number("requested time", least=-MOST)),
    (9, number("requested RAM", least=-1, most=1e18)),
    (11, number("user", least=-MOST)),
)


class MetaCentrumSettings(Settings):
    """Settings of a MetaCentrum log.

    Attributes:
        machines: the node groups, a path, or a bare file name beside the log; None for the log's
            name with `.machines`.
    """

    machines: str | None = None


def is_metacentrum(path: Path) -> bool:
    """Whether an SWF file has the extended rows; the first one tells.

    Raises:
        LeptonError: see `read_lines`.
    """
    for line in read_lines(path, "Standard Workload Format"):
        fields = line.split()
        if fields and not fields[0].startswith(";"):
            return len(fields) == _NUM_FIELDS and fields[18].startswith("{")
    return False


def read_metacentrum(path: Path, settings: MetaCentrumSettings) -> Workload:
    """Read a log and the nodes that belong to it.

    Raises:
        InputFileError: a file cannot be opened.
        WorkloadError: a file is malformed (line and field are named), or there are no nodes.
    """
    rows = list(_rows(path))
    if not rows:
        raise WorkloadError(f"{path}: expected rows of {_NUM_FIELDS} fields, got none")
    stem = stem_of(path, ".swf")
    named = settings.machines or f"{stem}.machines"
    groups = list(read_node_groups(file_beside(path, named, "its node groups", "machines")))
    nodes = NodeProperties(groups)
    skipped: dict[str, int] = {}
    columns = _tasks(rows, nodes, skipped)
    return build_workload(stem, nodes.cluster(), columns, skipped)


class _Row(NamedTuple):
    numbers: list[float]  # as in `_NUMBERS`
    queue: str
    request: NodeRequest


def _rows(path: Path) -> Iterator[_Row]:
    requests: dict[str, NodeRequest] = {}
    for line, text in enumerate(read_lines(path, "Standard Workload Format"), start=1):
        fields = text.split()
        if not fields or fields[0].startswith(";"):
            continue
        if len(fields) != _NUM_FIELDS:
            raise WorkloadError(
                f"{path}, line {line}: expected {_NUM_FIELDS} fields, got {len(fields)}:"
                f" {shown(text)}; complete or remove the line (is the file cut off?)"
            )
        require_fields(path, line, fields, _NUMBERS)
        if (asked := fields[20]) not in requests:
            requests[asked] = _request(path, line, asked)
        yield _Row([float(fields[i]) for i, _ in _NUMBERS], fields[19], requests[asked])


def _request(path: Path, line: int, text: str) -> NodeRequest:
    try:
        return NodeRequest.parse(text)
    except ValueError as error:
        raise WorkloadError(
            f"{path}, line {line}: field 21 (node request) must be nodes:ppn=N:property..., got"
            f" {shown(text)}: {error}"
        ) from None


def _tasks(rows: Sequence[_Row], nodes: NodeProperties, skipped: dict[str, int]) -> TaskColumns:
    job, submit, wait, run, processors, requested, ram, user = np.array(
        [row.numbers for row in rows]
    ).T
    asked = [row.request for row in rows]
    replicas = np.array([request.replicas for request in asked], np.int64)
    per_node = np.ceil(np.maximum(processors, 1) / replicas)
    cores = np.where(
        [request.cores is None for request in asked],
        per_node,
        [request.cores or 0.0 for request in asked],
    )
    columns = TaskColumns(
        ids=job.astype(np.int64).astype(np.str_),
        submit_s=submit,
        run_s=run,
        requested_s=requested,
        demand={
            "cpu": np.rint(cores * _MILLICORES).astype(np.int64),
            "memory": np.ceil(np.maximum(ram, 0) / _MIB).astype(np.int64),
        },
        replicas=replicas,
        labels=np.array([nodes.labels_of(request.properties) for request in asked], np.str_),
        exclusive=np.array([request.exclusive for request in asked], np.bool_),
        tenants=np.array(["" if u < 0 else f"{u:.0f}" for u in user], np.str_),
        task_classes=np.array([row.queue for row in rows], np.str_),
        waits_s=np.where(wait < 0, math.nan, wait),
    )
    count(skipped, "run time <= 0: dropped", run <= 0)
    uneven = np.array([request.is_uneven for request in asked], np.bool_)
    count(skipped, "nodes of unlike size: each as large as the largest", uneven & (run > 0))
    return columns.take(run > 0)
