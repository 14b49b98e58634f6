"""The running tasks by their true ends: a binary heap of (end_us, local index)."""

from __future__ import annotations

from lepton_rl.core.compiled import compiled, inlined
from lepton_rl.sim.tables import SimTable

__all__ = ["pop_end", "push_end", "remove_end"]


@compiled
def _before(sim: SimTable, b: int, one: int, other: int) -> bool:
    """Heap order: by true end, then by local index."""
    if sim.end_us[b, one] != sim.end_us[b, other]:
        return sim.end_us[b, one] < sim.end_us[b, other]
    return one < other


@inlined
def push_end(sim: SimTable, b: int, local: int) -> None:
    """A run that will end at `end_us`."""
    _rise(sim, b, local, sim.progress[b].num_ends)
    sim.progress[b].num_ends += 1


@inlined
def _rise(sim: SimTable, b: int, local: int, child: int) -> None:
    """Put a run into the free place `child`, or above it."""
    while child > 0:
        parent = (child - 1) // 2
        if not _before(sim, b, local, sim.ends[b, parent]):
            break
        sim.ends[b, child] = sim.ends[b, parent]
        child = parent
    sim.ends[b, child] = local


@inlined
def pop_end(sim: SimTable, b: int) -> int:
    """Take out the run that ends first; there is one."""
    first = sim.ends[b, 0]
    count = sim.progress[b].num_ends - 1
    sim.progress[b].num_ends = count
    if count > 0:
        _sink(sim, b, sim.ends[b, count], 0)
    return first


@inlined
def _sink(sim: SimTable, b: int, last: int, parent: int) -> None:
    """Put a run into the free place `parent`, or below it."""
    count = sim.progress[b].num_ends
    while True:
        child = 2 * parent + 1
        if child >= count:
            break
        if child + 1 < count and _before(sim, b, sim.ends[b, child + 1], sim.ends[b, child]):
            child += 1
        if not _before(sim, b, sim.ends[b, child], last):
            break
        sim.ends[b, parent] = sim.ends[b, child]
        parent = child
    sim.ends[b, parent] = last


@compiled
def remove_end(sim: SimTable, b: int, local: int) -> None:
    """Take out a run that was stopped; it is there."""
    position = 0
    while sim.ends[b, position] != local:
        position += 1
    count = sim.progress[b].num_ends - 1
    sim.progress[b].num_ends = count
    if position == count:
        return
    last = sim.ends[b, count]
    _sink(sim, b, last, position)
    if sim.ends[b, position] == last:
        _rise(sim, b, last, position)
