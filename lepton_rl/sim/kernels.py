"""What one thread does for one environment: the same on the CPU and on a GPU.

A GPU steps a batch with one thread for each environment. So an environment does here by itself what
Python does for all elsewhere: it refuses an action that its mask forbids, and begins its next
episode as one ends.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.by_reference import by_reference
from lepton_rl.core.compiled import compiled
from lepton_rl.core.own_parts import own_part_of
from lepton_rl.core.tables import Floats, Ints
from lepton_rl.encoding.workspace import SHARED, EncoderWorkspace
from lepton_rl.sim.episode import (
    BatchTable,
    EpisodeRule,
    begin_episode,
    is_allowed,
    step_one,
)

__all__ = ["NO_ROW", "KernelTable", "run_environment", "run_environments"]

NO_ROW = -1
"""A task that is none: no episode begins there."""

_own_work = own_part_of(*SHARED)


@by_reference
class KernelTable(NamedTuple):
    """`B` environments, each of which goes on by itself."""

    batch: BatchTable
    work: EncoderWorkspace  # of environment 0; those of the others lie behind each of its arrays
    starts: Ints  # (B,) first task of the next episode; NO_ROW to leave what is over as it is
    refused: NDArray[np.bool_]  # (B,) out: the mask forbids its action; nothing has moved
    mean_cost: Floats  # (B,) out: of the last episode that ended


@compiled
def run_environment(table: KernelTable, b: int, begins: bool, rule: EpisodeRule) -> None:
    """Step environment `b`; if that ends its episode, or if it `begins`, begin the next one.

    What tells of the step (`rewards`, `terminated`, `mean_cost`) stays, what it led to (`obs`) is
    of the new episode.
    """
    batch, work = table.batch, _own_work(table.work, b)
    if begins:
        batch.rewards[b] = 0.0
        batch.terminated[b] = False
        table.refused[b] = False
    else:
        if batch.paused[b]:
            return
        table.refused[b] = not is_allowed(batch, b)
        if table.refused[b]:
            batch.rewards[b] = 0.0
            batch.terminated[b] = False
            return
        step_one(batch, work, b, rule)
        if not batch.terminated[b]:
            return
        progress = batch.sim.progress[b]
        table.mean_cost[b] = progress.cost / progress.num_tasks
    if table.starts[b] != NO_ROW:
        begin_episode(batch, work, b, table.starts[b], batch.sim.end_us.shape[1], rule)


@compiled
def run_environments(table: KernelTable, begins: bool, rule: EpisodeRule) -> None:
    """`run_environment` for all, one after another: what a GPU does at once."""
    for b in range(table.starts.shape[0]):
        run_environment(table, b, begins, rule)
