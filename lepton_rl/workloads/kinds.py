"""Kinds of trace: which files each reads, and how a file's kind is found.

The kind is what the setting `kind` says; else what the file's suffix says (`.swf` with rows of 21
fields is MetaCentrum's); else, for CSV, the kind whose columns the header has. Of several the one
that needs most columns is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lepton_rl.core.checks import shown
from lepton_rl.core.errors import ConfigError, WorkloadError
from lepton_rl.core.naming import did_you_mean
from lepton_rl.core.settings import Settings, load_settings
from lepton_rl.workloads import (
    azure_functions,
    azure_llm,
    chronus,
    columnar,
    dlrm,
    elasticflow,
    gavel,
    hydra,
    lora,
    metacentrum,
    muri,
    openb,
    philly,
    quotas,
    sacct,
    tiresias,
)
from lepton_rl.workloads.columnar import COLUMNAR_SUFFIX
from lepton_rl.workloads.csv_table import Column, read_header
from lepton_rl.workloads.node_lists import node_list_of
from lepton_rl.workloads.swf import SWF_SUFFIXES, read_swf
from lepton_rl.workloads.workload import Workload

__all__ = ["KINDS", "TRACE_SUFFIXES", "TraceKind", "is_quota_file", "kind_of", "read_trace"]

_CSV_SUFFIXES = (".csv", ".csv.gz")


@dataclass(frozen=True, slots=True)
class TraceKind:
    """One kind of trace.

    Attributes:
        name: as the setting `kind` and the documentation have it.
        settings: model of its settings.
        read: reads a file of it.
        columns: header columns that tell it from other CSV files; none where the suffix does.
        suffixes: what its files end in.
    """

    name: str
    settings: type[Settings]
    read: Callable[[Path, Any], Workload]
    columns: frozenset[str] = frozenset()
    suffixes: tuple[str, ...] = _CSV_SUFFIXES


class SwfSettings(Settings):
    """Settings of a log in Standard Workload Format.

    Attributes:
        processors: machine size; overrides the header and the `.machines` file. None: as they say.
    """

    processors: int | None = None


def _read_swf(path: Path, settings: SwfSettings) -> Workload:
    return read_swf(path, processors=settings.processors)


def _csv(
    name: str,
    settings: type[Settings],
    read: Callable[[Path, Any], Workload],
    columns: tuple[Column, ...],
) -> TraceKind:
    return TraceKind(name, settings, read, frozenset(column.name for column in columns))


_SWF = TraceKind("swf", SwfSettings, _read_swf, suffixes=SWF_SUFFIXES)
_METACENTRUM = TraceKind(
    "metacentrum",
    metacentrum.MetaCentrumSettings,
    metacentrum.read_metacentrum,
    suffixes=SWF_SUFFIXES,
)
_COLUMNAR = TraceKind(
    "columnar", columnar.ColumnarSettings, columnar.read_columnar, suffixes=(COLUMNAR_SUFFIX,)
)
_SACCT = TraceKind("sacct", sacct.SacctSettings, sacct.read_sacct, suffixes=sacct.SACCT_SUFFIXES)
_GAVEL = TraceKind("gavel", gavel.GavelSettings, gavel.read_gavel, suffixes=gavel.GAVEL_SUFFIXES)

KINDS: Mapping[str, TraceKind] = {
    kind.name: kind
    for kind in (
        _SWF,
        _METACENTRUM,
        _GAVEL,
        _SACCT,
        _COLUMNAR,
        _csv("openb", openb.OpenbSettings, openb.read_openb, openb.POD_COLUMNS),
        _csv("philly", philly.PhillySettings, philly.read_philly, philly.COLUMNS),
        _csv("muri", muri.MuriSettings, muri.read_muri, muri.COLUMNS),
        _csv("chronus", chronus.ChronusSettings, chronus.read_chronus, chronus.COLUMNS),
        _csv(
            "elasticflow",
            elasticflow.ElasticFlowSettings,
            elasticflow.read_elasticflow,
            elasticflow.COLUMNS,
        ),
        _csv("tiresias", tiresias.TiresiasSettings, tiresias.read_tiresias, tiresias.COLUMNS),
        _csv("hydra", hydra.HydraSettings, hydra.read_hydra, hydra.COLUMNS),
        _csv("azure-llm", azure_llm.AzureLlmSettings, azure_llm.read_azure_llm, azure_llm.COLUMNS),
        _csv(
            "azure-functions",
            azure_functions.AzureFunctionsSettings,
            azure_functions.read_azure_functions,
            azure_functions.COLUMNS,
        ),
        _csv("dlrm", dlrm.DlrmSettings, dlrm.read_dlrm, dlrm.COLUMNS),
        _csv("lora", lora.LoraSettings, lora.read_lora, lora.COLUMNS),
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
    """The kind of a file, by its suffix and first row or header.

    Raises:
        InputFileError: the file cannot be opened.
        WorkloadError: it is a CSV file of no known kind; the message has the nearest one.
    """
    lower = path.name.lower()
    if lower.endswith(SWF_SUFFIXES):
        return _METACENTRUM if metacentrum.is_metacentrum(path) else _SWF
    for kind in (_GAVEL, _SACCT, _COLUMNAR):
        if lower.endswith(kind.suffixes):
            return kind
    header = read_header(path)
    matching = [kind for kind in KINDS.values() if kind.columns and kind.columns <= header]
    if not matching:
        raise _no_kind(path, header)
    return max(matching, key=lambda kind: len(kind.columns))


def is_quota_file(header: frozenset[str]) -> bool:
    """Whether a CSV file with this header has quotas of tenants."""
    return {column.name for column in quotas.COLUMNS} <= header


def _known(name: object) -> TraceKind:
    if isinstance(name, str) and name in KINDS:
        return KINDS[name]
    raise ConfigError(f"kind: unknown {shown(name)}; {did_you_mean(str(name), KINDS)}")


def _no_kind(path: Path, header: frozenset[str]) -> WorkloadError:
    """Says what the file is instead, or which kind comes nearest by share of its columns."""
    if nodes := node_list_of(header):
        return WorkloadError(
            f"{path}: this is a node list ({nodes.name}), not tasks; give a list of tasks, and this"
            " file as its setting nodes"
        )
    if is_quota_file(header):
        return WorkloadError(
            f"{path}: these are quotas of tenants, not tasks; read them with read_quotas, for"
            " Scheduler(quotas=...)"
        )
    with_columns = [kind for kind in KINDS.values() if kind.columns]
    near = max(with_columns, key=lambda kind: len(kind.columns & header) / len(kind.columns))
    missing = ", ".join(sorted(near.columns - header))
    return WorkloadError(
        f"{path}, line 1: the header is that of no known kind of trace; nearest is {near.name},"
        f" which needs {missing} too. Correct the header, or name the kind (setting kind:"
        f" {', '.join(sorted(KINDS))})"
    )
