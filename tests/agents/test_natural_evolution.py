"""The search finds what a known function wants."""

from __future__ import annotations

from itertools import islice

import numpy as np
from numpy.typing import NDArray

from lepton_rl.agents.natural_evolution import search

TARGET = np.array([3.0, -2.0, 0.5])


def closeness(_: int, weights: NDArray[np.float64]) -> float:
    return -float(((weights - TARGET) ** 2).sum())


def found(seed: int, deviation: NDArray[np.float64], generations: int = 80) -> NDArray[np.float64]:
    means = search(closeness, np.zeros(3), deviation, population=12, seed=seed)
    return list(islice(means, generations))[-1]


def test_it_finds_the_best_weights() -> None:
    for seed in range(3):
        np.testing.assert_allclose(found(seed, np.ones(3)), TARGET, atol=0.05)


def test_equal_seeds_give_equal_weights() -> None:
    assert np.array_equal(found(1, np.ones(3), 5), found(1, np.ones(3), 5))
    assert not np.array_equal(found(1, np.ones(3), 5), found(2, np.ones(3), 5))


def test_a_weight_without_deviation_stays() -> None:
    assert found(0, np.array([1.0, 0.0, 1.0]))[1] == 0.0


def test_a_generation_is_asked_under_one_number() -> None:
    asked: list[int] = []

    def fitness(generation: int, weights: NDArray[np.float64]) -> float:
        asked.append(generation)
        return closeness(generation, weights)

    list(islice(search(fitness, np.zeros(3), np.ones(3), population=4, seed=0), 3))
    assert asked == [0] * 4 + [1] * 4 + [2] * 4
