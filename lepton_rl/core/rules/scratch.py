"""Work space of the rules, owned by whoever calls them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lepton_rl.core.by_reference import by_reference
from lepton_rl.core.tables import (
    NO_TASK,
    Ints,
    NodeTable,
    PoolTable,
    Records,
    empty_choice,
    empty_pool,
)

__all__ = ["Plan", "Scratch", "empty_scratch"]

_BLOCKED_DTYPE = np.dtype([("task", np.int64), ("shadow_us", np.int64)], align=True)


@by_reference
class Plan(NamedTuple):
    """What will be free, segment by segment of time (conservative backfilling); shared by all."""

    pool: PoolTable  # batch axis: segments
    begin_us: Ints  # (segments,)
    following: Ints  # (segments,) the segment after it, -1 for the last


@by_reference
class Scratch(NamedTuple):
    """Work space; never part of what a policy sees."""

    pool: PoolTable  # (B) the pool at another time
    spare: PoolTable  # (B) what is free both now and then
    choice: Records  # (B, G) nodes and cards of the decision just made
    free: Ints  # (B, K) what is free on all nodes together; see `placement.add_up_free`
    on_node: Ints  # (B, M) bits of the classes of device demand that run there (clustering)
    blocked: Records  # (B,) the task that keeps the head (repo rules) and its fixed shadow time
    plan: Plan


def empty_scratch(
    nodes: NodeTable, batch: int, largest_gang: int, num_segments: int = 0
) -> Scratch:
    """Work space for `batch` environments.

    Args:
        nodes: node table.
        batch: environments.
        largest_gang: replicas.
        num_segments: of the plan; only conservative backfilling needs any (`plan_segments`).
    """
    blocked = np.zeros(batch, _BLOCKED_DTYPE)
    blocked["task"] = NO_TASK
    return Scratch(
        pool=empty_pool(nodes, batch),
        spare=empty_pool(nodes, batch),
        choice=empty_choice((batch, largest_gang)),
        free=np.zeros((batch, len(nodes.total)), np.int64),
        on_node=np.zeros((batch, len(nodes.rows)), np.int64),
        blocked=blocked,
        plan=Plan(
            empty_pool(nodes, num_segments),
            np.zeros(num_segments, np.int64),
            np.zeros(num_segments, np.int64),
        ),
    )
