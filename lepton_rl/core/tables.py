"""Flat arrays that the compiled rules read and write.

The live system and the simulator keep the same arrays and call the same rules on them. `B` is the
number of environments that share one call (1 in the live system), `N` tasks, `M` nodes, `K`
resource kinds (divisible kinds, then device kinds), `C` card columns of a node, `G` the largest
gang. Amounts are integer units (millicores, MiB, milli-cards), times int64 microseconds.

A task has two numbers: its `row` in the task table, which environments may share, and its `local`
index in one environment, `row - first_row[b]`.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "NO_NODE",
    "NodeTable",
    "PoolTable",
    "QueueTable",
    "RunTable",
    "TaskTable",
    "View",
    "empty_pool",
    "empty_queue",
    "empty_run",
]

Ints = NDArray[np.int64]
Indices = NDArray[np.int32]
Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]

NO_NODE = -1


class TaskTable(NamedTuple):
    """What a scheduler may know of each task."""

    submit_us: Ints  # (N,)
    requested_us: Ints  # (N,) estimate of the run time
    demand: Ints  # (N, K) per replica
    replicas: Indices  # (N,) gang size
    size: Floats  # (N,) processors over all replicas: cards if it asks for any, else cores
    urgency: Floats  # (N,)
    critical: Flags  # (N,)
    labels: Ints  # (N,) bits of the labels every node of it must carry
    models: Ints  # (N,) bits of the device models it accepts; 0 accepts any
    exclusive: Flags  # (N,) wants nodes on which nothing else runs


class NodeTable(NamedTuple):
    """What never changes about each node."""

    capacity: Ints  # (M, K)
    cards: Ints  # (M, C) 1000 where the node has that card, else 0
    card_start: Indices  # (devices + 1,) first card column of each device kind
    labels: Ints  # (M,) bits of the labels it carries
    model: Ints  # (M,) bit of its device model; 0 if it has none


class PoolTable(NamedTuple):
    """What is free right now."""

    free: Ints  # (B, M, K)
    card_free: Ints  # (B, M, C) milli-cards
    replicas_on: Indices  # (B, M) replicas running there
    held_by: Indices  # (B, M) local index of the task it is reserved for, NO_NODE if none


class QueueTable(NamedTuple):
    """Pending tasks, in order of arrival."""

    now_us: Ints  # (B,)
    first_row: Ints  # (B,) row of local index 0 in the task table
    num_pending: Indices  # (B,)
    pending: Indices  # (B, N) local indices; the first num_pending count


class RunTable(NamedTuple):
    """Running tasks, in order of their expected end."""

    num_running: Indices  # (B,)
    running: Indices  # (B, N) local indices; the first num_running count
    start_us: Ints  # (B, N) by local index
    expected_end_us: Ints  # (B, N) start + requested time, by local index
    nodes: Indices  # (B, N, G) node of each replica, by local index
    card_sets: Ints  # (B, N, G) bits of the card columns each replica holds


class View(NamedTuple):
    """Everything a policy may look at; it must not write to it."""

    tasks: TaskTable
    nodes: NodeTable
    pool: PoolTable
    queue: QueueTable
    run: RunTable


def empty_pool(nodes: NodeTable, batch: int) -> PoolTable:
    """A pool in which everything is free."""
    num_nodes = len(nodes.capacity)
    return PoolTable(
        free=np.repeat(nodes.capacity[None], batch, axis=0),
        card_free=np.repeat(nodes.cards[None], batch, axis=0),
        replicas_on=np.zeros((batch, num_nodes), np.int32),
        held_by=np.full((batch, num_nodes), NO_NODE, np.int32),
    )


def empty_queue(batch: int, num_tasks: int) -> QueueTable:
    """A queue with nothing pending, its clock at 0."""
    return QueueTable(
        now_us=np.zeros(batch, np.int64),
        first_row=np.zeros(batch, np.int64),
        num_pending=np.zeros(batch, np.int32),
        pending=np.zeros((batch, num_tasks), np.int32),
    )


def empty_run(batch: int, num_tasks: int, largest_gang: int) -> RunTable:
    """Nothing running."""
    return RunTable(
        num_running=np.zeros(batch, np.int32),
        running=np.zeros((batch, num_tasks), np.int32),
        start_us=np.zeros((batch, num_tasks), np.int64),
        expected_end_us=np.zeros((batch, num_tasks), np.int64),
        nodes=np.full((batch, num_tasks, largest_gang), NO_NODE, np.int32),
        card_sets=np.zeros((batch, num_tasks, largest_gang), np.int64),
    )
