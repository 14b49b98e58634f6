"""Whom a task would delay, by hand: a pool of 4 processors."""

from __future__ import annotations

from math import log10

import numpy as np
import pytest

from lepton_rl.encoding.features import CLUSTER_FEATURES, TASK_FEATURES
from lepton_rl.sim.batch import BatchSimulator
from tests.episodes import on_pool, simulator

LARGE, SHORT, LONG = 0, 1, 2
"""Slots, in order of arrival: 4 processors, 1 for 20 s, 1 for 500 s."""


def waiting(*more: tuple[int, int, int]) -> BatchSimulator:
    """3 of 4 processors run until 100 s; it is 3 s, and three tasks or more are pending."""
    tasks = [(0, 3, 100), (1, 4, 50), (2, 1, 20), (3, 1, 500), *more]
    batch = simulator(on_pool(4, *[(at, cpus, run) for at, cpus, run in tasks]), slots=8)
    batch.reset(0, 0)
    while batch.sim.state.status["now_us"][0] < 3_000_000:
        batch.step([0])  # the oldest: it starts, or blocks until the next event
    return batch


def tasks_of(batch: BatchSimulator, name: str) -> list[float]:
    count = int(batch.sim.state.status["num_pending"][0])
    return batch.obs.tasks[0, :count, TASK_FEATURES.index(name)].tolist()


def cluster_of(batch: BatchSimulator, name: str) -> float:
    return float(batch.obs.cluster[0, CLUSTER_FEATURES.index(name)])


def test_who_ends_in_time_does_not_delay_the_oldest_and_who_does_not_does() -> None:
    batch = waiting()

    assert tasks_of(batch, "fits") == [0, 1, 1]
    assert tasks_of(batch, "delays_oldest") == [0, 0, 1]
    assert cluster_of(batch, "oldest_starts_in") == pytest.approx(log10(1 + 97) / 6)


def test_a_smallest_task_that_fits_is_delayed_by_nobody() -> None:
    batch = waiting()

    assert tasks_of(batch, "delays_smallest") == [0, 0, 0]
    assert cluster_of(batch, "smallest_starts_in") == 0


def test_who_leaves_enough_beside_the_smallest_does_not_delay_it() -> None:
    """2 processors for 3 s can start at 100 s with 2 to spare; the long task needs only 1."""
    batch = waiting((3, 2, 3))

    assert tasks_of(batch, "fits") == [0, 1, 1, 0]
    assert tasks_of(batch, "delays_smallest") == [0, 0, 0, 0]
    assert tasks_of(batch, "delays_oldest") == [0, 0, 1, 0]
    assert cluster_of(batch, "smallest_starts_in") == pytest.approx(log10(1 + 97) / 6)


def test_nobody_delays_who_can_start() -> None:
    batch = simulator(on_pool(4, (0, 1, 9), (0, 4, 9)), slots=4)
    batch.reset(0, 0)

    assert tasks_of(batch, "delays_oldest") == [0] * len(tasks_of(batch, "fits"))
    assert np.isfinite(batch.obs.cluster).all()
