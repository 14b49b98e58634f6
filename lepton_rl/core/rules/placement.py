"""Placing a gang: its replicas get nodes one after another; all of them or none."""

from __future__ import annotations

from lepton_rl.core.compiled import compiled, inlined
from lepton_rl.core.rules.allocation import give_back, take
from lepton_rl.core.rules.fit import count_replicas, held_from_us, takes_replica
from lepton_rl.core.rules.node_scores import (
    Place,
    breaks_tie,
    mark_device_classes,
    node_score,
)
from lepton_rl.core.rules.scratch import Scratch
from lepton_rl.core.rules.times import expected_end_on_us
from lepton_rl.core.tables import NEVER_US, NO_NODE, PoolTable, Records, View

__all__ = [
    "Place",
    "add_up_free",
    "asks_for_more",
    "begin_gang",
    "best_node",
    "has_room",
    "has_room_now",
    "may_use",
    "only_node",
    "place_gang",
    "place_replica",
    "take_nodes",
    "undo_nodes",
    "undo_replicas",
]

_FIRST_FIT, _CLUSTERING = int(Place.FIRST_FIT), int(Place.GPU_CLUSTERING)


@inlined
def may_use(
    view: View, b: int, pool: PoolTable, p: int, local: int, row: int, now_us: int, m: int
) -> bool:
    """Whether node `m` has room for a replica, and is not held for somebody who comes before."""
    if not takes_replica(view.tasks, view.nodes, pool, p, row, m):
        return False
    held_us = held_from_us(pool, p, m, local)
    return held_us == NEVER_US or expected_end_on_us(view, b, local, now_us, m) <= held_us


@compiled
def has_room(view: View, b: int, pool: PoolTable, p: int, local: int) -> bool:
    """Whether a gang fits into row `p` of a pool now, on nodes that it may use."""
    row, now_us = view.status[b].first_row + local, view.status[b].now_us
    room = 0
    for m in range(view.nodes.rows.shape[0]):
        if not may_use(view, b, pool, p, local, row, now_us, m):
            continue
        if room + 1 == view.tasks[row].replicas:  # most tasks ask for one; see `gang_capacity`
            return True
        room += count_replicas(view.tasks, view.nodes, pool, p, row, m)
        if room >= view.tasks[row].replicas:
            return True
    return False


@compiled
def add_up_free(view: View, b: int, scratch: Scratch) -> None:
    """Fill row `b` of `scratch.free`: what is free on all nodes together."""
    for k in range(view.nodes.total.shape[0]):
        scratch.free[b, k] = 0
        for m in range(view.nodes.rows.shape[0]):
            scratch.free[b, k] += view.pool.rows[b, m].free[k]


@compiled
def asks_for_more(view: View, b: int, local: int, scratch: Scratch) -> bool:
    """Whether a gang asks for more than `add_up_free` found; then no node need be looked at."""
    task = view.tasks[view.status[b].first_row + local]
    for k in range(view.nodes.total.shape[0]):
        if task.demand[k] * task.replicas > scratch.free[b, k]:
            return True
    return False


@inlined
def best_node(
    view: View,
    b: int,
    pool: PoolTable,
    p: int,
    local: int,
    row: int,
    now_us: int,
    place: int,
    first: int,
    scratch: Scratch,
) -> int:
    """Node from `first` on for one replica under `place`, NO_NODE if none is feasible."""
    best = NO_NODE
    best_score = 0.0
    for m in range(first, view.nodes.rows.shape[0]):
        if not may_use(view, b, pool, p, local, row, now_us, m):
            continue
        if place == _FIRST_FIT:
            return m
        current = node_score(view, b, pool, p, row, m, place, scratch)
        if best == NO_NODE or current < best_score:
            best = m
            best_score = current
        elif current == best_score and breaks_tie(view, pool, p, row, m, best, place):
            best = m
    return best


@compiled
def begin_gang(scratch: Scratch, b: int) -> None:
    """Nothing is chosen yet, in row `b` of `scratch.choice`."""
    for replica in range(scratch.choice.shape[1]):
        scratch.choice[b, replica].node = NO_NODE
        scratch.choice[b, replica].cards = 0


