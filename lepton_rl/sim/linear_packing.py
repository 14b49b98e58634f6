"""Packing as `sim.packing` does it, on the nodes that a learned score likes best.

The score reads what a network that chooses nodes reads: the features of a node beside those of the
candidate, as `encoding` writes them. So what is learned here can be exported as such a network.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.by_reference import by_reference
from lepton_rl.core.compiled import compiled
from lepton_rl.core.rules.placement import (
    begin_gang,
    may_use,
    place_replica,
    undo_replicas,
)
from lepton_rl.core.rules.queueing import arrive, enter_run, leave_queue
from lepton_rl.core.rules.scratch import Scratch, empty_scratch
from lepton_rl.core.tables import NO_NODE, Ints, NodeTable, Records, View, empty_view
from lepton_rl.encoding.candidates import write_candidate
from lepton_rl.encoding.facts import demand_classes
from lepton_rl.encoding.features import CANDIDATE_FEATURES, NODE_FEATURES, Float32s, write_node
from lepton_rl.sim.linear_score import node_score

__all__ = ["pack_linear"]


@by_reference
class _Kept(NamedTuple):
    """Scores that still hold: a node's changes with what runs there and with who asks alone."""

    kinds: Ints  # (rows,) tasks that ask for the same are of one kind
    versions: Ints  # (M,) counts the changes of each node
    stamps: Ints  # (kinds, M) version of the node that a score was made of, -1 for none
    scores: Float32s  # (kinds, M)
    allowed: NDArray[np.bool_]  # (kinds, M)
    nodes: Float32s  # (1, M, G) work space
    candidates: Float32s  # (1, M, P) work space


@compiled
def _preferred(view: View, weights: Float32s, kept: _Kept, local: int, replica: int) -> int:
    """The node of highest score for the next replica of a task, NO_NODE if none has room."""
    kind, best = kept.kinds[local], NO_NODE
    for m in range(view.nodes.rows.shape[0]):
        if replica > 0 or kept.stamps[kind, m] != kept.versions[m]:
            kept.allowed[kind, m] = may_use(view, 0, view.pool, 0, local, local, 0, m)
            if kept.allowed[kind, m]:
                write_node(view, 0, m, kept.nodes)
                write_candidate(view, 0, local, replica, m, kept.candidates)
                kept.scores[kind, m] = node_score(weights, kept.nodes, kept.candidates, 0, m)
            kept.stamps[kind, m] = kept.versions[m] if replica == 0 else -1
        if kept.allowed[kind, m] and (
            best == NO_NODE or kept.scores[kind, m] > kept.scores[kind, best]
        ):
            best = m
    return best


@compiled
def _place_by_score(
    view: View, scratch: Scratch, weights: Float32s, kept: _Kept, local: int
) -> bool:
    """Take a node for each replica of a task, or leave everything as it is."""
    begin_gang(scratch, 0)
    for replica in range(view.tasks[local].replicas):
        m = _preferred(view, weights, kept, local, replica)
        if m == NO_NODE:
            undo_replicas(view, scratch, 0, local, replica)
            return False
        place_replica(view, scratch, 0, local, replica, m)
        kept.versions[m] += 1
    return True


@compiled
def _pack_all(view: View, scratch: Scratch, weights: Float32s, kept: _Kept) -> None:
    for local in range(view.pending.shape[1]):
        arrive(view, 0, local)
        if not _place_by_score(view, scratch, weights, kept, local):
            leave_queue(view, 0, local)
            continue
        for replica in range(view.held.shape[2]):
            view.held[0, local, replica] = scratch.choice[0, replica]
        enter_run(view, 0, local)


def pack_linear(
    tasks: Records, nodes: NodeTable, weights: Float32s, typical: Records
) -> NDArray[np.int64]:
    """Nodes of each task, in the order of arrival.

    Args:
        tasks: `(N,)` records; times do not matter.
        nodes: idle at first.
        weights: `(X,)` by `NODE_SCORE_FEATURES`; the highest score is chosen, the lowest index wins
            ties.
        typical: what tasks usually ask for.

    Returns:
        `(N, G)` node of each replica, NO_NODE beyond the gang and for those turned away.
    """
    gang = int(tasks["replicas"].max(initial=1))
    seen = tasks.copy()
    seen["tenant"] = 0
    seen["critical"] = False  # nothing waits, so nothing is held
    view = empty_view(seen, nodes, 1, len(seen), gang, typical=typical)
    view.held["node"] = NO_NODE
    _pack_all(view, empty_scratch(nodes, 1, gang), weights, _kept(seen, nodes))
    placed: NDArray[np.int64] = view.held["node"][0]
    return placed


def _kept(tasks: Records, nodes: NodeTable) -> _Kept:
    asked = ("replicas", "labels", "models", "task_class", "exclusive")
    kinds = demand_classes(tasks, asked)
    shape = int(kinds.max(initial=-1)) + 1, len(nodes.rows)
    return _Kept(
        kinds=kinds,
        versions=np.zeros(shape[1], np.int64),
        stamps=np.full(shape, -1, np.int64),
        scores=np.zeros(shape, np.float32),
        allowed=np.zeros(shape, np.bool_),
        nodes=np.zeros((1, shape[1], len(NODE_FEATURES)), np.float32),
        candidates=np.zeros((1, shape[1], len(CANDIDATE_FEATURES)), np.float32),
    )
