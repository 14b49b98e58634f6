"""Which of the feasible nodes a replica gets: a score per node, lowest first.

Fastest is what a practitioner does who knows the machines: of nodes that are free now, the fastest
has the earliest end (as in HEFT, Topcuoglu et al., TPDS 2002, where nobody waits for a node).

Dot product, packing, clustering and FGD are the rules that Weng et al. (ATC'23) compare, as their
simulator has them; Tetris is from Grandl et al., "Multi-resource packing for cluster schedulers"
(SIGCOMM'14).
"""

from __future__ import annotations

import math
from enum import IntEnum

from lepton_rl.core.compiled import compiled
from lepton_rl.core.resources import CARD
from lepton_rl.core.rules.allocation import give_back, take
from lepton_rl.core.rules.fragmentation import node_fragmentation
from lepton_rl.core.rules.kinds import num_devices, num_divisible
from lepton_rl.core.rules.lepton import node_load
from lepton_rl.core.rules.scratch import Scratch
from lepton_rl.core.tables import NodeTable, PoolTable, Records, View

__all__ = [
    "Place",
    "alignment",
    "any_of",
    "breaks_tie",
    "fragmentation_relief",
    "left_over",
    "mark_device_classes",
    "node_score",
    "packing",
]


class Place(IntEnum):
    """Which of the feasible nodes a replica gets; the lowest index wins what ties are left."""

    FIRST_FIT = 0
    """the lowest index"""
    BEST_FIT = 1
    """the least of the first kind and of devices left over, measured by the largest node"""
    LEAST_LOADED = 2
    """the lowest load: R_min of the Lepton load rule"""
    WORST_FIT = 2
    """another name for it"""
    DOT_PRODUCT = 3
    """the smallest dot product of demand and free amounts, in whole per cent"""
    TETRIS = 4
    """the largest dot product of demand and free amounts, over all kinds"""
    GPU_PACKING = 5
    """used cards before free cards of used nodes before idle nodes"""
    GPU_CLUSTERING = 6
    """where tasks run that ask for as many cards"""
    FGD = 7
    """the least growth of fragmentation"""
    RANDOM = 8
    """any, drawn from the task's times and the clock: the same each time"""
    FASTEST = 9
    """the fastest for tasks of its class; of equally fast ones that of best-fit"""


(_FIRST_FIT, _BEST_FIT, _LEAST_LOADED, _DOT_PRODUCT, _TETRIS, _PACKING, _CLUSTERING, _FGD,
 _RANDOM, _FASTEST) = (int(p) for p in Place)  # fmt: skip


@compiled
def node_score(
    view: View, b: int, pool: PoolTable, p: int, row: int, m: int, place: int, scratch: Scratch
) -> float:
    """Score of node `m` for one replica of task `row`, which fits there; the lowest is chosen.

    Args:
        view: what there is to see.
        b: environment.
        pool: what is free; changed and changed back (FGD).
        p: row of the pool.
        row: of the task.
        m: node.
        place: a `Place`.
        scratch: `on_node` as `mark_device_classes` left it.
    """
    tasks, nodes = view.tasks, view.nodes
    if place == _BEST_FIT:
        return left_over(tasks, nodes, pool, p, row, m)
    if place == _LEAST_LOADED:
        return node_load(nodes, pool, p, m)
    if place == _DOT_PRODUCT:
        return -math.floor(100.0 * (1.0 - alignment(tasks, nodes, pool, p, row, m, False)))
    if place == _TETRIS:
        return -alignment(tasks, nodes, pool, p, row, m, True)
    if place == _PACKING:
        return packing(tasks, nodes, pool, p, row, m)
    if place == _CLUSTERING:
        return _clustering(tasks, nodes, pool, p, row, m, scratch.on_node[b, m])
    if place == _FGD:
        return -math.floor(100.0 * fragmentation_relief(view, pool, p, row, m))  # as published
    if place == _RANDOM:
        return any_of(tasks[row].submit_us, view.status[b].now_us, m)
    if place == _FASTEST:
        return -view.nodes.speed[m, tasks[row].task_class]
    return 0.0


@compiled
def breaks_tie(
    view: View, pool: PoolTable, p: int, row: int, m: int, other: int, place: int
) -> bool:
    """Whether node `m` goes before `other`, of lower index, although their scores are equal."""
    if place != _FASTEST:
        return False
    tasks, nodes = view.tasks, view.nodes
    return bool(
        left_over(tasks, nodes, pool, p, row, m) < left_over(tasks, nodes, pool, p, row, other)
    )


@compiled
def _counts(nodes: NodeTable, k: int) -> bool:
    """Whether kind `k` is what a task's size is measured in: the first kind, or a device."""
    return bool((k == 0 or k >= num_divisible(nodes)) and nodes.largest[k] > 0)


