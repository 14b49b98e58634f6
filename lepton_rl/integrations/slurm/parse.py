"""The version layer: JSON of any supported Slurm to plain records."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from lepton_rl.core.checks import shown
from lepton_rl.core.errors import ExecutorError
from lepton_rl.integrations.slurm import json_2205, json_2411
from lepton_rl.integrations.slurm.records import SlurmJob, SlurmNode

__all__ = ["Dialect", "dialect_of"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one family of Slurm versions writes JSON.

    Attributes:
        version: first version of the family, year and month.
        nodes_command: what lists the nodes; `squeue --json` lists the jobs in all of them.
        job_of: reads one job.
        node_of: reads one node.
    """

    version: tuple[int, int]
    nodes_command: tuple[str, ...]
    job_of: Callable[[Mapping[str, Any]], SlurmJob]
    node_of: Callable[[Mapping[str, Any]], SlurmNode]

    def jobs(self, text: str) -> tuple[SlurmJob, ...]:
        """Jobs of `squeue --json`.

        Raises:
            ExecutorError: it is not what this version is known to write.
        """
        return _read(text, "jobs", self.job_of)

    def nodes(self, text: str) -> tuple[SlurmNode, ...]:
        """Nodes of `nodes_command`, by name; raises as `jobs` does."""
        return tuple(sorted(_read(text, "nodes", self.node_of), key=lambda node: node.name))


_DIALECTS: Sequence[Dialect] = (
    Dialect((24, 11), json_2411.NODES_COMMAND, json_2411.job_of, json_2411.node_of),
    Dialect((22, 5), json_2205.NODES_COMMAND, json_2205.job_of, json_2205.node_of),
)


def dialect_of(version: str) -> Dialect:
    """The dialect of a Slurm, by what `squeue --version` prints (`slurm 24.11.1`).

    Versions in between are refused: their JSON has other shapes again.

    Raises:
        ExecutorError: no supported version.
    """
    found = re.search(r"(\d+)\.(\d+)", version)
    year_and_month = (int(found[1]), int(found[2])) if found else (0, 0)
    if year_and_month >= (24, 11):
        return _DIALECTS[0]
    if year_and_month == (22, 5):
        return _DIALECTS[1]
    raise ExecutorError(f"expected Slurm 22.05, or 24.11 or later, got {shown(version.strip())}")


def _read(text: str, key: str, one: Callable[[Mapping[str, Any]], T]) -> tuple[T, ...]:
    try:
        return tuple(one(item) for item in json.loads(text)[key])
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise ExecutorError(
            f"Slurm's {key}: expected the JSON of this version, but {type(error).__name__}:"
            f" {error}; is the version right?"
        ) from error
