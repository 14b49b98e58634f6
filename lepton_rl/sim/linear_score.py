"""A linear score of a node: the rule that `linear_episode` and `linear_packing` choose nodes by.

It reads what a network that chooses nodes reads: the features of the node, then those of the
candidate, as `encoding` writes them. So what a search finds can be exported as a network.
"""

from __future__ import annotations

import numpy as np

from lepton_rl.core.compiled import compiled
from lepton_rl.encoding.features import CANDIDATE_FEATURES, NODE_FEATURES, Float32s

__all__ = ["NODE_SCORE_FEATURES", "node_score"]

NODE_SCORE_FEATURES = (*NODE_FEATURES, *CANDIDATE_FEATURES)
"""What a score reads of a node, in this order; X of them."""


@compiled
def node_score(weights: Float32s, nodes: Float32s, candidates: Float32s, b: int, m: int) -> float:
    """`weights @ x` of node `m`, the higher the better; the sum is in float32.

    Args:
        weights: `(X,)`, by `NODE_SCORE_FEATURES`.
        nodes: `(B, M, G)`.
        candidates: `(B, M, P)`.
        b: environment.
        m: node.
    """
    num_node = nodes.shape[2]
    total = np.float32(0.0)
    for x in range(num_node):
        total += weights[x] * nodes[b, m, x]
    for x in range(candidates.shape[2]):
        total += weights[num_node + x] * candidates[b, m, x]
    return float(total)
