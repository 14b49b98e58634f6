"""A learned choice of nodes beside FGD, in the packing protocol (docs/experiments.md).

    python -m benchmarks.choosing_nodes test DATA [--seeds 42-51]
    python -m benchmarks.choosing_nodes search DATA [--generations 30] [--seed 3]

DATA is the folder with the openb lists. `test` packs whole lists by FGD and by the weights below,
in turn with equal seeds. `search` improves the weights on random eighths of the cluster, with seeds
that no test has, and prints them with what they gain on quarters of it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lepton_rl.agents.natural_evolution import search
from lepton_rl.core.rules.placement import Place
from lepton_rl.evaluate.fgd import allocated_share, open_pods, pod_lists
from lepton_rl.sim.linear_score import NODE_SCORE_FEATURES
from lepton_rl.workloads.workload import Workload

WEIGHTS = {
    "load": 0.024624066427350044,
    "free_cards": 0.002939787693321705,
    "free_rest": 0.02083428017795086,
    "size": -0.016369564458727837,
    "replicas": -0.007855805568397045,
    "held": -0.008524084463715553,
    "accepting": 0.004897116217762232,
    "load_after": -0.015209423378109932,
    "share": -0.0038990823086351156,
    "left_over": 0.002961416495963931,
    "alignment": 0.00822734460234642,
    "tetris": -0.0014096845407038927,
    "packing": -0.005017545539885759,
    "relief": 1.0016614198684692,
    "idle": 0.020161280408501625,
    "speed": 0.0036852688062936068,
    "models": -0.009140748530626297,
    "remaining": 0.025485914200544357,
}
"""Of `NODE_SCORE_FEATURES`; found by such a search."""

_DEVIATION = 0.003
_POPULATION = 16
_VALIDATION_SEEDS = range(900_000, 900_004)


def vector() -> NDArray[np.float64]:
    """The weights, `(X,)`."""
    return np.array([WEIGHTS[name] for name in NODE_SCORE_FEATURES])


def test(lists: dict[str, Workload], seeds: Sequence[int]) -> None:
    """Print the allocated share of all cards by FGD and by the weights, in per cent."""
    weights = vector().astype(np.float32)
    for name, pods in lists.items():
        for seed in seeds:
            fgd = 100 * allocated_share(pods, Place.FGD, seed)
            learned = 100 * allocated_share(pods, weights, seed)
            print(f"{name} {seed} {fgd:.2f} {learned:.2f} {learned - fgd:+.2f}", flush=True)


def improve(lists: dict[str, Workload], seed: int, generations: int) -> None:
    """Search from the weights above on, and print what is best on the validation seeds."""

    def fitness(generation: int, weights: NDArray[np.float64]) -> float:
        first = 100_000 * seed + 1000 * generation
        return _mean_share(lists, weights.astype(np.float32), (first, first + 1), 1 / 8)

    by_fgd = _mean_share(lists, Place.FGD, _VALIDATION_SEEDS, 1 / 4)
    deviation = np.full(len(NODE_SCORE_FEATURES), _DEVIATION)
    means = search(fitness, vector(), deviation, population=_POPULATION, seed=seed)
    best = by_fgd
    for generation, mean in enumerate(islice(means, generations)):
        share = _mean_share(lists, mean.astype(np.float32), _VALIDATION_SEEDS, 1 / 4)
        print(f"generation {generation}: {100 * (share - by_fgd):+.3f} points over fgd", flush=True)
        if share > best:
            best = share
            print(dict(zip(NODE_SCORE_FEATURES, mean.tolist(), strict=True)), flush=True)


def _mean_share(
    lists: dict[str, Workload],
    place: Place | NDArray[np.float32],
    seeds: Sequence[int],
    part: float,
) -> float:
    runs = [allocated_share(pods, place, s, part) for pods in lists.values() for s in seeds]
    return float(np.mean(runs))


def main() -> None:
    """Read the command line and do it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=["test", "search"])
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", default="42-51", help="of the test")
    parser.add_argument("--seed", type=int, default=3, help="of the search")
    parser.add_argument("--generations", type=int, default=30)
    given = parser.parse_args()
    lists = {name: open_pods(path) for name, path in pod_lists(given.data).items()}
    if given.what == "search":
        improve(lists, given.seed, given.generations)
        return
    first, _, last = given.seeds.partition("-")
    test(lists, range(int(first), int(last or first) + 1))


if __name__ == "__main__":
    main()
