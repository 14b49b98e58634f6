"""What is free at two times: copies, and what is free at both."""

from __future__ import annotations

from lepton_rl.core.compiled import compiled
from lepton_rl.core.tables import NodeTable, PoolTable

__all__ = ["copy_pool", "keep_least"]


@compiled
def copy_pool(nodes: NodeTable, source: PoolTable, s: int, target: PoolTable, t: int) -> None:
    """Copy what is free, and whom nodes are held for, from row `s` of a pool to `t` of another."""
    for m in range(nodes.rows.shape[0]):
        target.rows[t, m].replicas_on = source.rows[s, m].replicas_on
        target.rows[t, m].held_by = source.rows[s, m].held_by
        target.rows[t, m].held_from_us = source.rows[s, m].held_from_us
        target.rows[t, m].accepting = source.rows[s, m].accepting
        for k in range(nodes.total.shape[0]):
            target.rows[t, m].free[k] = source.rows[s, m].free[k]
        for column in range(nodes.cards.shape[1]):
            target.card_free[t, m, column] = source.card_free[s, m, column]


@compiled
def keep_least(nodes: NodeTable, other: PoolTable, s: int, target: PoolTable, t: int) -> None:
    """Leave in row `t` of `target` what is free there and in row `s` of the other pool too."""
    for m in range(nodes.rows.shape[0]):
        one, both = other.rows[s, m], target.rows[t, m]
        both.replicas_on = max(both.replicas_on, one.replicas_on)
        for k in range(nodes.total.shape[0]):
            both.free[k] = min(both.free[k], one.free[k])
        for column in range(nodes.cards.shape[1]):
            free = min(target.card_free[t, m, column], other.card_free[s, m, column])
            target.card_free[t, m, column] = free
