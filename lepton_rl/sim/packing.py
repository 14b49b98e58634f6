"""Packing: tasks arrive one by one, get nodes or are turned away, and never leave."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.compiled import compiled
from lepton_rl.core.rules.backfill import choose_nodes
from lepton_rl.core.rules.queueing import arrive, enter_run, leave_queue
from lepton_rl.core.rules.scratch import Scratch, empty_scratch
from lepton_rl.core.tables import NodeTable, Records, View, empty_view

__all__ = ["pack"]


@compiled
def _pack_all(view: View, scratch: Scratch, place: int) -> None:
    for local in range(view.pending.shape[1]):
        view.status[0].now_us = local  # one tick each: placements may draw on the clock
        arrive(view, 0, local)
        if not choose_nodes(view, scratch, 0, local, place):
            leave_queue(view, 0, local)
            continue
        for replica in range(view.held.shape[2]):
            view.held[0, local, replica] = scratch.choice[0, replica]
        enter_run(view, 0, local)


def pack(
    tasks: Records, nodes: NodeTable, place: int, typical: Records | None = None
) -> NDArray[np.int64]:
    """Nodes of each task, in the order of arrival.

    Args:
        tasks: `(N,)` records; times do not matter.
        nodes: idle at first.
        place: a `Place`.
        typical: what tasks usually ask for (placement by fragmentation).

    Returns:
        `(N, G)` node of each replica, NO_NODE beyond the gang and for those turned away.
    """
    gang = int(tasks["replicas"].max(initial=1))
    seen = tasks.copy()
    seen["tenant"] = 0
    view = empty_view(seen, nodes, 1, len(seen), gang, typical=typical)
    view.held["node"] = -1
    _pack_all(view, empty_scratch(nodes, 1, gang), place)
    placed: NDArray[np.int64] = view.held["node"][0]
    return placed
