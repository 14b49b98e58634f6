"""How many nodes a cluster had, and used, over time (Philly).

Source: `philly_node_sequence.csv` of S-Lab-System-Group/HeliosArtifact; Hu et al.,
"Characterization and prediction of deep learning workloads in large-scale GPU datacenters", SC
2021. One row a minute: time, active (nodes in use), total (nodes that were there).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from lepton_rl.workloads.csv_table import moment, read_csv, whole

__all__ = ["COLUMNS", "describe_node_counts", "is_node_counts"]

COLUMNS = (moment("time"), whole("active"), whole("total"))

_SECONDS_PER_DAY = 86_400


def is_node_counts(header: frozenset[str]) -> bool:
    """Whether a CSV file with this header is such a list."""
    return {column.name for column in COLUMNS} <= header


def describe_node_counts(path: Path) -> Mapping[str, object]:
    """Its figures: span, the most common number of nodes, how often it is met, and use.

    Raises:
        InputFileError: the file cannot be opened.
        WorkloadError: it is malformed (line and field are named).
    """
    table = read_csv(path, COLUMNS)
    times_s, active, total = (table[column.name] for column in COLUMNS)
    ((nodes, rows),) = Counter(total.tolist()).most_common(1)
    return {
        "rows": len(table),
        "span_days": float(times_s.max() - times_s.min()) / _SECONDS_PER_DAY,
        "nodes": nodes,
        "rows_with_so_many": rows,
        "fewest": int(total.min()),
        "most": int(total.max()),
        "in_use": float(active.sum() / max(1, total.sum())),
    }
