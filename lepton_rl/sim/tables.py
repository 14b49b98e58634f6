"""State of a batch of simulations: what the rules see, plus what only the simulator knows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lepton_rl.core.rules.backfill import Scratch, empty_scratch
from lepton_rl.core.tables import (
    Floats,
    Indices,
    Ints,
    NodeTable,
    TaskTable,
    View,
    empty_pool,
    empty_queue,
    empty_run,
)

__all__ = ["SimTable", "empty_sim"]


class SimTable(NamedTuple):
    """A batch of `B` simulations of up to `N` tasks each over one shared task table."""

    state: View  # what the rules and policies see
    scratch: Scratch
    run_us: Ints  # (rows,) true run times, beside the task table
    num_tasks: Indices  # (B,) tasks of the episode
    next_arrival: Indices  # (B,) local index of the next task to arrive
    num_completed: Indices  # (B,)
    end_us: Ints  # (B, N) true end of each started task, by local index
    ends: Indices  # (B, N) binary heap of running tasks by (end_us, local index)
    num_ends: Indices  # (B,)
    cost: Floats  # (B,) objective accrued so far, summed over tasks


def empty_sim(
    tasks: TaskTable, run_us: Ints, nodes: NodeTable, batch: int, episode_tasks: int
) -> SimTable:
    """Buffers for `batch` episodes of at most `episode_tasks` tasks; `reset` starts an episode."""
    largest_gang = int(tasks.replicas.max(initial=1))
    return SimTable(
        state=View(
            tasks=tasks,
            nodes=nodes,
            pool=empty_pool(nodes, batch),
            queue=empty_queue(batch, episode_tasks),
            run=empty_run(batch, episode_tasks, largest_gang),
        ),
        scratch=empty_scratch(nodes, batch, largest_gang),
        run_us=run_us,
        num_tasks=np.zeros(batch, np.int32),
        next_arrival=np.zeros(batch, np.int32),
        num_completed=np.zeros(batch, np.int32),
        end_us=np.zeros((batch, episode_tasks), np.int64),
        ends=np.zeros((batch, episode_tasks), np.int32),
        num_ends=np.zeros(batch, np.int32),
        cost=np.zeros(batch, np.float64),
    )
