"""Names in task records: tenants and task classes stand there as numbers."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.intake import task_classes as task_columns
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.tables import Records

__all__ = ["CODED", "write_codes"]

Names = NDArray[np.str_]

CODED = ("tenant", "task_class")
"""Fields of a record that hold the number of a name."""


def write_codes(
    records: Records, cluster: Cluster, tenants: Names | None, task_classes: Names | None
) -> None:
    """Write the numbers of tenants and task classes.

    Args:
        records: `(N,)` task records.
        cluster: whose nodes name task classes.
        tenants: `(N,)` names; numbered from 1 by their first task, '' is 0.
        task_classes: `(N,)` names; numbered from 1 in the order of the classes that nodes name,
            others are 0.
    """
    if tenants is not None:
        records["tenant"] = _by_first_task(tenants)
    if task_classes is not None:
        records["task_class"] = _in_order(task_classes, task_columns(cluster))


def _by_first_task(names: Names) -> NDArray[np.int32]:
    different, first, group = np.unique(names, return_index=True, return_inverse=True)
    first = np.where(different == "", -1, first)  # before all others
    number = np.empty(len(different), np.int32)
    start = 0 if (different == "").any() else 1
    number[np.argsort(first)] = np.arange(start, start + len(different))
    return number[group.ravel()]


def _in_order(names: Names, number: Mapping[str, int]) -> NDArray[np.int32]:
    different, group = np.unique(names, return_inverse=True)
    codes = np.array([number.get(name, 0) for name in different.tolist()], np.int32)
    return codes[group.ravel()]
