"""Kinds of trace: which files each reads, and how a file's kind is found.

The kind is what the setting `kind` says; else what the file's suffix says (`.swf`); else, for CSV,
the kind whose columns the header has. Of several the one that needs most columns is taken.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lepton_rl.core.checks import shown
from lepton_rl.core.errors import ConfigError, WorkloadError
from lepton_rl.core.naming import did_you_mean
from lepton_rl.core.settings import Settings, load_settings
from lepton_rl.workloads import openb, philly
from lepton_rl.workloads.csv_table import Column
from lepton_rl.workloads.swf import SWF_SUFFIXES, read_swf
from lepton_rl.workloads.text_file import read_lines
from lepton_rl.workloads.workload import Workload

__all__ = ["KINDS", "TRACE_SUFFIXES", "TraceKind", "kind_of", "read_trace"]

_CSV_SUFFIXES = (".csv", ".csv.gz")


@dataclass(frozen=True, slots=True)
class TraceKind:
    """One kind of trace.

    Attributes:
        name: as the setting `kind` and the documentation have it.
        settings: model of its settings.
        read: reads a file of it.
        suffixes: what its files end in.
        columns: header columns that tell it from other CSV files; none where the suffix does.
    """

    name: str
    settings: type[Settings]
    read: Callable[[Path, Any], Workload]
    suffixes: tuple[str, ...] = _CSV_SUFFIXES
    columns: frozenset[str] = frozenset()


class SwfSettings(Settings):
    """Settings of a log in Standard Workload Format.

    Attributes:
        processors: machine size; overrides the header and the `.machines` file. None: as they say.
    """

    processors: int | None = None


def _read_swf(path: Path, settings: SwfSettings) -> Workload:
    return read_swf(path, processors=settings.processors)


def _names(columns: tuple[Column, ...]) -> frozenset[str]:
    return frozenset(column.name for column in columns)


KINDS: Mapping[str, TraceKind] = {
    kind.name: kind
    for kind in (
        TraceKind("swf", SwfSettings, _read_swf, SWF_SUFFIXES),
        TraceKind(
            "openb", openb.OpenbSettings, openb.read_openb, columns=_names(openb.POD_COLUMNS)
        ),
        TraceKind(
            "philly", philly.PhillySettings, philly.read_philly, columns=_names(philly.COLUMNS)
        ),
    )
}
"""Name -> kind."""

TRACE_SUFFIXES = tuple(dict.fromkeys(suffix for kind in KINDS.values() for suffix in kind.suffixes))
"""What files of traces end in."""


def read_trace(path: Path, settings: Mapping[str, object]) -> Workload:
    """Read a file of any kind.

    Args:
        path: ends in one of `TRACE_SUFFIXES`, unless `settings` names the kind.
        settings: of its kind; `kind` itself says which that is.

    Raises:
        ConfigError: an unknown kind or setting, with the nearest right one.
        InputFileError: the file cannot be opened.
        WorkloadError: the file is of no known kind, or malformed.
    """
    given = dict(settings)
    name = given.pop("kind", None)
    kind = kind_of(path) if name is None else _known(name)
    return kind.read(path, load_settings(kind.settings, given, f"{path} ({kind.name})"))


def kind_of(path: Path) -> TraceKind:
    """The kind of a file, by its suffix and, for CSV, its header.

    Raises:
        InputFileError: the file cannot be opened.
        WorkloadError: it is a CSV file of no known kind; the message has the nearest one.
    """
    lower = path.name.lower()
    for kind in KINDS.values():
        if not kind.columns and lower.endswith(kind.suffixes):
            return kind
    header = _header(path)
    matching = [kind for kind in KINDS.values() if kind.columns and kind.columns <= header]
    if not matching:
        raise _no_kind(path, header)
    return max(matching, key=lambda kind: len(kind.columns))


def _known(name: object) -> TraceKind:
    if isinstance(name, str) and name in KINDS:
        return KINDS[name]
    raise ConfigError(f"kind: unknown {shown(name)}; {did_you_mean(str(name), KINDS)}")


def _header(path: Path) -> frozenset[str]:
    first = read_lines(path, "CSV")[0]
    return frozenset(name.strip() for name in next(csv.reader([first]), []))


def _no_kind(path: Path, header: frozenset[str]) -> WorkloadError:
    """The nearest kind is the one with the largest share of its columns in the header."""
    with_columns = [kind for kind in KINDS.values() if kind.columns]
    near = max(with_columns, key=lambda kind: len(kind.columns & header) / len(kind.columns))
    missing = ", ".join(sorted(near.columns - header))
    return WorkloadError(
        f"{path}, line 1: the header is that of no known kind of trace; nearest is {near.name},"
        f" which needs {missing} too. Correct the header, or name the kind (setting kind:"
        f" {', '.join(sorted(KINDS))})"
    )
