"""Demands: what tasks usually ask for, learned from those that were submitted."""

from __future__ import annotations

import numpy as np

from lepton_rl.core.tables import NodeTable, Records
from lepton_rl.core.typical import typical_tasks

__all__ = ["Demands"]

_MOST_SPECS = 4096
"""Different demands that are remembered; beyond it, rare ones are forgotten."""

_GROWTH = 1.25
"""The table is made anew when so many times more tasks have been submitted than the last time."""


class Demands:
    """Counts of the demands of submitted tasks, and the table of typical ones made of them."""

    def __init__(self) -> None:
        self._counts: dict[bytes, tuple[Records, int]] = {}
        self._total, self._next = 0, 1.0

    def add(self, record: Records) -> bool:
        """Count one task.

        Args:
            record: `(1,)` what the rules see of it.

        Returns:
            Whether the table should be made anew.
        """
        key = record["demand"].tobytes() + record["models"].tobytes()
        self._counts[key] = (record, self._counts.get(key, (record, 0))[1] + 1)
        if len(self._counts) > _MOST_SPECS:
            self._forget_rare()
        self._total += 1
        if self._total < self._next:
            return False
        self._next = self._total * _GROWTH
        return True

    def _forget_rare(self) -> None:
        """Take the lowest count off all, and drop who has none left (Misra and Gries, 1982)."""
        least = min(count for _, count in self._counts.values())
        left = ((key, record, count - least) for key, (record, count) in self._counts.items())
        self._counts = {key: (record, count) for key, record, count in left if count}

    def typical(self, nodes: NodeTable) -> Records:
        """The typical demands; see `core.typical.typical_tasks`."""
        records = np.concatenate([record for record, _ in self._counts.values()])
        counts = np.array([count for _, count in self._counts.values()], np.int64)
        return typical_tasks(records, nodes, counts)