@compiled
def left_over(tasks: Records, nodes: NodeTable, pool: PoolTable, p: int, row: int, m: int) -> float:
    """What stays free of the counted kinds, each as a share of the largest node, added up."""
    left = 0.0
    for k in range(nodes.total.shape[0]):
        if _counts(nodes, k):
            left += (pool.rows[p, m].free[k] - tasks[row].demand[k]) / nodes.largest[k]
    return left


@compiled
def alignment(
    tasks: Records, nodes: NodeTable, pool: PoolTable, p: int, row: int, m: int, all_kinds: bool
) -> float:
    """Mean over kinds of demand x free amount, both as shares of the largest node (0 to 1)."""
    product = 0.0
    kinds = 0
    for k in range(nodes.total.shape[0]):
        if nodes.largest[k] > 0 and (all_kinds or _counts(nodes, k)):
            largest = float(nodes.largest[k])
            product += (pool.rows[p, m].free[k] / largest) * (tasks[row].demand[k] / largest)
            kinds += 1
    return product / max(kinds, 1)


@compiled
def _first_device(tasks: Records, nodes: NodeTable, row: int) -> int:
    """The first device kind that a task asks for, -1 if none."""
    for device in range(num_devices(nodes)):
        if tasks[row].demand[num_divisible(nodes) + device] > 0:
            return device
    return -1


@compiled
def packing(tasks: Records, nodes: NodeTable, pool: PoolTable, p: int, row: int, m: int) -> float:
    """-3 to -2 on a card in use, -2 on a free card of a used node, above it on an idle node."""
    device = _first_device(tasks, nodes, row)
    if device < 0:
        return 0.0
    wanted = tasks[row].demand[num_divisible(nodes) + device]
    fullest = CARD
    cards = 0
    whole = 0
    for column in range(nodes.card_start[device], nodes.card_start[device + 1]):
        free = pool.card_free[p, m, column]
        cards += nodes.cards[m, column] // CARD
        whole += free // CARD
        if wanted <= free < fullest:
            fullest = free
    if wanted < CARD and fullest < CARD:
        return -3.0 + fullest / CARD
    if whole < cards:
        return -2.0
    return -1.0 + whole / (cards + 64.0)


@compiled
def _device_class(tasks: Records, nodes: NodeTable, row: int) -> int:
    """Bit of what a task asks of its first device kind: a share, or how many cards; 0 if none."""
    device = _first_device(tasks, nodes, row)
    if device < 0:
        return 0
    wanted = tasks[row].demand[num_divisible(nodes) + device]
    return 1 << min(wanted // CARD, 62)


@compiled
def mark_device_classes(view: View, b: int, scratch: Scratch) -> None:
    """Note for each node which classes of device demand run there, in `scratch.on_node[b]`."""
    for m in range(view.nodes.rows.shape[0]):
        scratch.on_node[b, m] = 0
    for position in range(view.status[b].num_running):
        local = view.running[b, position]
        row = view.status[b].first_row + local
        bit = _device_class(view.tasks, view.nodes, row)
        for replica in range(view.tasks[row].replicas):
            scratch.on_node[b, view.held[b, local, replica].node] |= bit


@compiled
def _clustering(
    tasks: Records, nodes: NodeTable, pool: PoolTable, p: int, row: int, m: int, on_node: int
) -> float:
    device = _first_device(tasks, nodes, row)
    if device < 0:
        return 0.0
    k = num_divisible(nodes) + device
    bit = _device_class(tasks, nodes, row)
    liking = 0.0
    if on_node == 0:
        liking = 25.0
    elif on_node & bit != 0:
        liking = 75.0 if on_node == bit else 50.0
    used = (nodes.largest[k] - pool.rows[p, m].free[k]) / nodes.largest[k]
    return -liking - math.floor(25.0 * used)


@compiled
def fragmentation_relief(view: View, pool: PoolTable, p: int, row: int, m: int) -> float:
    """sigmoid((F before - F after) / 1000): 1/2 where a replica changes nothing (0 to 1)."""
    tasks, nodes, typical = view.tasks, view.nodes, view.typical
    before = node_fragmentation(nodes, pool, p, m, typical)
    cards = take(tasks, nodes, pool, p, row, m)
    after = node_fragmentation(nodes, pool, p, m, typical)
    give_back(tasks, nodes, pool, p, row, m, cards)
    return 1.0 / (1.0 + math.exp((after - before) / CARD))


@compiled
def any_of(submit_us: int, now_us: int, m: int) -> float:
    """A number for choice `m`, drawn from a task's submit time and the clock (32 bits)."""
    mixed = _mix(_mix(_mix(_mix(17, submit_us), submit_us >> 32), now_us), m)
    return float(_mix(mixed, now_us >> 32))


@compiled
def _mix(seed: int, value: int) -> int:
    """32 bits from two, evenly spread (multiply and fold, as MurmurHash2 does)."""
    mixed = ((seed ^ (value & 0xFFFFFFFF)) * 0x5BD1E995) & 0xFFFFFFFF
    mixed ^= mixed >> 15
    mixed = (mixed * 0x5BD1E995) & 0xFFFFFFFF
    return mixed ^ (mixed >> 13)
