"""Whatever the work and whatever is chosen: rewards add up to the metric, and nothing overflows.

The metric is computed from the schedule in plain Python, occupancy from what tasks ask for.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_rl.core.nodes import Cluster
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.rules.placement import Place
from lepton_rl.sim.batch import BatchSimulator
from lepton_rl.sim.objective import SINGLE, Objective
from lepton_rl.workloads.workload import Workload
from tests.episodes import costs_of_starts, on_pool, simulator, starts_us
from tests.scenarios import FIXED_NODES, random_tasks

CLUSTER = Cluster(FIXED_NODES)
LENGTH = 12
SLOTS = 6  # fewer than may be pending, so that the window splits

seeds = st.integers(0, 2**32 - 1)
objectives = st.sampled_from(SINGLE)
backfills = st.sampled_from((Backfill.NONE, Backfill.EASY))
places = st.sampled_from(Place)
numbers = st.integers(1, 40)
pool_tasks = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 8), numbers, numbers),
    min_size=LENGTH,
    max_size=2 * LENGTH,
).map(sorted)


def drive(sim: BatchSimulator, first_row: int, rng: np.random.Generator) -> float:
    """An episode of random choices; the sum of its rewards."""
    sim.reset(0, first_row)
    total, over = 0.0, False
    while not over:
        sim.step([int(rng.choice(np.flatnonzero(sim.obs.action_mask[0])))])
        total += float(sim.rewards[0])
        over = bool(sim.terminated[0])
        check_occupancy(sim)
    return total


def check_occupancy(sim: BatchSimulator) -> None:
    """What runs now fits its nodes, and the rest is free: recounted from the tasks' records."""
    view = sim.sim.state
    free = view.nodes.rows["capacity"].copy()
    card_free = view.nodes.cards.copy()
    starts = view.nodes.card_start.tolist()
    num_divisible = free.shape[1] - (len(starts) - 1)
    for local in view.running[0, : view.status["num_running"][0]].tolist():
        task = view.tasks[view.status["first_row"][0] + local]
        for held in view.held[0, local, : task["replicas"]]:
            m, bits = int(held["node"]), int(held["cards"])
            if task["exclusive"]:
                free[m] -= view.nodes.rows["capacity"][m]
                card_free[m] -= view.nodes.cards[m]
                continue
            free[m] -= task["demand"]
            for kind, asked in enumerate(task["demand"][num_divisible:].tolist()):
                for column in range(starts[kind], starts[kind + 1]):
                    card_free[m, column] -= min(asked, 1000) * (bits >> column & 1)
    assert free.min() >= 0
    assert card_free.min(initial=0) >= 0
    np.testing.assert_array_equal(view.pool.rows["free"][0], free)
    np.testing.assert_array_equal(view.pool.card_free[0], card_free)


def check_return(
    sim: BatchSimulator, work: Workload, first_row: int, total: float, objective: Objective
) -> None:
    window = work.window(first_row, LENGTH)
    starts = starts_us(sim.sim)
    assert all(start >= sub for start, sub in zip(starts, window.tasks["submit_us"], strict=True))
    if objective in (Objective.TURNAROUND, Objective.DEADLINES):  # they count the true end
        starts = (sim.sim.end_us[0, :LENGTH] - window.run_us).tolist()
    metric = math.fsum(costs_of_starts(window, starts, objective)) / LENGTH
    assert math.isclose(total, -metric, rel_tol=1e-9, abs_tol=1e-9)
    assert math.isclose(sim.mean_cost(0), metric, rel_tol=1e-9, abs_tol=1e-9)


def check_utilisation(window: Workload, starts: list[int], processors: int) -> None:
    """Processors in use, at each start and over the whole: never more than there are."""
    ends = (np.array(starts) + window.run_us).tolist()
    sizes = window.tasks["size"].tolist()
    for now in starts:
        rows = zip(starts, ends, sizes, strict=True)
        assert sum(size for start, end, size in rows if start <= now < end) <= processors
    work = sum(size * run for size, run in zip(sizes, window.run_us.tolist(), strict=True))
    assert work <= processors * (max(ends) - min(starts))


@settings(deadline=None, max_examples=150)
@given(pool_tasks, objectives, backfills, seeds, st.booleans(), st.booleans())
def test_on_one_pool(
    rows: list[tuple[float, ...]],
    objective: Objective,
    backfill: Backfill,
    seed: int,
    may_wait: bool,
    skip_forced: bool,
) -> None:
    """One simulator for two windows, one after the other."""
    work = on_pool(8, *rows)
    rule = {"objective": objective, "backfill": backfill, "may_wait": may_wait}
    sim = simulator(work, length=LENGTH, slots=SLOTS, skip_forced=skip_forced, **rule)
    rng = np.random.default_rng(seed)
    for first_row in (0, len(work) - LENGTH):
        total = drive(sim, first_row, rng)
        check_return(sim, work, first_row, total, objective)
        check_utilisation(work.window(first_row, LENGTH), starts_us(sim.sim), 8)


@cache
def scenario(seed: int) -> Workload:
    """Gangs, shares of cards, labels, exclusive and critical tasks, estimates right and wrong."""
    tasks = random_tasks(np.random.default_rng(seed), CLUSTER, 2 * LENGTH)
    return Workload.from_tasks(f"random {seed}", CLUSTER, tasks)


@settings(deadline=None, max_examples=100)
@given(st.integers(0, 40), objectives, backfills, places, seeds, st.booleans())
def test_on_unlike_nodes_with_tasks_of_every_sort(
    scenario_seed: int,
    objective: Objective,
    backfill: Backfill,
    place: Place,
    seed: int,
    may_wait: bool,
) -> None:
    work, rng = scenario(scenario_seed), np.random.default_rng(seed)
    rule = {"objective": objective, "backfill": backfill, "place": place, "may_wait": may_wait}
    sim = simulator(work, length=LENGTH, slots=SLOTS, **rule)
    first_row = int(rng.integers(0, LENGTH + 1))
    total = drive(sim, first_row, rng)
    check_return(sim, work, first_row, total, objective)
