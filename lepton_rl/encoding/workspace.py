"""What an encoder keeps between observations, so that it writes no more than has changed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.by_reference import by_reference
from lepton_rl.core.tables import Floats, Ints, NodeTable, Records, pool_dtype
from lepton_rl.encoding.facts import FACTS_DTYPE, facts_of, num_classes

__all__ = ["NUM_COLUMNS", "SHARED", "EncoderWorkspace", "another_workspace", "encoder_workspace"]

_ROOM_DTYPE = np.dtype(
    [
        ("stamp", np.int64),  # the observation that the figures belong to
        ("found", np.int64),  # replicas that fit, counted up to
        ("wanted", np.int64),  # as many
    ],
    align=True,
)
SHARED = ("least", "facts", "seen")
"""Fields of a work space that those for the same buffers share."""

NUM_COLUMNS = 8
"""What the features of a task are made from; see `window`."""


@by_reference
class EncoderWorkspace(NamedTuple):
    """Work space of one thread; environments that it encodes one by one share it.

    Observations of environment `b` must always go to the same buffers, which nobody else writes.
    """

    columns: NDArray[np.float32]  # (NUM_COLUMNS, Q) by slot
    freest: Ints  # (K,) the node on which most is free
    free: Ints  # (K,) free on all nodes together
    spare: Ints  # (K,) free beside a task at the time that it could start
    open: Ints  # (M,) the nodes that could take the least of the tasks, first `num_open`
    num_open: Ints  # (1,)
    open_free: Floats  # (K, M) what is free there
    capacity: Floats  # (M,) how many replicas they take
    least: Ints  # (K,) the least that any task of `facts` asks of a node
    own_facts: Records  # (1,) of a task whose facts have changed
    facts: Records  # (rows,) `facts_of` the task table; (0,) where tasks change
    room: Records  # (classes,) how many replicas of a class of demand fit now
    stamp: Ints  # (1,) observations so far
    seen: Records  # (B, M) pool rows as the features of nodes show them; (0, M) to write all


def encoder_workspace(
    nodes: NodeTable, batch: int, slots: int, tasks: Records | None = None
) -> EncoderWorkspace:
    """Work space for windows of `slots` tasks in environments 0 to `batch - 1`.

    Args:
        nodes: node table.
        batch: environments.
        slots: task slots.
        tasks: the task table, if neither its tasks nor the nodes ever change.
    """
    known = np.empty(0, FACTS_DTYPE) if tasks is None else facts_of(tasks, nodes)
    num_kinds = len(nodes.total)
    remembered = 0 if tasks is None else batch
    seen = np.zeros((remembered, len(nodes.rows)), pool_dtype(num_kinds))
    seen["replicas_on"] = -1  # nothing has been seen
    return EncoderWorkspace(
        columns=np.zeros((NUM_COLUMNS, slots), np.float32),
        freest=np.zeros(num_kinds, np.int64),
        free=np.zeros(num_kinds, np.int64),
        spare=np.zeros(num_kinds, np.int64),
        open=np.zeros(len(nodes.rows), np.int64),
        num_open=np.zeros(1, np.int64),
        open_free=np.zeros((num_kinds, len(nodes.rows)), np.float64),
        capacity=np.zeros(len(nodes.rows), np.float64),
        least=np.zeros(num_kinds, np.int64) if tasks is None else _least_demand(tasks, num_kinds),
        own_facts=np.zeros(1, FACTS_DTYPE),
        facts=known,
        room=np.zeros(num_classes(known), _ROOM_DTYPE),
        stamp=np.zeros(1, np.int64),
        seen=seen,
    )


def _least_demand(tasks: Records, num_kinds: int) -> Ints:
    least: Ints = tasks["demand"][:, :num_kinds].min(axis=0, initial=np.iinfo(np.int64).max)
    return least


def another_workspace(work: EncoderWorkspace) -> EncoderWorkspace:
    """For another thread, which encodes other environments into the same buffers."""
    own = {name: each.copy() for name, each in work._asdict().items() if name not in SHARED}
    return work._replace(**own)
