"""Taking and giving back what a replica holds on a node."""

from __future__ import annotations

from lepton_rl.core.compiled import compiled, inlined
from lepton_rl.core.resources import CARD
from lepton_rl.core.rules.kinds import num_devices, num_divisible
from lepton_rl.core.tables import NodeTable, PoolTable, Records, View

__all__ = ["give_back", "give_back_run", "retake", "take"]


@inlined
def take(tasks: Records, nodes: NodeTable, pool: PoolTable, b: int, row: int, m: int) -> int:
    """Allocate one replica of task `row` on node `m`; returns the bits of the cards it got.

    The caller has checked `replica_capacity`. A share goes to the fullest card that holds it, whole
    cards are the lowest free ones, an exclusive task holds all the node has.
    """
    card_set = 0
    for device in range(num_devices(nodes)):
        wanted = tasks[row].demand[num_divisible(nodes) + device]
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


@inlined
def give_back(
    tasks: Records, nodes: NodeTable, pool: PoolTable, b: int, row: int, m: int, card_set: int
) -> None:
    """Undo `take` of one replica of task `row` on node `m`."""
    _shift(tasks, nodes, pool, b, row, m, card_set, 1)


@inlined
def give_back_run(view: View, b: int, pool: PoolTable, p: int, local: int) -> None:
    """Give back, in row `p` of a pool, what all replicas of a running task hold."""
    row = view.status[b].first_row + local
    for replica in range(view.tasks[row].replicas):
        held = view.held[b, local, replica]
        give_back(view.tasks, view.nodes, pool, p, row, held.node, held.cards)


@compiled
def retake(
    tasks: Records, nodes: NodeTable, pool: PoolTable, b: int, row: int, m: int, card_set: int
) -> None:
    """Undo `give_back`: hold the same cards again."""
    _shift(tasks, nodes, pool, b, row, m, card_set, -1)


@inlined
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
    pool.rows[b, m].replicas_on -= sign
    if tasks[row].exclusive:
        for k in range(nodes.total.shape[0]):
            pool.rows[b, m].free[k] += sign * nodes.rows[m].capacity[k]
        for column in range(nodes.cards.shape[1]):
            pool.card_free[b, m, column] += sign * nodes.cards[m, column]
        return
    for k in range(nodes.total.shape[0]):
        pool.rows[b, m].free[k] += sign * tasks[row].demand[k]
    for device in range(num_devices(nodes)):
        held = sign * min(tasks[row].demand[num_divisible(nodes) + device], CARD)
        for column in range(nodes.card_start[device], nodes.card_start[device + 1]):
            if (card_set >> column) & 1:
                pool.card_free[b, m, column] += held
