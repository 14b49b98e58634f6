"""State of a batch of simulations: what the rules see, plus what only the simulator knows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lepton_rl.core.rules.backfill import Scratch, empty_scratch
from lepton_rl.core.tables import Ints, NodeTable, Records, View, empty_view

__all__ = ["SimTable", "empty_sim"]

_PROGRESS_DTYPE = np.dtype(
    [
        ("num_tasks", np.int64),  # tasks of the episode
        ("next_arrival", np.int64),  # local index of the next task to arrive
        ("num_completed", np.int64),
        ("num_ends", np.int64),  # entries of the heap
        ("cost", np.float64),  # objective accrued so far, summed over tasks
        ("reported", np.float64),  # the part of it that rewards have told so far
    ],
    align=True,
)


class SimTable(NamedTuple):
    """A batch of `B` simulations of up to `N` tasks each over one shared task table."""

    state: View  # what the rules and policies see
    scratch: Scratch
    run_us: Ints  # (rows,) true run times, beside the task table
    progress: Records  # (B,) see _PROGRESS_DTYPE
    end_us: Ints  # (B, N) true end of each started task, by local index
    ends: Ints  # (B, N) binary heap of running tasks by (end_us, local index)


def empty_sim(
    tasks: Records, run_us: Ints, nodes: NodeTable, batch: int, episode_tasks: int
) -> SimTable:
    """Buffers for `batch` episodes of at most `episode_tasks` tasks; `reset` starts an episode."""
    largest_gang = int(tasks["replicas"].max(initial=1))
    return SimTable(
        state=empty_view(tasks, nodes, batch, episode_tasks, largest_gang),
        scratch=empty_scratch(nodes, batch, largest_gang),
        run_us=run_us,
        progress=np.zeros(batch, _PROGRESS_DTYPE),
        end_us=np.zeros((batch, episode_tasks), np.int64),
        ends=np.zeros((batch, episode_tasks), np.int64),
    )
