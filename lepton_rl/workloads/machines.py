"""`.machines` files of the Alea simulator: groups of equal nodes, beside its logs.

One tab-separated line a group: id, name, nodes, cpus per node, relative speed, RAM in KB per node.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lepton_rl.core.checks import shown
from lepton_rl.core.errors import WorkloadError
from lepton_rl.workloads.csv_table import Column, require_fields, whole
from lepton_rl.workloads.text_file import read_lines

__all__ = ["MACHINES_SUFFIX", "NodeGroup", "read_node_groups"]

MACHINES_SUFFIX = ".machines"

_KIB_PER_GIB = 1024**2
_NUM_FIELDS = 6
_FIELDS: tuple[tuple[int, Column], ...] = (
    (2, whole("nodes", 1, 10_000_000)),
    (3, whole("cpus per node", 1, 10_000_000)),
    (5, whole("RAM in KB per node", most=1e15)),
)


@dataclass(frozen=True, slots=True)
class NodeGroup:
    """Equal nodes, a line of the file.

    Attributes:
        cluster: name of the group.
        nodes: how many.
        cpus: of each.
        memory_gib: of each, GiB.
    """

    cluster: str
    nodes: int
    cpus: int
    memory_gib: float


def read_node_groups(path: Path) -> Iterator[NodeGroup]:
    """The groups of a file.

    Raises:
        InputFileError: the file cannot be opened.
        WorkloadError: it has no group, or is malformed (line and field are named).
    """
    lines = read_lines(path, "tab-separated node groups")
    if not any(text.strip() for text in lines):
        raise WorkloadError(f"{path}: expected a line a group of nodes, got an empty file")
    for line, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        fields = text.split("\t")
        if len(fields) != _NUM_FIELDS:
            raise WorkloadError(
                f"{path}, line {line}: expected {_NUM_FIELDS} tab-separated fields (id, name,"
                " nodes, cpus per node, speed, RAM in KB per node), got"
                f" {len(fields)}: {shown(text)}"
            )
        require_fields(path, line, fields, _FIELDS)
        nodes, cpus, memory_kib = (float(fields[position]) for position, _ in _FIELDS)
        yield NodeGroup(fields[1], int(nodes), int(cpus), memory_kib / _KIB_PER_GIB)
