"""Memory in the Standard Workload Format: field 7 (used) and field 10 (requested).

Both are KiB per processor, -1 where unknown; `read_swf` reads neither. A log in which every task
used the same (MetaCentrum: 1,024 on all rows) has a placeholder there and not a measurement.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.errors import InputFileError, WorkloadError

__all__ = ["SwfMemory", "read_swf_memory"]

_JOB, _USED, _REQUESTED = 0, 6, 9
_GZIP_MAGIC = b"\x1f\x8b"

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class SwfMemory:
    """Memory of the tasks of a log.

    Attributes:
        used_kib: `(N,)` used, KiB per processor; NaN where nobody measured it.
        requested_kib: `(N,)` requested, likewise; infinity where nobody asked.
    """

    used_kib: Floats
    requested_kib: Floats

    @property
    def is_measured(self) -> bool:
        """Whether anything is known of what tasks used."""
        return bool(np.isfinite(self.used_kib).any())


def read_swf_memory(path: str | Path, ids: NDArray[np.str_]) -> SwfMemory:
    """Read the memory of the tasks that `read_swf` has read from the same log.

    Args:
        path: a `.swf` or `.swf.gz` file.
        ids: `(N,)` job ids, as in `Workload.ids`.

    Raises:
        InputFileError: the file cannot be read.
        WorkloadError: a row is not SWF.
    """
    known = {job: (used, requested) for job, used, requested in _rows(Path(path))}
    pairs = [known.get(str(each), (-1.0, -1.0)) for each in ids]
    used, requested = np.array(pairs, np.float64).reshape(-1, 2).T
    used = np.where(used > 0, used, np.nan)
    if len(set(used[np.isfinite(used)].tolist())) <= 1:
        used = np.full(len(used), np.nan)
    return SwfMemory(used, np.where(requested > 0, requested, np.inf))


def _rows(path: Path) -> Iterator[tuple[str, float, float]]:
    """Job id, used and requested memory of each row."""
    try:
        data = path.read_bytes()
        text = (gzip.decompress(data) if data.startswith(_GZIP_MAGIC) else data).decode("latin-1")
    except (OSError, EOFError) as error:
        raise InputFileError(f"cannot read {path}: {error}") from error
    for number, line in enumerate(text.split("\n"), start=1):
        fields = line.split()
        if not fields or fields[0].startswith(";"):
            continue
        try:
            yield str(int(float(fields[_JOB]))), float(fields[_USED]), float(fields[_REQUESTED])
        except (IndexError, ValueError) as error:
            raise WorkloadError(
                f"{path}, line {number}: expected numbers in fields 1, 7 (used memory) and 10"
                f" (requested memory), got {line[:80]!r}"
            ) from error
