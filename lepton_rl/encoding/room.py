"""What is free on the nodes, and whether a task could start now."""

from __future__ import annotations

import math

from lepton_rl.core.compiled import compiled, inlined
from lepton_rl.core.rules.fit import replica_capacity, takes_replica
from lepton_rl.core.rules.kinds import num_divisible
from lepton_rl.core.tables import View
from lepton_rl.encoding.facts import NO_CLASS
from lepton_rl.encoding.workspace import EncoderWorkspace

__all__ = ["fits_now", "measure_room"]


@inlined
def measure_room(view: View, b: int, work: EncoderWorkspace) -> None:
    """Fill `work.free`, `work.freest` and `work.open`."""
    num_kinds, rows = work.free.shape[0], view.pool.rows
    for k in range(num_kinds):
        work.free[k] = 0
        work.freest[k] = 0
    count = 0
    for m in range(view.nodes.rows.shape[0]):
        is_open = rows[b, m].accepting
        for k in range(num_kinds):
            free = rows[b, m].free[k]
            work.free[k] += free
            is_open = is_open and free >= work.least[k]
            if free > rows[b, work.freest[k]].free[k]:
                work.freest[k] = m
            work.open_free[k, count] = free
        work.open[count] = m
        count += int(is_open)
    work.num_open[0] = count


@inlined
def fits_now(view: View, b: int, local: int, work: EncoderWorkspace) -> bool:
    """Whether a task could start now, as if no node were held.

    Most tasks are told by the freest nodes alone; the others of one class of demand share a count.
    """
    row = view.status[b].first_row + local
    tasks, replicas = view.tasks, view.tasks[row].replicas
    for k in range(work.free.shape[0]):
        demand, freest = tasks[row].demand[k], work.freest[k]
        if demand > view.pool.rows[b, freest].free[k] or demand * replicas > work.free[k]:
            return False
    if replicas == 1 and takes_replica(tasks, view.nodes, view.pool, b, row, work.freest[0]):
        return True
    demand_class = work.facts[row].demand_class if row < work.facts.shape[0] else NO_CLASS
    if demand_class == NO_CLASS:
        return _count_room(view, b, row, work) >= replicas
    room = work.room[demand_class]
    known = room.stamp == work.stamp[0] and (room.found < room.wanted or room.wanted >= replicas)
    if not known:
        room.stamp = work.stamp[0]
        room.wanted = replicas
        room.found = _count_room(view, b, row, work)
    return bool(room.found >= replicas)


@compiled
def _count_room(view: View, b: int, row: int, work: EncoderWorkspace) -> int:
    """`gang_capacity`, without a look at nodes that are full."""
    if _is_plain(view, row):
        return _count_plain_room(view, row, work)
    needed = view.tasks[row].replicas
    found = 0
    for index in range(work.num_open[0]):
        m = work.open[index]
        found += replica_capacity(view.tasks, view.nodes, view.pool, b, row, m)
        if found >= needed:
            return needed
    return found


@compiled
def _is_plain(view: View, row: int) -> bool:
    """Whether divisible kinds are all that a task asks for."""
    task = view.tasks[row]
    for k in range(num_divisible(view.nodes), view.nodes.total.shape[0]):
        if task.demand[k] > 0:
            return False
    return task.labels == 0 and task.models == 0 and not task.exclusive


@compiled
def _count_plain_room(view: View, row: int, work: EncoderWorkspace) -> int:
    """The same for a task that asks for divisible kinds only, on several nodes at once.

    Quotients of whole numbers below 2^53 are rounded down right in float64.
    """
    needed = view.tasks[row].replicas
    most, count = float(needed), work.num_open[0]
    for index in range(count):
        work.capacity[index] = most
    for k in range(num_divisible(view.nodes)):
        demand = float(view.tasks[row].demand[k])
        if demand > 0.0:
            for index in range(count):
                fits = math.floor(work.open_free[k, index] / demand)
                work.capacity[index] = min(work.capacity[index], fits)
    found = 0
    for index in range(count):
        found += int(work.capacity[index])
    return min(found, needed)
