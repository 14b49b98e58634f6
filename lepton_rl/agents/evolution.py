"""Separable natural evolution strategies: a search for few weights, without gradients.

Wierstra et al., "Natural evolution strategies", JMLR 15 (2014): draws are made around a mean, and
mean and deviations move towards the draws that did best, by their ranks. It asks for nothing but a
figure for a whole run, such as the share of a cluster that was given out in the end, which no
single decision is rewarded for. Draws come in pairs, one mirrored about the mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["Fitness", "search"]

Floats = NDArray[np.float64]

Fitness = Callable[[int, Floats], float]
"""What weights are worth in a generation, the more the better; equal conditions within one."""


def search(
    fitness: Fitness,
    mean: Floats,
    deviation: Floats,
    *,
    population: int,
    seed: int,
) -> Iterator[Floats]:
    """The mean after each generation, for ever.

    Args:
        fitness: asked for each draw.
        mean: `(d,)` where the search begins.
        deviation: `(d,)` of the first draws; 0 leaves a weight as it is.
        population: draws in a generation, even (>= 4).
        seed: of the draws.
    """
    random = np.random.default_rng(seed)
    utilities = _utilities(population)
    rate = (3 + np.log(len(mean))) / (10 * np.sqrt(len(mean)))
    generation = 0
    while True:
        half = random.standard_normal((population // 2, len(mean)))
        draws = np.concatenate([half, -half])
        worth = [fitness(generation, mean + deviation * draw) for draw in draws]
        ranked = draws[np.argsort(-np.array(worth), kind="stable")]
        mean = mean + deviation * (utilities @ ranked)
        deviation = deviation * np.exp(rate * (utilities @ (ranked**2 - 1)))
        generation += 1
        yield mean


def _utilities(population: int) -> Floats:
    """Weight of each rank, best first; they sum to 0."""
    ranks = np.arange(1, population + 1)
    raw = np.maximum(0.0, np.log(population / 2 + 1) - np.log(ranks))
    result: Floats = raw / raw.sum() - 1 / population
    return result
