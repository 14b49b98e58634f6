"""The two files of an attempt that outlive everybody: who runs it, and how it ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

from lepton_rl.integrations.local.supervision.identity import ProcessIdentity

__all__ = [
    "VOID",
    "Claim",
    "ExitStatus",
    "read_claim",
    "read_exit_status",
    "write_claim",
    "write_exit_status",
]

VOID = "void"
"""Outcome of an attempt of which nothing ever ran, and of which nobody was told."""

_EXIT_STATUS = "exit_status"


class Claim(NamedTuple):
    """A supervisor's word that it runs an attempt.

    Attributes:
        task_id: whose attempt it is.
        attempt: number of its directory, from 1.
        start_us: when it was started, on the scheduler's clock.
        supervisor: who runs it.
        run: the scheduler's number of it, None if it gave none.
    """

    task_id: str
    attempt: int
    start_us: int
    supervisor: ProcessIdentity
    run: int | None = None


class ExitStatus(NamedTuple):
    """How an attempt ended.

    Attributes:
        outcome: value of an `Outcome`, or VOID.
        exit_code: of the replica that decided it; -n where signal n killed it.
        detail: the cause in words, "" for a success.
        exit_codes: of all replicas; None for those that never ran.
        ended_us: when, on this machine's clock since boot.
        boot_id: of that boot.
    """

    outcome: str
    exit_code: int | None
    detail: str
    exit_codes: list[int | None]
    ended_us: int
    boot_id: str


def write_claim(path: Path, claim: Claim, directory: Path) -> None:
    """Make a claim.

    Args:
        path: the file that stands for it; its folder is gone once the executor has been replaced.
        claim: what to write.
        directory: of the attempt.

    Raises:
        OSError: it cannot be written; the attempt must not run then.
    """
    value = claim._asdict() | {"supervisor": claim.supervisor._asdict()}
    _write(path, value, directory)


def read_claim(path: Path) -> Claim:
    """The claim in a file.

    Raises:
        OSError: it cannot be read.
        ValueError: it holds no claim.
    """
    value = _read(path)
    try:
        return Claim(**value | {"supervisor": ProcessIdentity(**value["supervisor"])})
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path} holds no claim: {error}") from error


def write_exit_status(directory: Path, status: ExitStatus) -> None:
    """Record the end of the attempt in this directory.

    Raises:
        OSError: it cannot be written.
    """
    _write(directory / _EXIT_STATUS, status._asdict(), directory)


def read_exit_status(directory: Path) -> ExitStatus | None:
    """How the attempt in this directory ended; None if that was never recorded."""
    try:
        return ExitStatus(**_read(directory / _EXIT_STATUS))
    except (OSError, ValueError, TypeError):
        return None


def _write(path: Path, value: object, beside: Path) -> None:
    """The file is there completely or not at all; `beside` is a folder for the unfinished one."""
    unfinished = beside / f"{path.name}.unfinished"
    unfinished.write_bytes(json.dumps(value).encode())
    unfinished.replace(path)


def _read(path: Path) -> Any:
    return json.loads(path.read_bytes())
