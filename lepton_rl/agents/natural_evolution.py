"""Separable natural evolution strategies: a search for few weights, without gradients.

Schaul, Glasmachers and Schmidhuber, "High dimensions and heavy tails for natural evolution
strategies", GECCO 2011; Wierstra et al., "Natural evolution strategies", JMLR 15 (2014). Draws are
made around a mean, and mean and deviations move towards the draws that did best, by their ranks. It
asks for nothing but a figure for a whole run, such as the share of a cluster that was given out in
the end, which no single decision is rewarded for. Draws come in pairs, one mirrored about the mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["Fitness", "mirrored_draws", "moved", "search", "utilities"]

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
    generation = 0
    while True:
        draws = mirrored_draws(random, population // 2, mean.shape)
        losses = [-fitness(generation, mean + deviation * draw) for draw in draws]
        mean, deviation = moved(mean, deviation, draws, np.array(losses))
        generation += 1
        yield mean


def mirrored_draws(random: np.random.Generator, pairs: int, shape: tuple[int, ...]) -> Floats:
    """`(2 pairs, *shape)` standard normal draws, the second half mirrors the first."""
    half = random.standard_normal((pairs, *shape))
    return np.concatenate([half, -half])


def moved(mean: Floats, deviation: Floats, draws: Floats, losses: Floats) -> tuple[Floats, Floats]:
    """Mean and deviations after a generation.

    Args:
        mean: of any shape.
        deviation: of the same shape; 0 leaves a weight as it is.
        draws: `(n, ...)` standard normal draws, taken times `deviation`.
        losses: `(n,)` of the draws, the less the better.
    """
    share = utilities(losses)
    dimensions = int(np.count_nonzero(deviation))
    rate = (3 + math.log(dimensions)) / (10 * math.sqrt(dimensions))
    step = np.tensordot(share, draws, 1)
    growth = rate * np.tensordot(share, draws**2 - 1, 1)
    return mean + deviation * step, deviation * np.exp(growth)


def utilities(losses: Floats) -> Floats:
    """Weight of each candidate by its rank, `(n,)`, summing to 0; the better half shares most."""
    count = len(losses)
    ranks = np.empty(count)
    ranks[np.argsort(losses, kind="stable")] = np.arange(1, count + 1)
    raw = np.maximum(0.0, math.log(count / 2 + 1) - np.log(ranks))
    result: Floats = raw / raw.sum() - 1 / count
    return result
