"""Small hand-written traces."""

from __future__ import annotations

from pathlib import Path


def write(folder: Path, name: str, *lines: str) -> Path:
    """A text file of these lines."""
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path
