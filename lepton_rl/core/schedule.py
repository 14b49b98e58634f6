"""What became of the tasks of a workload: the one form in which drivers hand back results."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Schedule"]


@dataclass(frozen=True, slots=True)
class Schedule:
    """What happened to each task of a workload, in the workload's order.

    Attributes:
        submit_us: `(N,)` submit times.
        start_us: `(N,)` start times, -1 for a task that has not started.
        end_us: `(N,)` end times, -1 for a task that has not ended.
        nodes: `(N, G)` node index of each replica, -1 beyond the gang.
        num_preemptions: runs that were stopped for other work.
    """

    submit_us: NDArray[np.int64]
    start_us: NDArray[np.int64]
    end_us: NDArray[np.int64]
    nodes: NDArray[np.int64]
    num_preemptions: int = 0
