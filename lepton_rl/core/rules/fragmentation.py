"""Fragmentation: free device share that typical tasks cannot use.

Weng et al., "Beware of Fragmentation: Scheduling GPU-Sharing Workloads with Fragmentation Gradient
Descent" (ATC'23), section 4: F_n(M) = sum over typical tasks m of p_m f_n(m), where f_n(m) is all
free share of the node if m cannot run there (a task without a device demand never can), and else
the free share on cards that have less than m needs of one.
"""

from __future__ import annotations

from lepton_rl.core.compiled import compiled
from lepton_rl.core.resources import CARD
from lepton_rl.core.rules.kinds import num_devices, num_divisible
from lepton_rl.core.tables import NodeTable, PoolTable, Records

__all__ = ["node_fragmentation"]


@compiled
def node_fragmentation(
    nodes: NodeTable, pool: PoolTable, b: int, m: int, typical: Records
) -> float:
    """F of node `m`, in milli-cards over all its device kinds (>= 0).

    Args:
        nodes: node table.
        pool: what is free.
        b: row of the pool.
        m: node.
        typical: `(specs,)` what tasks usually ask for, with weights that sum to 1.
    """
    total = 0.0
    for device in range(num_devices(nodes)):
        free = 0
        for column in range(nodes.card_start[device], nodes.card_start[device + 1]):
            free += pool.card_free[b, m, column]
        if free > 0:
            for spec in range(typical.shape[0]):
                lost = _unusable(nodes, pool, b, m, device, free, typical, spec)
                total += typical[spec].weight * lost
    return total


@compiled
def _unusable(
    nodes: NodeTable,
    pool: PoolTable,
    b: int,
    m: int,
    device: int,
    free: int,
    typical: Records,
    spec: int,
) -> int:
    """f_n(m): of `free` milli-cards of a device kind, those that a typical task cannot use."""
    first_device = num_divisible(nodes)
    wanted = typical[spec].demand[first_device + device]
    if wanted == 0 or (
        typical[spec].models != 0 and nodes.rows[m].model & typical[spec].models == 0
    ):
        return free
    for k in range(first_device):
        if pool.rows[b, m].free[k] < typical[spec].demand[k]:
            return free
    share, cards = min(wanted, CARD), max(1, wanted // CARD)
    usable = 0
    small = 0
    for column in range(nodes.card_start[device], nodes.card_start[device + 1]):
        if pool.card_free[b, m, column] >= share:
            usable += 1
        else:
            small += pool.card_free[b, m, column]
    return small if usable >= cards else free
