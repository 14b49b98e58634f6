"""Every reader names file, line and field of what is malformed."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from lepton_rl.core.errors import WorkloadError
from lepton_rl.evaluate.fgd import PUBLISHED_FILE, published_means
from lepton_rl.workloads.gavel import THROUGHPUTS, read_throughputs
from lepton_rl.workloads.kinds import KINDS
from lepton_rl.workloads.machines import read_node_groups
from lepton_rl.workloads.node_counts import describe_node_counts
from lepton_rl.workloads.node_lists import NODE_LISTS, read_nodes
from lepton_rl.workloads.quotas import read_quotas
from lepton_rl.workloads.sources import open_workload
from tests.workloads import (
    test_gavel,
    test_gpu_jobs,
    test_hydra,
    test_metacentrum,
    test_node_lists,
    test_openb,
    test_philly,
    test_quotas,
    test_requests,
    test_sacct,
)
from tests.workloads.files import write

BAD = "?" * 1001
"""No number, no time, and too long for a text."""

COUNTS = ("time,active,total", "2017-10-03 00:00:00,3,5", "2017-10-03 00:01:00,5,5")
SWF = ("; MaxProcs: 8", *(f"{n} 0 -1 10 4 -1 -1 4 20 -1 1" + " -1" * 7 for n in (1, 2)))
METACENTRUM = tuple(test_metacentrum.row(n, "1:ppn=1") for n in (1, 2))
MEANS = ("workload,policy,arrived_pct,alloc_pct_mean", "w,01-Random,130,87.5")


class Reader(NamedTuple):
    """A reader with a file that it takes.

    Attributes:
        read: it, given the file.
        name: of the file.
        lines: of the file; the last is broken.
        fields: those that must be checked: their names in a header, or positions from 0 and what
            they are called.
        cut: what parts fields.
        beside: files that must be there: name -> content.
    """

    read: Callable[[Path], Any]
    name: str
    lines: Sequence[str]
    fields: Sequence[str] | Sequence[tuple[int, str]]
    cut: str = ","
    beside: dict[str, bytes] = {}  # noqa: RUF012  (no instance changes it)


def text(*lines: str) -> bytes:
    return "\n".join((*lines, "")).encode()


def trace(kind: str, lines: Sequence[str], also: Sequence[str] = (), **beside: bytes) -> Reader:
    """A CSV kind, with the columns it must have and those it may have."""
    return Reader(
        open_workload, "jobs.csv", lines, [*sorted(KINDS[kind].columns), *also], beside=beside
    )


def node_list(kind: str, lines: Sequence[str]) -> Reader:
    fields = [column.name for column in NODE_LISTS[kind].columns]
    return Reader(read_nodes, "nodes.csv", lines, fields)


SPEEDS = {THROUGHPUTS: gzip.compress(json.dumps(test_gavel.SPEEDS).encode())}
TIMES = ("qos", "gpu_spec", "creation_time", "deletion_time", "scheduled_time")
TRACES = {
    "swf": Reader(
        open_workload, "log.swf", SWF,
        [(0, "job id"), (1, "submit time"), (2, "wait"), (3, "run time"),
         (4, "allocated processors"), (7, "requested processors"), (8, "requested time"),
         (10, "status"), (11, "user")], " ",
    ),
    "metacentrum": Reader(
        open_workload, "log.swf", METACENTRUM,
        [(0, "job id"), (1, "submit time"), (2, "wait"), (3, "run time"), (9, "requested RAM"),
         (11, "user"), (20, "node request")], " ",
        {"log.machines": text(*test_metacentrum.MACHINES)},
    ),
    "gavel": Reader(
        lambda path: open_workload(path, settings=test_gavel.NODES), "jobs.trace", test_gavel.JOBS,
        [(4, "total steps"), (5, "arrival"), (6, "GPUs")], "\t", SPEEDS,
    ),
    "sacct": Reader(
        open_workload, "history.sacct", (test_sacct.HEADER, *test_sacct.ROWS[:1]),
        [(3, "Submit"), (4, "Start"), (5, "End"), (6, "TimelimitRaw"), (7, "NNodes"),
         (8, "AllocCPUS"), (9, "AllocTRES")], "|",
    ),
    "openb": trace(
        "openb", test_openb.PODS, TIMES,
        **{"openb_node_list_gpu_node.csv": text(*test_openb.NODES)},
    ),
    "philly": trace("philly", test_philly.JOBS),
    "muri": trace("muri", test_gpu_jobs.MURI),
    "chronus": trace("chronus", test_gpu_jobs.CHRONUS),
    "elasticflow": trace("elasticflow", test_gpu_jobs.ELASTICFLOW),
    "tiresias": trace(
        "tiresias", test_gpu_jobs.TIRESIAS,
        **{"tiresias_cluster_spec.csv": text(*test_gpu_jobs.SPEC)},
    ),
    "hydra": trace("hydra", test_hydra.CASE),
    "azure-llm": trace("azure-llm", test_requests.LLM),
    "azure-functions": trace("azure-functions", test_requests.FUNCTIONS),
    "dlrm": trace("dlrm", test_requests.DLRM),
    "lora": trace("lora", test_requests.LORA),
}  # fmt: skip
SIDE_FILES = {
    "openb nodes": node_list("openb", test_openb.NODES),
    "spot2026 nodes": node_list("spot2026", test_node_lists.SPOT),
    "tiresias nodes": node_list("tiresias", test_gpu_jobs.SPEC),
    "machines": Reader(
        lambda path: list(read_node_groups(path)), "log.machines", test_metacentrum.MACHINES,
        [(2, "nodes"), (3, "cpus per node"), (5, "RAM in KB per node")], "\t",
    ),
    "quotas": Reader(read_quotas, "q.csv", test_quotas.DAYS, ["date", "vcA", "vcC", "total"]),
    "node counts": Reader(describe_node_counts, "c.csv", COUNTS, ["time", "active", "total"]),
    "published means": Reader(
        lambda path: published_means(path.parent), PUBLISHED_FILE, MEANS,
        ["workload", "policy", "arrived_pct", "alloc_pct_mean"],
    ),
}  # fmt: skip
READERS = {**TRACES, **SIDE_FILES}


def test_every_kind_of_trace_is_here() -> None:
    binary = {"columnar"}  # no lines; tests/workloads/test_columnar.py: it names the array
    assert set(TRACES) == set(KINDS) - binary
    assert {f"{name} nodes" for name in NODE_LISTS} <= set(SIDE_FILES)


def laid_out(reader: Reader, folder: Path, last: str) -> Path:
    for name, content in reader.beside.items():
        (folder / name).write_bytes(content)
    return write(folder, reader.name, *reader.lines[:-1], last)


@pytest.mark.parametrize("name", READERS)
def test_what_is_well_formed_is_read(name: str, tmp_path: Path) -> None:
    reader = READERS[name]
    assert reader.read(laid_out(reader, tmp_path, reader.lines[-1]))


def broken() -> Iterator[Any]:
    for name, reader in READERS.items():
        header = reader.lines[0].split(",")
        for field in reader.fields:
            position, title = (header.index(field), field) if isinstance(field, str) else field
            yield pytest.param(reader, position, title, id=f"{name}-{title}")


@pytest.mark.parametrize(("reader", "position", "title"), list(broken()))
def test_a_bad_field_is_named(reader: Reader, position: int, title: str, tmp_path: Path) -> None:
    fields = reader.lines[-1].split(reader.cut)
    fields[position] = "0:ppn=1" if title == "node request" else BAD  # names may be any text
    path = laid_out(reader, tmp_path, reader.cut.join(fields))
    where = re.escape(f"{path}, line {len(reader.lines)}: field ")
    with pytest.raises(WorkloadError, match=where) as caught:
        reader.read(path)
    named = (f"'{title}'", f"{position + 1} ({title})")
    assert any(each in str(caught.value) for each in named), caught.value
    assert "must be" in str(caught.value)
    assert len(str(caught.value)) < 600, "the field is shown cut"


@pytest.mark.parametrize("name", sorted(set(READERS) - {"sacct"}))
def test_a_line_that_is_cut_off_is_named(name: str, tmp_path: Path) -> None:
    reader = READERS[name]  # Slurm leaves out what is empty at the end of a line
    last = reader.cut.join(reader.lines[-1].split(reader.cut)[:2])
    path = laid_out(reader, tmp_path, last)
    expected = rf"{re.escape(str(path))}, line {len(reader.lines)}: expected \d+ .*, got 2"
    with pytest.raises(WorkloadError, match=expected):
        reader.read(path)


def test_bad_throughputs_are_named_by_type_and_job(tmp_path: Path) -> None:
    """JSON has no lines; what stands above the bad value names it."""
    content = json.dumps({"k80": {"('LM', 2)": {"null": "fast"}}})
    with pytest.raises(WorkloadError, match=r"t\.json: .*k80.*\('LM', 2\).*fast"):
        read_throughputs(write(tmp_path, "t.json", content))
