"""Packing: tasks arrive one by one, get nodes or are turned away, and never leave."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.compiled import compiled
from lepton_rl.core.resources import CARD
from lepton_rl.core.rules.allocation import give_back, retake
from lepton_rl.core.rules.backfill import choose_nodes
from lepton_rl.core.rules.node_scores import Place, any_of
from lepton_rl.core.rules.queueing import arrive, enter_run, leave_queue
from lepton_rl.core.rules.scratch import Scratch, empty_scratch
from lepton_rl.core.tables import NodeTable, Records, View, empty_view

__all__ = ["pack"]

_RANDOM = int(Place.RANDOM)
_FIRST_CARD = 1 << 20
"""Cards draw other numbers than nodes do."""


@compiled
def _draw_cards(view: View, scratch: Scratch, local: int) -> None:
    """Put the shares that a task has just taken on any cards that hold them.

    The rules give a share to the fullest card; the published Random draws the card too (the option
    `-gpusel random` of its simulator).
    """
    task, pool, now_us = view.tasks[local], view.pool, view.status[0].now_us
    devices = view.nodes.card_start.shape[0] - 1
    for replica in range(task.replicas):
        m, cards = scratch.choice[0, replica].node, scratch.choice[0, replica].cards
        give_back(view.tasks, view.nodes, pool, 0, local, m, cards)
        for device in range(devices):
            wanted = task.demand[view.nodes.total.shape[0] - devices + device]
            if not 0 < wanted < CARD:
                continue
            best = -1
            best_draw = 0.0
            for column in range(view.nodes.card_start[device], view.nodes.card_start[device + 1]):
                cards &= ~(1 << column)
                draw = any_of(task.submit_us, now_us, _FIRST_CARD + replica * 64 + column)
                if pool.card_free[0, m, column] >= wanted and (best < 0 or draw < best_draw):
                    best = column
                    best_draw = draw
            cards |= 1 << best
        retake(view.tasks, view.nodes, pool, 0, local, m, cards)
        scratch.choice[0, replica].cards = cards


@compiled
def _pack_all(view: View, scratch: Scratch, place: int) -> None:
    for local in range(view.pending.shape[1]):
        view.status[0].now_us = local  # one tick each: placements may draw on the clock
        arrive(view, 0, local)
        if not choose_nodes(view, scratch, 0, local, place):
            leave_queue(view, 0, local)
            continue
        if place == _RANDOM:
            _draw_cards(view, scratch, local)
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
        place: a `Place`; RANDOM draws the card of a share too.
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
