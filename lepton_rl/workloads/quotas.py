"""Quotas of virtual clusters: GPUs assigned to each, per day (Helios).

Source: `Earth_gpu_number.csv` of S-Lab-System-Group/HeliosArtifact; Hu et al., "Characterization
and prediction of deep learning workloads in large-scale GPU datacenters", SC 2021. One row a day:
date, one column a virtual cluster with its GPUs, total.
"""

from __future__ import annotations

from pathlib import Path

from lepton_rl.core.errors import ConfigError
from lepton_rl.core.naming import did_you_mean
from lepton_rl.workloads.csv_table import read_csv, text, whole

__all__ = ["COLUMNS", "read_quotas"]

COLUMNS = (text("date"), whole("total"))


def read_quotas(path: str | Path, date: str | None = None) -> dict[str, float]:
    """Tenant -> share of all GPUs on one day, for `Scheduler(quotas=...)`.

    Args:
        path: of the file, plain or gzip.
        date: the day, as the file writes it; None for the last.

    Returns:
        Shares above 0, at most 1. A tenant without GPUs on that day is not in it: to a scheduler
        that means no limit, so do not submit its tasks.

    Raises:
        InputFileError: the file cannot be opened.
        WorkloadError: it is malformed (line and field are named).
        ConfigError: it has no such day.
    """
    header = read_csv(path, COLUMNS).header
    tenants = [name for name in header if name not in ("date", "total")]
    table = read_csv(path, [*COLUMNS, *(whole(name) for name in tenants)])
    dates = table["date"].tolist()
    if date is not None and date not in dates:
        raise ConfigError(f"{path}: no row of the day {date!r}; {did_you_mean(date, dates)}")
    row = len(dates) - 1 if date is None else dates.index(date)
    gpus = {name: int(table[name][row]) for name in tenants}
    whole_cluster = max(int(table["total"][row]), sum(gpus.values()))
    return {name: number / whole_cluster for name, number in gpus.items() if number > 0}
