"""What happens to tasks and nodes beside arrivals and ends: dependencies, failures, lost nodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from lepton_rl.core.by_reference import by_reference
from lepton_rl.core.nodes import NodeState
from lepton_rl.core.tables import Ints, Records

__all__ = ["DOWN", "UP", "NodeEvent", "World", "empty_world", "is_eventful", "make_world"]

_NODE_EVENT_DTYPE = np.dtype(
    [("time_us", np.int64), ("node", np.int64), ("state", np.int64)], align=True
)
_STATES = (NodeState.UP, NodeState.DRAINING, NodeState.DOWN)
UP, DRAINING, DOWN = range(3)


@by_reference
class World(NamedTuple):
    """The same for all environments over a task table of `rows` rows."""

    max_retries: Ints  # (rows,)
    fails_after_us: Ints  # (rows, runs) time into each run at which it fails; 0 if it does not
    first_need: Ints  # (rows + 1,) where the needs of each row begin
    needs: Ints  # (edges,) rows that must complete before
    first_dependent: Ints  # (rows + 1,) likewise
    dependents: Ints  # (edges,) rows that need this one
    node_events: Records  # (events,) by time: from then on the node is UP, DRAINING or DOWN


class NodeEvent(NamedTuple):
    """From a time on, a node is in another state."""

    time_us: int
    node: int  # index
    state: NodeState


def empty_world(num_rows: int) -> World:
    """Nothing but arrivals and ends."""
    return make_world(num_rows)


def make_world(
    num_rows: int,
    needs: Ints | None = None,
    max_retries: Ints | None = None,
    fails_after_us: Ints | None = None,
    node_events: Sequence[NodeEvent] = (),
) -> World:
    """The world of a task table.

    Args:
        num_rows: of the task table.
        needs: `(edges, 2)` pairs (row, row that must complete before it); no circles.
        max_retries: `(rows,)` how often a task is tried again after a failure; None for never.
        fails_after_us: `(rows, runs)` after how long each run fails, if it lasts longer; 0 for
            runs that do not fail; None if none does.
        node_events: nodes that fail, drain and return.
    """
    pairs = np.zeros((0, 2), np.int64) if needs is None else np.asarray(needs, np.int64)
    first_need, needed = _grouped(pairs[:, 0], pairs[:, 1], num_rows)
    first_dependent, dependents = _grouped(pairs[:, 1], pairs[:, 0], num_rows)
    numbered = [(each.time_us, each.node, _STATES.index(each.state)) for each in node_events]
    nothing = np.zeros((num_rows, 0), np.int64)
    return World(
        np.zeros(num_rows, np.int64) if max_retries is None else max_retries,
        nothing if fails_after_us is None else fails_after_us,
        first_need,
        needed,
        first_dependent,
        dependents,
        np.array(sorted(numbered), _NODE_EVENT_DTYPE),
    )


def is_eventful(world: World) -> bool:
    """Whether anything can happen beside arrivals and ends."""
    return bool(len(world.needs) or world.fails_after_us.shape[1] or len(world.node_events))


def _grouped(keys: Ints, values: Ints, num_rows: int) -> tuple[Ints, Ints]:
    """Where the values of each key begin, `(rows + 1,)`, and the values by key, ascending."""
    order = np.lexsort([values, keys])
    first = np.concatenate([[0], np.cumsum(np.bincount(keys, minlength=num_rows))])
    return first.astype(np.int64), np.ascontiguousarray(values[order])
