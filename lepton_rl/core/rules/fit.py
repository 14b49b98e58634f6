"""Whether and how often a task fits on a node, on the pool, or on an idle cluster."""

from __future__ import annotations

from lepton_rl.core.compiled import compiled, inlined
from lepton_rl.core.resources import CARD
from lepton_rl.core.rules.kinds import num_devices, num_divisible
from lepton_rl.core.tables import NEVER_US, NO_TASK, NodeTable, PoolTable, Records

__all__ = [
    "count_replicas",
    "first_without_room",
    "gang_capacity",
    "held_from_us",
    "replica_capacity",
    "takes_replica",
]

_MANY = 1 << 30


@inlined
def takes_replica(
    tasks: Records, nodes: NodeTable, pool: PoolTable, b: int, row: int, m: int
) -> bool:
    """Whether node `m` could take a replica of task `row` now.

    Only the resources: whether the node is held for another task is the caller's question. A node
    that is draining or down takes nothing; no other rule asks for that.
    """
    if not pool.rows[b, m].accepting:
        return False
    if (nodes.rows[m].labels & tasks[row].labels) != tasks[row].labels:
        return False
    if tasks[row].models != 0 and (nodes.rows[m].model & tasks[row].models) == 0:
        return False
    if tasks[row].exclusive and pool.rows[b, m].replicas_on > 0:
        return False
    first_device = num_divisible(nodes)
    for k in range(first_device):
        if tasks[row].demand[k] > pool.rows[b, m].free[k]:
            return False
    for device in range(num_devices(nodes)):
        wanted = tasks[row].demand[first_device + device]
        if wanted > 0 and _card_capacity(nodes, pool, b, m, device, wanted) == 0:
            return False
    return True


@compiled
def replica_capacity(
    tasks: Records, nodes: NodeTable, pool: PoolTable, b: int, row: int, m: int
) -> int:
    """How many replicas of task `row` node `m` could take now; 0 unless `takes_replica`."""
    if not takes_replica(tasks, nodes, pool, b, row, m):
        return 0
    return count_replicas(tasks, nodes, pool, b, row, m)


@compiled
def count_replicas(
    tasks: Records, nodes: NodeTable, pool: PoolTable, b: int, row: int, m: int
) -> int:
    """`replica_capacity` of a node of which the caller knows that `takes_replica`."""
    if tasks[row].exclusive:
        return 1
    first_device = num_divisible(nodes)
    most = _MANY
    for k in range(first_device):
        if tasks[row].demand[k] > 0:
            most = min(most, pool.rows[b, m].free[k] // tasks[row].demand[k])
    for device in range(num_devices(nodes)):
        wanted = tasks[row].demand[first_device + device]
        if wanted > 0:
            most = min(most, _card_capacity(nodes, pool, b, m, device, wanted))
    return most


@inlined
def _card_capacity(
    nodes: NodeTable, pool: PoolTable, b: int, m: int, device: int, wanted: int
) -> int:
    """How often the device demand `wanted` (milli-cards) fits on the free cards of node `m`."""
    found = 0
    for column in range(nodes.card_start[device], nodes.card_start[device + 1]):
        if wanted < CARD:
            found += pool.card_free[b, m, column] // wanted
        elif pool.card_free[b, m, column] == CARD:
            found += 1
    if wanted < CARD:
        return found
    return found // (wanted // CARD)


@compiled
def gang_capacity(tasks: Records, nodes: NodeTable, pool: PoolTable, b: int, row: int) -> int:
    """Replicas of task `row` that the pool could take now, counted up to its gang size."""
    needed = tasks[row].replicas
    found = 0
    for m in range(nodes.rows.shape[0]):
        if not takes_replica(tasks, nodes, pool, b, row, m):
            continue
        if found + 1 == needed:  # most tasks ask for one; a division takes ten times as long
            return needed
        found += count_replicas(tasks, nodes, pool, b, row, m)
        if found >= needed:
            return needed
    return found


@compiled
def first_without_room(tasks: Records, nodes: NodeTable, pool: PoolTable, b: int) -> int:
    """First row of `tasks` whose gang the pool could not take now, -1 if there is none."""
    for row in range(tasks.shape[0]):
        if gang_capacity(tasks, nodes, pool, b, row) < tasks[row].replicas:
            return row
    return -1


@inlined
def held_from_us(pool: PoolTable, p: int, m: int, local: int) -> int:
    """When node `m` is reserved for a task other than `local`, NEVER_US if it is not."""
    holder = pool.rows[p, m].held_by
    if holder in (NO_TASK, local):
        return NEVER_US
    return pool.rows[p, m].held_from_us
