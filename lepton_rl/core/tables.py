"""Flat arrays that the compiled rules read and write.

The live system and the simulator keep the same arrays and call the same rules on them. `B` is the
number of environments that share one call (1 in the live system), `N` tasks, `M` nodes, `K`
resource kinds (divisible kinds, then device kinds), `C` card columns of a node, `G` the largest
gang, `T` tenants. Amounts are integer units (millicores, MiB, milli-cards), times int64
microseconds.

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

from lepton_rl.core.by_reference import by_reference

__all__ = [
    "NEVER_US",
    "NO_NODE",
    "NO_TASK",
    "NodeTable",
    "PoolTable",
    "Records",
    "View",
    "empty_choice",
    "empty_pool",
    "empty_typical",
    "empty_view",
    "kind_width",
    "node_dtype",
    "pool_dtype",
    "task_dtype",
    "tenant_dtype",
]

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Records = NDArray[Any]
"""A structured array; its fields are those of one of the dtypes below."""

NO_NODE = -1
NO_TASK = -1
NEVER_US = int(np.iinfo(np.int64).max)
"""A time that does not come."""

_LEAST_WIDTH = 4


def kind_width(num_kinds: int) -> int:
    """Places for kinds in a record, at least 4.

    Compiled code is made for one layout of the records, so clusters of up to 4 kinds share one. The
    places beyond the cluster's kinds are 0, and no rule looks at them.
    """
    return max(_LEAST_WIDTH, num_kinds)


def task_dtype(num_kinds: int) -> np.dtype[np.void]:
    """What a scheduler may know of a task."""
    return np.dtype(
        [
            ("submit_us", np.int64),
            ("requested_us", np.int64),  # estimate of the run time, on nodes of speed 1
            ("limit_us", np.int64),  # what the user asked for, where that is not the estimate
            ("deadline_us", np.int64),  # NEVER_US if it has none
            ("checkpoint_us", np.int64),  # work between two checkpoints; 0 if it makes none
            ("demand", np.int64, (kind_width(num_kinds),)),  # per replica
            ("replicas", np.int64),  # gang size
            ("size", np.float64),  # processors of the gang: cards if it asks for any, else cores
            ("urgency", np.float64),
            ("labels", np.int64),  # bits of the labels every node of it must carry
            ("models", np.int64),  # bits of the device models it accepts; 0 accepts any
            ("tenant", np.int32),  # 0 if nobody is named
            ("task_class", np.int32),  # column of `NodeTable.speed`
            ("critical", np.bool_),
            ("exclusive", np.bool_),  # wants nodes on which nothing else runs
            ("preemptible", np.bool_),  # may be stopped for other work
        ],
        align=True,
    )


def node_dtype(num_kinds: int) -> np.dtype[np.void]:
    """What a node is; only an operator changes it."""
    return np.dtype(
        [
            ("capacity", np.int64, (kind_width(num_kinds),)),
            ("labels", np.int64),  # bits of the labels it carries
            ("model", np.int64),  # bit of its device model; 0 if it has none
        ],
        align=True,
    )


def pool_dtype(num_kinds: int) -> np.dtype[np.void]:
    """What is free on a node right now."""
    return np.dtype(
        [
            ("free", np.int64, (kind_width(num_kinds),)),
            ("replicas_on", np.int64),  # replicas running there
            ("held_by", np.int64),  # local index of the task it is reserved for, or NO_TASK
            ("held_from_us", np.int64),  # when that reservation is expected to begin
            ("accepting", np.bool_),  # takes new tasks; not while it is draining or down
        ],
        align=True,
    )


def tenant_dtype(num_kinds: int) -> np.dtype[np.void]:
    """What a tenant holds and has used."""
    return np.dtype(
        [
            ("used", np.int64, (kind_width(num_kinds),)),  # demand of its running tasks
            ("usage_s", np.float64),  # dominant share x time, decayed; as of `updated_us`
            ("updated_us", np.int64),
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
_SPAN_DTYPE = np.dtype(
    [
        ("start_us", np.int64),  # of the present run, or the last one
        ("expected_end_us", np.int64),
        ("kept_us", np.int64),  # work that its last checkpoint keeps, in time on nodes of speed 1
        ("served_us", np.int64),  # time it ran before its present run
        ("speed", np.float64),  # of the present run; 1 is as its times say
        ("running", np.bool_),
        ("stopping", np.bool_),  # it runs, but has been told to stop
    ],
    align=True,
)
_SIGNALS_DTYPE = np.dtype(
    [
        ("arrivals", np.float64),  # decayed counts and sums; see `rules.signals`
        ("starts", np.float64),
        ("waits_s", np.float64),
        ("ends", np.float64),
        ("failures", np.float64),
        ("overruns", np.float64),
    ],
    align=True,
)
_CHOICE_DTYPE = np.dtype([("node", np.int64), ("cards", np.int64)], align=True)


@by_reference
class NodeTable(NamedTuple):
    """The nodes of a cluster."""

    rows: Records  # (M,) node_dtype
    cards: Ints  # (M, C) 1000 where the node has that card, else 0
    card_start: Ints  # (devices + 1,) first card column of each device kind
    total: Ints  # (K,) capacity of the whole cluster
    largest: Ints  # (K,) capacity of the largest node, for each kind
    speed: Floats  # (M, classes) how fast tasks of a class run there; those of class 0 at 1


@by_reference
class PoolTable(NamedTuple):
    """What is free."""

    rows: Records  # (B, M) pool_dtype
    card_free: Ints  # (B, M, C) milli-cards


@by_reference
class View(NamedTuple):
    """Everything a policy may look at; it must not write to it."""

    tasks: Records  # (rows,) task_dtype
    nodes: NodeTable
    pool: PoolTable
    status: Records  # (B,) now_us, first_row, num_pending, num_critical, num_running
    signals: Records  # (B,) what the monitor tells of the last hour
    tenants: Records  # (B, T) what each tenant holds and has used
    typical: Records  # (specs,) what tasks usually ask for, as tasks with a `weight`; may be empty
    pending: Ints  # (B, N) local indices by arrival; the first num_pending count
    running: Ints  # (B, N) local indices by expected end; the first num_running count
    spans: Records  # (B, N) of the present run, by local index
    held: Records  # (B, N, G) node and cards (bits of columns) of each replica, by local index


def empty_choice(shape: tuple[int, ...]) -> Records:
    """Nodes and cards of replicas, none chosen."""
    choice = np.zeros(shape, _CHOICE_DTYPE)
    choice["node"] = NO_NODE
    return choice


def empty_typical(num_specs: int, num_kinds: int) -> Records:
    """What tasks usually ask for: `num_specs` demands of one replica, and how common each is."""
    dtype = [
        ("demand", np.int64, (kind_width(num_kinds),)),
        ("models", np.int64),
        ("weight", np.float64),  # share of the tasks, 0 to 1
    ]
    return np.zeros(num_specs, np.dtype(dtype, align=True))


def empty_pool(nodes: NodeTable, batch: int) -> PoolTable:
    """A pool in which everything is free."""
    rows = np.zeros((batch, len(nodes.rows)), pool_dtype(len(nodes.total)))
    rows["free"] = nodes.rows["capacity"]
    rows["held_by"] = NO_TASK
    rows["accepting"] = True
    return PoolTable(rows, np.repeat(nodes.cards[None], batch, axis=0))


def empty_view(
    tasks: Records,
    nodes: NodeTable,
    batch: int,
    num_tasks: int,
    largest_gang: int,
    num_tenants: int = 1,
    typical: Records | None = None,
) -> View:
    """Nothing pending, nothing running, the clock at 0."""
    spans = np.zeros((batch, num_tasks), _SPAN_DTYPE)
    spans["speed"] = 1.0
    return View(
        tasks=tasks,
        nodes=nodes,
        pool=empty_pool(nodes, batch),
        status=np.zeros(batch, _STATUS_DTYPE),
        signals=np.zeros(batch, _SIGNALS_DTYPE),
        tenants=np.zeros((batch, num_tenants), tenant_dtype(len(nodes.total))),
        typical=empty_typical(0, len(nodes.total)) if typical is None else typical,
        pending=np.zeros((batch, num_tasks), np.int64),
        running=np.zeros((batch, num_tasks), np.int64),
        spans=spans,
        held=empty_choice((batch, num_tasks, largest_gang)),
    )