@compiled
def place_replica(view: View, scratch: Scratch, b: int, local: int, replica: int, m: int) -> None:
    """Take node `m`, which the task may use, for its next replica; into `scratch.choice`."""
    row = view.status[b].first_row + local
    scratch.choice[b, replica].node = m
    scratch.choice[b, replica].cards = take(view.tasks, view.nodes, view.pool, b, row, m)


@compiled
def undo_replicas(view: View, scratch: Scratch, b: int, local: int, replicas: int) -> None:
    """Give back what `place_replica` has taken for the first `replicas` replicas of a task."""
    row = view.status[b].first_row + local
    undo_nodes(view, view.pool, b, row, scratch.choice, b, replicas)


@compiled
def has_room_now(view: View, b: int, local: int) -> bool:
    """Whether a gang fits now, on nodes that it may use."""
    return has_room(view, b, view.pool, b, local)


@compiled
def only_node(view: View, b: int, local: int) -> int:
    """The one node that a replica of the task may use now; NO_NODE if there are more, or none."""
    row, now_us = view.status[b].first_row + local, view.status[b].now_us
    found = NO_NODE
    for m in range(view.nodes.rows.shape[0]):
        if may_use(view, b, view.pool, b, local, row, now_us, m):
            if found != NO_NODE:
                return NO_NODE
            found = m
    return found


@compiled
def place_gang(
    view: View,
    b: int,
    pool: PoolTable,
    p: int,
    local: int,
    now_us: int,
    place: int,
    scratch: Scratch,
) -> bool:
    """Choose and take a node for each replica of a task, or leave everything as it is.

    Args:
        view: what there is to see.
        b: environment.
        pool: the view's, or the pool at another time; changed only when the gang fits.
        p: row of that pool.
        local: the task's local index. Nodes reserved for another task are left alone, unless this
            one will end, by its estimate, before the reservation begins.
        now_us: when it would start.
        place: a `Place`.
        scratch: row `b` of `choice` gets the node and the card bits of each replica, NO_NODE beyond
            the gang.

    Returns:
        Whether all replicas were placed.
    """
    choice, row = scratch.choice, view.status[b].first_row + local
    begin_gang(scratch, b)
    if place == _CLUSTERING:
        mark_device_classes(view, b, scratch)
    first = 0
    for replica in range(view.tasks[row].replicas):
        m = best_node(view, b, pool, p, local, row, now_us, place, first, scratch)
        if m == NO_NODE:
            undo_nodes(view, pool, p, row, choice, b, replica)
            for placed in range(replica):
                choice[b, placed].node = NO_NODE
            return False
        choice[b, replica].node = m
        choice[b, replica].cards = take(view.tasks, view.nodes, pool, p, row, m)
        if place == _FIRST_FIT:
            first = m  # what had no room for the last replica has none for this one
    return True


@compiled
def take_nodes(
    view: View, b: int, pool: PoolTable, p: int, local: int, now_us: int, choice: Records
) -> int:
    """Take exactly the nodes that somebody else chose for a gang, or nothing.

    Args:
        view: what there is to see.
        b: environment.
        pool: the view's, or another; changed only when the gang fits.
        p: row of that pool.
        local: the task's local index, for reservations (see `place_gang`).
        now_us: when it would start.
        choice: `(B, G)`, row `b` names the node of each replica and gets the card bits.

    Returns:
        -1, or the first replica whose node is held for another task or has no room for it.
    """
    row = view.status[b].first_row + local
    for replica in range(view.tasks[row].replicas):
        m = choice[b, replica].node
        if not may_use(view, b, pool, p, local, row, now_us, m):
            undo_nodes(view, pool, p, row, choice, b, replica)
            return replica
        choice[b, replica].cards = take(view.tasks, view.nodes, pool, p, row, m)
    return -1


@compiled
def undo_nodes(
    view: View, pool: PoolTable, p: int, row: int, choice: Records, b: int, replicas: int
) -> None:
    """Give back what the first `replicas` replicas of task `row` have just taken."""
    for replica in range(replicas):
        chosen = choice[b, replica]
        give_back(view.tasks, view.nodes, pool, p, row, chosen.node, chosen.cards)
