"""Files that belong to a trace and stand beside it."""

from __future__ import annotations

from pathlib import Path

from lepton_rl.core.errors import WorkloadError

__all__ = ["file_beside"]


def file_beside(trace: Path, given: str, what: str, setting: str) -> Path:
    """The file called `given`: a bare file name stands beside the trace, a path for itself.

    Args:
        trace: of the trace.
        given: name or path.
        what: the file is, for the message.
        setting: that can name another one.

    Raises:
        WorkloadError: there is no such file.
    """
    named = Path(given)
    path = trace.with_name(named.name) if named == Path(named.name) else named
    if path.is_file():
        return path
    raise WorkloadError(
        f"{trace}: expected {what} at {path}, got no such file; put it there, or give its path"
        f" (setting {setting})"
    )
