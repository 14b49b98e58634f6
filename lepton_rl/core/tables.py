"""Flat arrays that the compiled rules read and write.

The live system and the simulator keep the same arrays and call the same rules on them. `B` is the
number of environments that share one call (1 in the live system), `N` tasks, `M` nodes, `K`
resource kinds (divisible kinds, then device kinds), `C` card columns of a node, `G` the largest
gang. Amounts are integer units (millicores, MiB, milli-cards), times int64 microseconds.

What belongs to one task, node or environment is one record of a structured array
(`tasks[row].submit_us`), because rules touch several fields of it at once, and because every array
a compiled function takes costs compile time and registers.

A task has two numbers: its `row` in the task table, which environments may share, and its `local`
index in one environment, `row - first_row`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "NO_NODE",
    "NO_TASK",
    "NodeTable",
    "PoolTable",
    "Records",
    "View",
    "empty_choice",
    "empty_pool",
    "empty_view",
    "node_dtype",
    "pool_dtype",
    "task_dtype",
]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Records = NDArray[Any]
"""A structured array; its fields are those of one of the dtypes below."""

NO_NODE = -1
NO_TASK = -1


def task_dtype(num_kinds: int) -> np.dtype[np.void]:
    """What a scheduler may know of a task."""
    return np.dtype(
        [
            ("submit_us", np.int64),
            ("requested_us", np.int64),  # estimate of the run time
            ("demand", np.int64, (num_kinds,)),  # per replica
            ("replicas", np.int64),  # gang size
            ("size", np.float64),  # processors of the gang: cards if it asks for any, else cores
            ("urgency", np.float64),
            ("labels", np.int64),  # bits of the labels every node of it must carry
            ("models", np.int64),  # bits of the device models it accepts; 0 accepts any
            ("critical", np.bool_),
            ("exclusive", np.bool_),  # wants nodes on which nothing else runs
        ],
        align=True,
    )


def node_dtype(num_kinds: int) -> np.dtype[np.void]:
    """What a node is; only an operator changes it."""
    return np.dtype(
        [
            ("capacity", np.int64, (num_kinds,)),
            ("labels", np.int64),  # bits of the labels it carries
            ("model", np.int64),  # bit of its device model; 0 if it has none
            ("accepting", np.bool_),  # takes new tasks; not while it is draining or down
        ],
        align=True,
    )


def pool_dtype(num_kinds: int) -> np.dtype[np.void]:
    """What is free on a node right now."""
    return np.dtype(
        [
            ("free", np.int64, (num_kinds,)),
            ("replicas_on", np.int64),  # replicas running there
            ("held_by", np.int64),  # local index of the task it is reserved for, or NO_TASK
            ("held_from_us", np.int64),  # when that reservation is expected to begin
        ],
        align=True,
    )


_STATUS_DTYPE = np.dtype(
    [
        ("now_us", np.int64),
        ("first_row", np.int64),  # row of local index 0 in the task table
        ("num_pending", np.int64),
        ("num_critical", np.int64),  # of the pending tasks
        ("num_running", np.int64),
    ],
    align=True,
)
_SPAN_DTYPE = np.dtype([("start_us", np.int64), ("expected_end_us", np.int64)], align=True)
_CHOICE_DTYPE = np.dtype([("node", np.int64), ("cards", np.int64)], align=True)


class NodeTable(NamedTuple):
    """The nodes of a cluster."""

    rows: Records  # (M,) node_dtype
    cards: Ints  # (M, C) 1000 where the node has that card, else 0
    card_start: Ints  # (devices + 1,) first card column of each device kind
    total: Ints  # (K,) capacity of the whole cluster


class PoolTable(NamedTuple):
    """What is free."""

    rows: Records  # (B, M) pool_dtype
    card_free: Ints  # (B, M, C) milli-cards


class View(NamedTuple):
    """Everything a policy may look at; it must not write to it."""

    tasks: Records  # (rows,) task_dtype
    nodes: NodeTable
    pool: PoolTable
    status: Records  # (B,) now_us, first_row, num_pending, num_critical, num_running
    pending: Ints  # (B, N) local indices by arrival; the first num_pending count
    running: Ints  # (B, N) local indices by expected end; the first num_running count
    spans: Records  # (B, N) start_us and expected_end_us, by local index
    held: Records  # (B, N, G) node and cards (bits of columns) of each replica, by local index


def empty_choice(shape: tuple[int, ...]) -> Records:
    """Nodes and cards of replicas, none chosen."""
    choice = np.zeros(shape, _CHOICE_DTYPE)
    choice["node"] = NO_NODE
    return choice


def empty_pool(nodes: NodeTable, batch: int) -> PoolTable:
    """A pool in which everything is free."""
    num_nodes, num_kinds = nodes.rows["capacity"].shape
    rows = np.zeros((batch, num_nodes), pool_dtype(num_kinds))
    rows["free"] = nodes.rows["capacity"]
    rows["held_by"] = NO_TASK
    return PoolTable(rows, np.repeat(nodes.cards[None], batch, axis=0))


def empty_view(
    tasks: Records, nodes: NodeTable, batch: int, num_tasks: int, largest_gang: int
) -> View:
    """Nothing pending, nothing running, the clock at 0."""
    return View(
        tasks=tasks,
        nodes=nodes,
        pool=empty_pool(nodes, batch),
        status=np.zeros(batch, _STATUS_DTYPE),
        pending=np.zeros((batch, num_tasks), np.int64),
        running=np.zeros((batch, num_tasks), np.int64),
        spans=np.zeros((batch, num_tasks), _SPAN_DTYPE),
        held=empty_choice((batch, num_tasks, largest_gang)),
    )
