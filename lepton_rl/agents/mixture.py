"""Several workloads to learn from, or to choose on, each of which counts as much as any other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from lepton_rl.agents.fitness import Outcomes, Schedules, loss
from lepton_rl.agents.linear import LinearWeights
from lepton_rl.core.rules.dispatch import DispatchRule

__all__ = ["Mixture", "Windows"]


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of each of K workloads.

    Attributes:
        starts: K lists of first tasks.
        goals: how the reference schedules them, K of them.
    """

    starts: Sequence[Sequence[int]]
    goals: Sequence[Outcomes]


class Mixture:
    """K workloads.

    Args:
        members: of one split each (>= 1); all choose nodes, or none does.
        reference: heuristic to be compared with on each of them.
        tail_weight: of `fitness.loss`.

    Attributes:
        chooses_nodes: whether scores choose nodes too.
    """

    def __init__(
        self, members: Sequence[Schedules], reference: DispatchRule, tail_weight: float
    ) -> None:
        self._members, self._reference = members, reference
        self._tail_weight = tail_weight
        self.chooses_nodes = members[0].chooses_nodes

    @property
    def decisions(self) -> int:
        """Made under linear scores so far, on all workloads."""
        return sum(each.decisions for each in self._members)

    def at(self, starts: Sequence[Sequence[int]]) -> Windows:
        """The windows that begin at these tasks, K lists."""
        pairs = zip(self._members, starts, strict=True)
        return Windows(starts, [each.under_rule(self._reference, own) for each, own in pairs])

    def drawn(self, random: np.random.Generator, count: int) -> Windows:
        """`count` windows of each workload, anywhere in its split."""
        spans = [each.episodes for each in self._members]
        return self.at([[span.draw(random) for _ in range(count)] for span in spans])

    def under_score(self, weights: LinearWeights, windows: Windows) -> list[Outcomes]:
        """Of each workload."""
        pairs = zip(self._members, windows.starts, strict=True)
        return [each.under_score(weights, starts) for each, starts in pairs]

    def loss(self, outcomes: Sequence[Outcomes], windows: Windows) -> float:
        """Mean over the workloads of `fitness.loss`, the logarithm of a ratio: scales are equal."""
        triples = zip(self._members, outcomes, windows.goals, strict=True)
        losses = [
            loss(ours, goal, self._tail_weight, each.least_cost, each.least_wait_s)
            for each, ours, goal in triples
        ]
        return float(np.mean(losses))
