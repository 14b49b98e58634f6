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
    Indices,
    Ints,
    NodeTable,
    PoolTable,
    TaskTable,
)

__all__ = [
    "Place",
    "gang_capacity",
    "give_back",
    "place_gang",
    "replica_capacity",
    "retake",
    "take",
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
    tasks: TaskTable, nodes: NodeTable, pool: PoolTable, b: int, row: int, m: int
) -> int:
    """How many replicas of task `row` node `m` could take now (0 if it is not allowed there).

    Only the resources: whether the node is held for another task is the caller's question.
    """
    if (nodes.labels[m] & tasks.labels[row]) != tasks.labels[row]:
        return 0
    if tasks.models[row] != 0 and (nodes.model[m] & tasks.models[row]) == 0:
        return 0
    num_devices = nodes.card_start.shape[0] - 1
    num_divisible = nodes.capacity.shape[1] - num_devices
    most = _MANY
    for k in range(num_divisible):
        if tasks.demand[row, k] > 0:
            most = min(most, pool.free[b, m, k] // tasks.demand[row, k])
    for device in range(num_devices):
        wanted = tasks.demand[row, num_divisible + device]
        if wanted > 0:
            most = min(most, _card_capacity(nodes, pool, b, m, device, wanted))
    if tasks.exclusive[row]:
        if pool.replicas_on[b, m] > 0:
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
def gang_capacity(tasks: TaskTable, nodes: NodeTable, pool: PoolTable, b: int, row: int) -> int:
    """Replicas of task `row` that the pool could take now, counted up to its gang size."""
    needed = tasks.replicas[row]
    found = 0
    for m in range(nodes.capacity.shape[0]):
        found += replica_capacity(tasks, nodes, pool, b, row, m)
        if found >= needed:
            return needed
    return found


@compiled
def _best_node(
    tasks: TaskTable, nodes: NodeTable, pool: PoolTable, b: int, local: int, row: int, place: int
) -> int:
    """Node for one replica under `place` (a `Place`), NO_NODE if none is feasible."""
    best = NO_NODE
    best_score = 0.0
    for m in range(nodes.capacity.shape[0]):
        if pool.held_by[b, m] != NO_NODE and pool.held_by[b, m] != local:
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
def take(tasks: TaskTable, nodes: NodeTable, pool: PoolTable, b: int, row: int, m: int) -> int:
    """Allocate one replica of task `row` on node `m`; returns the bits of the cards it got.

    The caller has checked `replica_capacity`. A share goes to the fullest card that holds it, whole
    cards are the lowest free ones, an exclusive task holds all the node has.
    """
    num_devices = nodes.card_start.shape[0] - 1
    num_divisible = nodes.capacity.shape[1] - num_devices
    card_set = 0
    for device in range(num_devices):
        wanted = tasks.demand[row, num_divisible + device]
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
    tasks: TaskTable, nodes: NodeTable, pool: PoolTable, b: int, row: int, m: int, card_set: int
) -> None:
    """Undo `take` of one replica of task `row` on node `m`."""
    _shift(tasks, nodes, pool, b, row, m, card_set, 1)


@compiled
def retake(
    tasks: TaskTable, nodes: NodeTable, pool: PoolTable, b: int, row: int, m: int, card_set: int
) -> None:
    """Undo `give_back`: hold the same cards again."""
    _shift(tasks, nodes, pool, b, row, m, card_set, -1)


@compiled
def _shift(
    tasks: TaskTable,
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
    num_divisible = nodes.capacity.shape[1] - num_devices
    pool.replicas_on[b, m] -= sign
    if tasks.exclusive[row]:
        for k in range(nodes.capacity.shape[1]):
            pool.free[b, m, k] += sign * nodes.capacity[m, k]
        for column in range(nodes.cards.shape[1]):
            pool.card_free[b, m, column] += sign * nodes.cards[m, column]
        return
    for k in range(nodes.capacity.shape[1]):
        pool.free[b, m, k] += sign * tasks.demand[row, k]
    for device in range(num_devices):
        held = sign * min(tasks.demand[row, num_divisible + device], CARD)
        for column in range(nodes.card_start[device], nodes.card_start[device + 1]):
            if (card_set >> column) & 1:
                pool.card_free[b, m, column] += held


@compiled
def place_gang(
    tasks: TaskTable,
    nodes: NodeTable,
    pool: PoolTable,
    b: int,
    local: int,
    row: int,
    place: int,
    chosen: Indices,
    card_sets: Ints,
) -> bool:
    """Take nodes for the whole gang of task `row`, or nothing.

    Args:
        tasks: task table.
        nodes: node table.
        pool: changed only when the gang fits.
        b: environment.
        local: the task's local index; nodes held for another task are left alone.
        row: the task's row.
        place: a `Place`.
        chosen: `(B, G)`, row `b` gets the node of each replica, NO_NODE beyond the gang.
        card_sets: `(B, G)`, row `b` gets the card bits of each replica.

    Returns:
        Whether all replicas were placed.
    """
    for replica in range(chosen.shape[1]):
        chosen[b, replica] = NO_NODE
        card_sets[b, replica] = 0
    for replica in range(tasks.replicas[row]):
        m = _best_node(tasks, nodes, pool, b, local, row, place)
        if m == NO_NODE:
            for placed in range(replica):
                give_back(tasks, nodes, pool, b, row, chosen[b, placed], card_sets[b, placed])
                chosen[b, placed] = NO_NODE
            return False
        chosen[b, replica] = m
        card_sets[b, replica] = take(tasks, nodes, pool, b, row, m)
    return True
