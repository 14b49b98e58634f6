"""How resource kinds are laid out: divisible kinds first, then one column for each device kind."""

from __future__ import annotations

from lepton_rl.core.compiled import inlined
from lepton_rl.core.tables import NodeTable

__all__ = ["num_devices", "num_divisible"]


@inlined
def num_devices(nodes: NodeTable) -> int:
    """How many of the kinds are devices that come as cards."""
    return nodes.card_start.shape[0] - 1


@inlined
def num_divisible(nodes: NodeTable) -> int:
    """How many of the kinds are divisible, which is also the index of the first device kind."""
    return nodes.total.shape[0] - num_devices(nodes)
