"""Whether and where a task fits, and taking and giving back what it holds.

A gang's replicas are placed one after another; all of them get a node or none does.
"""

from __future__ import annotations

from enum import IntEnum

from lepton_rl.core.compiled import compiled
from lepton_rl.core.resources import CARD
from lepton_rl.core.rules.lepton import node_load
from lepton_rl.core.tables import (
    NO_NODE,
    NO_TASK,
    NodeTable,
    PoolTable,
    Records,
)

__all__ = [
    "Place",
    "first_without_room",
    "gang_capacity",
    "give_back",
    "is_held",
    "place_gang",
    "replica_capacity",
    "retake",
    "take",
    "take_nodes",
]


class Place(IntEnum):
    """Which of the feasible nodes a replica gets; the lowest index wins ties."""

    FIRST_FIT = 0
    """the lowest index"""
    BEST_FIT = 1
    """the highest load, so that large gaps stay whole"""
    LEAST_LOADED = 2
    """the lowest load: R_min of the Lepton load rule (worst fit)"""


_FIRST_FIT, _BEST_FIT, _LEAST_LOADED = (int(p) for p in Place)
_MANY = 1 << 30


@compiled
def replica_capacity(
    tasks: Records, nodes: NodeTable, pool: PoolTable, b: int, row: int, m: int
) -> int:
    """How many replicas of task `row` node `m` could take now (0 if it is not allowed there).

    Only the resources: whether the node is held for another task is the caller's question. A node
    that is draining or down takes nothing; no other rule asks for that.
    """
    if not nodes.rows[m].accepting:
        return 0
    if (nodes.rows[m].labels & tasks[row].labels) != tasks[row].labels:
        return 0
    if tasks[row].models != 0 and (nodes.rows[m].model & tasks[row].models) == 0:
        return 0
    num_devices = nodes.card_start.shape[0] - 1
    num_divisible = nodes.total.shape[0] - num_devices
    most = _MANY
    for k in range(num_divisible):
        if tasks[row].demand[k] > 0:
            most = min(most, pool.rows[b, m].free[k] // tasks[row].demand[k])
    for device in range(num_devices):
        wanted = tasks[row].demand[num_divisible + device]
        if wanted > 0:
            most = min(most, _card_capacity(nodes, pool, b, m, device, wanted))
    if tasks[row].exclusive:
        if pool.rows[b, m].replicas_on > 0:
            return 0
        most = min(most, 1)
    return most


@compiled
def _card_capacity(
    nodes: NodeTable, pool: PoolTable, b: int, m: int, device: int, wanted: int
) -> int:
    """How often the device demand `wanted` (milli-cards) fits on the free cards of node `m`."""
    found = 0
    for column in range(nodes.card_start[device], nodes.card_start[device + 1]):
        if wanted < CARD:
            found += pool.card_free[b, m, column] // wanted
        elif pool.card_free[b, m, column] == CARD:
            found += 1
    if wanted < CARD:
        return found
    return found // (wanted // CARD)


@compiled
def gang_capacity(tasks: Records, nodes: NodeTable, pool: PoolTable, b: int, row: int) -> int:
    """Replicas of task `row` that the pool could take now, counted up to its gang size."""
    needed = tasks[row].replicas
    found = 0
    for m in range(nodes.rows.shape[0]):
        found += replica_capacity(tasks, nodes, pool, b, row, m)
        if found >= needed:
            return needed
    return found


@compiled
def first_without_room(tasks: Records, nodes: NodeTable, pool: PoolTable, b: int) -> int:
    """First row of `tasks` whose gang the pool could not take now, -1 if there is none."""
    for row in range(tasks.shape[0]):
        if gang_capacity(tasks, nodes, pool, b, row) < tasks[row].replicas:
            return row
    return -1


@compiled
def _best_node(
    tasks: Records,
    nodes: NodeTable,
    pool: PoolTable,
    b: int,
    local: int,
    row: int,
    now_us: int,
    place: int,
) -> int:
    """Node for one replica under `place` (a `Place`), NO_NODE if none is feasible."""
    end_us = now_us + tasks[row].requested_us
    best = NO_NODE
    best_score = 0.0
    for m in range(nodes.rows.shape[0]):
        if is_held(pool, b, m, local, end_us):
            continue
        if replica_capacity(tasks, nodes, pool, b, row, m) == 0:
            continue
        if place == _FIRST_FIT:
            return m
        current = node_load(nodes, pool, b, m)
        if place == _BEST_FIT:
            current = -current
        if best == NO_NODE or current < best_score:
            best = m
            best_score = current
    return best


@compiled
def is_held(pool: PoolTable, b: int, m: int, local: int, end_us: int) -> bool:
    """Whether node `m` is reserved for another task that would come before `end_us`."""
    holder = pool.rows[b, m].held_by
    return holder != NO_TASK and holder != local and end_us > pool.rows[b, m].held_from_us


@compiled
def take(tasks: Records, nodes: NodeTable, pool: PoolTable, b: int, row: int, m: int) -> int:
    """Allocate one replica of task `row` on node `m`; returns the bits of the cards it got.

    The caller has checked `replica_capacity`. A share goes to the fullest card that holds it, whole
    cards are the lowest free ones, an exclusive task holds all the node has.
    """
    num_devices = nodes.card_start.shape[0] - 1
    num_divisible = nodes.total.shape[0] - num_devices
    card_set = 0
    for device in range(num_devices):
        wanted = tasks[row].demand[num_divisible + device]
        first, last = nodes.card_start[device], nodes.card_start[device + 1]
        if 0 < wanted < CARD:
            card_set |= 1 << _fullest_card(pool, b, m, first, last, wanted)
        elif wanted > 0:
            missing = wanted // CARD
            for column in range(first, last):
                if missing > 0 and pool.card_free[b, m, column] == CARD:
                    card_set |= 1 << column
                    missing -= 1
    _shift(tasks, nodes, pool, b, row, m, card_set, -1)
    return card_set


@compiled
def _fullest_card(pool: PoolTable, b: int, m: int, first: int, last: int, wanted: int) -> int:
    best = -1
    for column in range(first, last):
        free = pool.card_free[b, m, column]
        if free >= wanted and (best < 0 or free < pool.card_free[b, m, best]):
            best = column
    return best


@compiled
def give_back(
    tasks: Records, nodes: NodeTable, pool: PoolTable, b: int, row: int, m: int, card_set: int
) -> None:
    """Undo `take` of one replica of task `row` on node `m`."""
    _shift(tasks, nodes, pool, b, row, m, card_set, 1)


@compiled
def retake(
    tasks: Records, nodes: NodeTable, pool: PoolTable, b: int, row: int, m: int, card_set: int
) -> None:
    """Undo `give_back`: hold the same cards again."""
    _shift(tasks, nodes, pool, b, row, m, card_set, -1)


@compiled
def _shift(
    tasks: Records,
    nodes: NodeTable,
    pool: PoolTable,
    b: int,
    row: int,
    m: int,
    card_set: int,
    sign: int,
) -> None:
    """Add (`sign` 1) or subtract (-1) what one replica of task `row` holds on node `m`."""
    num_devices = nodes.card_start.shape[0] - 1
    num_divisible = nodes.total.shape[0] - num_devices
    pool.rows[b, m].replicas_on -= sign
    if tasks[row].exclusive:
        for k in range(nodes.total.shape[0]):
            pool.rows[b, m].free[k] += sign * nodes.rows[m].capacity[k]
        for column in range(nodes.cards.shape[1]):
            pool.card_free[b, m, column] += sign * nodes.cards[m, column]
        return
    for k in range(nodes.total.shape[0]):
        pool.rows[b, m].free[k] += sign * tasks[row].demand[k]
    for device in range(num_devices):
        held = sign * min(tasks[row].demand[num_divisible + device], CARD)
        for column in range(nodes.card_start[device], nodes.card_start[device + 1]):
            if (card_set >> column) & 1:
                pool.card_free[b, m, column] += held


@compiled
def place_gang(
    tasks: Records,
    nodes: NodeTable,
    pool: PoolTable,
    b: int,
    local: int,
    row: int,
    now_us: int,
    place: int,
    choice: Records,
) -> bool:
    """Take nodes for the whole gang of task `row`, or nothing.

    Args:
        tasks: task table.
        nodes: node table.
        pool: changed only when the gang fits.
        b: environment.
        local: the task's local index. Nodes reserved for another task are left alone, unless this
            one will end, by its estimate, before the reservation begins.
        row: the task's row.
        now_us: the time now.
        place: a `Place`.
        choice: `(B, G)`, row `b` gets the node and the card bits of each replica, NO_NODE beyond
            the gang.

    Returns:
        Whether all replicas were placed.
    """
    for replica in range(choice.shape[1]):
        choice[b, replica].node = NO_NODE
        choice[b, replica].cards = 0
    for replica in range(tasks[row].replicas):
        m = _best_node(tasks, nodes, pool, b, local, row, now_us, place)
        if m == NO_NODE:
            for placed in range(replica):
                undone = choice[b, placed]
                give_back(tasks, nodes, pool, b, row, undone.node, undone.cards)
                choice[b, placed].node = NO_NODE
            return False
        choice[b, replica].node = m
        choice[b, replica].cards = take(tasks, nodes, pool, b, row, m)
    return True


@compiled
def take_nodes(
    tasks: Records,
    nodes: NodeTable,
    pool: PoolTable,
    b: int,
    local: int,
    row: int,
    now_us: int,
    choice: Records,
) -> int:
    """Take exactly the nodes that somebody else chose for the gang of task `row`, or nothing.

    Args:
        tasks: task table.
        nodes: node table.
        pool: changed only when the gang fits.
        b: environment.
        local: the task's local index, for reservations (see `place_gang`).
        row: the task's row.
        now_us: the time now.
        choice: `(B, G)`, row `b` names the node of each replica and gets the card bits.

    Returns:
        -1, or the first replica whose node is held for another task or has no room for it.
    """
    end_us = now_us + tasks[row].requested_us
    for replica in range(tasks[row].replicas):
        m = choice[b, replica].node
        blocked = is_held(pool, b, m, local, end_us)
        if blocked or replica_capacity(tasks, nodes, pool, b, row, m) == 0:
            for placed in range(replica):
                undone = choice[b, placed]
                give_back(tasks, nodes, pool, b, row, undone.node, undone.cards)
            return replica
        choice[b, replica].cards = take(tasks, nodes, pool, b, row, m)
    return -1
