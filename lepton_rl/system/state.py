"""The tables of a long-lived system: rows come with tasks and go some time after them."""

from __future__ import annotations

from typing import Any

import numpy as np

from lepton_rl.core.by_reference import Handle
from lepton_rl.core.intake import empty_tasks
from lepton_rl.core.rules.allocation import retake
from lepton_rl.core.tables import NO_TASK, Ints, NodeTable, Records, View, empty_pool, empty_view

__all__ = ["Tables"]


_TENANTS = 16
"""To begin with; more than one, so that what a lone tenant has used is known to the next."""


class Tables:
    """A `View` with a batch axis of 1, and room for whatever arrives.

    Rows are given out in order of arrival, and no row is used twice while the view lives. When
    there is none left, the rows of finished tasks are dropped and the others close up in the same
    order, so ties (which go to the lower index) keep going to whoever came first; where that does
    not empty half the table, it also doubles.

    Args:
        nodes: the cluster.
        capacity: rows to begin with (>= 1).

    Attributes:
        view: what rules and policies see; a new one each time the rows move.
        handle: the same for compiled functions, which take it faster.
    """

    def __init__(self, nodes: NodeTable, capacity: int = 256) -> None:
        tasks = empty_tasks(capacity, len(nodes.total))
        self.view = empty_view(tasks, nodes, 1, capacity, 1, num_tenants=_TENANTS)
        self._live = np.zeros(capacity, np.bool_)
        self._used = 0

    @property
    def view(self) -> View:
        """What rules and policies see."""
        return self._view

    @view.setter
    def view(self, view: View) -> None:
        self._view = view
        self.handle = Handle.standing_for(view)

    @property
    def capacity(self) -> int:
        """Rows there are."""
        return len(self._live)

    @property
    def largest_gang(self) -> int:
        """Replicas there is room for."""
        return int(self.view.held.shape[2])

    def make_room(self, replicas: int) -> Ints | None:
        """Make sure that a task with `replicas` can be added.

        Returns:
            None, or, where rows had to move, the new local index of each old one, NO_TASK for those
            that were dropped.
        """
        if self._used < self.capacity and replicas <= self.largest_gang:
            return None
        keep = np.flatnonzero(self._live)
        capacity = self.capacity * (2 if len(keep) > self.capacity // 2 else 1)
        gang = max(self.largest_gang, 1 << (replicas - 1).bit_length())
        return self._move(keep, capacity, gang)

    def add(self, record: Records) -> int:
        """Put a task into the next row, which `make_room` has made sure of.

        Args:
            record: `(1,)` task record.

        Returns:
            Its local index.
        """
        assert self._used < self.capacity, "add before make_room"
        local = self._used
        self.view.tasks[local] = record[0]
        self._live[local] = True
        self._used += 1
        return local

    def drop(self, local: int) -> None:
        """Nobody needs this row any more; its place is reused when rows next move."""
        self._live[local] = False

    def make_tenants(self, count: int) -> None:
        """Make sure that there is a record for each of `count` tenants."""
        old = self.view.tenants
        if count <= old.shape[1]:
            return
        grown = np.zeros((1, 1 << (count - 1).bit_length()), old.dtype)
        grown[:, : old.shape[1]] = old
        self.view = self.view._replace(tenants=grown)

    def set_typical(self, typical: Records) -> None:
        """What tasks usually ask for has changed."""
        self.view = self.view._replace(typical=typical)

    def exchange_nodes(self, nodes: NodeTable) -> None:
        """Go over to another set of nodes of the same kinds; what runs keeps its cards.

        Args:
            nodes: the old ones, at the same indices, and perhaps more. Nothing may run on those
                whose capacity changes.
        """
        old = self.view
        running = old.running[0, : int(old.status["num_running"][0])].tolist()
        shift = _column_shifts(old.nodes.card_start, nodes.card_start)
        old.held["cards"][0, running] = _shifted(old.held["cards"][0, running], *shift)
        self.view = old._replace(nodes=nodes, pool=empty_pool(nodes, 1))
        count = len(old.nodes.rows)
        for name in ("held_by", "held_from_us"):
            self.view.pool.rows[name][0, :count] = old.pool.rows[name][0]
        for local in running:
            for replica in range(int(old.tasks["replicas"][local])):
                held = old.held[0, local, replica]
                m, cards = int(held["node"]), int(held["cards"])
                retake(old.tasks, nodes, self.view.pool, 0, local, m, cards)

    def _move(self, keep: Ints, capacity: int, gang: int) -> Ints:
        """Go over to new arrays that hold the rows `keep` (ascending); see `make_room`."""
        old, count = self.view, len(keep)
        moved = np.full(self._used, NO_TASK, np.int64)
        moved[keep] = np.arange(count)
        tasks = empty_tasks(capacity, len(old.nodes.total))
        new = empty_view(tasks, old.nodes, 1, capacity, gang)._replace(
            pool=old.pool, signals=old.signals, tenants=old.tenants, typical=old.typical
        )
        new.tasks[:count] = old.tasks[keep]
        new.spans[0, :count] = old.spans[0, keep]
        new.held[0, :count, : self.largest_gang] = old.held[0, keep]
        new.status[:] = old.status
        for name, each in (("num_pending", "pending"), ("num_running", "running")):
            listed = int(old.status[name][0])
            getattr(new, each)[0, :listed] = moved[getattr(old, each)[0, :listed]]
        _follow(new.pool.rows["held_by"][0], moved)
        self.view, self._used = new, count
        self._live = np.arange(capacity) < count
        return moved


def _follow(held_by: Any, moved: Ints) -> None:
    """Rename whom each node is held for, in place."""
    is_held = held_by != NO_TASK
    held_by[is_held] = moved[held_by[is_held]]


def _column_shifts(old_start: Ints, new_start: Ints) -> tuple[Ints, Ints]:
    """Bits of each device kind's card columns, and by how many columns they move up."""
    bounds = zip(old_start[:-1].tolist(), old_start[1:].tolist(), strict=True)
    masks = [(1 << last) - (1 << first) for first, last in bounds]
    return np.array(masks, np.int64), np.asarray(new_start - old_start)[:-1]


def _shifted(card_sets: Ints, masks: Ints, shifts: Ints) -> Ints:
    """Card sets with the bits of each device kind in their new columns."""
    moved = np.zeros_like(card_sets)
    for mask, shift in zip(masks.tolist(), shifts.tolist(), strict=True):
        bits = card_sets & mask
        moved |= bits << shift if shift >= 0 else bits >> -shift
    return moved
