"""BatchSimulator: sizes, independence of the environments, and what it refuses."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from lepton_rl.core.errors import ConfigError, InfeasibleDecisionError, StateError
from lepton_rl.core.nodes import NodeState
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.sim.batch import BatchSimulator, episode_rule
from lepton_rl.sim.objective import SINGLE, Objective
from lepton_rl.sim.world import NodeEvent, make_world
from lepton_rl.workloads.lublin import LublinConfig, generate_lublin
from tests.episodes import costs_of_starts, frozen, on_pool, simulator, starts_us

LENGTH = 24
WORK = generate_lublin(
    LublinConfig(processors=64, num_tasks=120, load=1.3, classes=("whole-sample",)), 3
)
FIRST_ROWS = (0, 17, 40, 96)
SMALL = on_pool(4, *[(i, 1 + i % 4, 10) for i in range(6)])


def lublin(batch: int, **rule: Any) -> BatchSimulator:
    return simulator(WORK, batch=batch, length=LENGTH, slots=16, **rule)


def some_allowed(mask: np.ndarray, rng: np.random.Generator) -> int:
    return int(rng.choice(np.flatnonzero(mask)))


def run_alone(first_row: int, seed: int, **rule: Any) -> list[tuple[float, list[bytes]]]:
    """Reward and observation of each step of one environment, with random actions."""
    sim, rng = lublin(1, **rule), np.random.default_rng(seed)
    sim.reset(0, first_row)
    steps = [(0.0, frozen(sim.obs))]
    while not sim.terminated[0]:
        sim.step([some_allowed(sim.obs.action_mask[0], rng)])
        steps.append((float(sim.rewards[0]), frozen(sim.obs)))
    return steps


@pytest.mark.parametrize("backfill", [Backfill.NONE, Backfill.EASY])
def test_environments_do_not_disturb_each_other(backfill: Backfill) -> None:
    """Four side by side take the same steps as each alone; who is over begins elsewhere."""
    alone = [run_alone(row, seed, backfill=backfill) for seed, row in enumerate(FIRST_ROWS)]
    assert len({len(each) for each in alone}) > 1, "they end at different steps"
    sim = lublin(len(FIRST_ROWS), backfill=backfill)
    rngs = [np.random.default_rng(seed) for seed in range(len(FIRST_ROWS))]
    for b, row in enumerate(FIRST_ROWS):
        sim.reset(b, row)
    for step in range(max(map(len, alone))):
        for b, expected in enumerate(alone):
            if step < len(expected):
                reward, observation = expected[step]
                assert [values[b].tobytes() for values in sim.obs] == observation
                assert step == 0 or sim.rewards[b] == reward
            if sim.terminated[b]:
                sim.reset(b, 50)
        masks = sim.obs.action_mask
        sim.step([some_allowed(mask, rng) for mask, rng in zip(masks, rngs, strict=True)])


@pytest.mark.parametrize("objective", SINGLE)
def test_the_mean_cost_at_the_end_is_the_metric(objective: Objective) -> None:
    sim, rng = lublin(1, objective=objective), np.random.default_rng(5)
    sim.reset(0, 40)
    while not sim.terminated[0]:
        sim.step([some_allowed(sim.obs.action_mask[0], rng)])

    costs = costs_of_starts(WORK.window(40, LENGTH), starts_us(sim.sim), objective)
    assert sim.mean_cost(0) == pytest.approx(np.mean(costs), rel=1e-12)


@pytest.mark.parametrize(
    "sizes", [{"batch": 0}, {"batch": -1}, {"slots": 1}, {"length": 0}, {"length": 7}], ids=str
)
def test_sizes_out_of_range_are_refused(sizes: dict[str, int]) -> None:
    with pytest.raises(ConfigError, match=r"1 <= episode_tasks <= 6 tasks.*got batch"):
        simulator(SMALL, **sizes)


@pytest.mark.parametrize("first_row", [-1, 3, 6])
def test_an_episode_lies_within_the_workload(first_row: int) -> None:
    with pytest.raises(ConfigError, match=rf"a task in 0\.\.2, got {first_row}"):
        simulator(SMALL, length=4).reset(0, first_row)


@pytest.mark.parametrize("b", [-1, 2])
def test_an_environment_that_is_not_there_cannot_begin(b: int) -> None:
    with pytest.raises(ConfigError, match=rf"one of 0\.\.1, got {b}"):
        simulator(SMALL, batch=2).reset(b, 0)


def two_begun() -> BatchSimulator:
    sim = simulator(SMALL, batch=2, length=4)
    sim.reset(0, 0)
    sim.reset(1, 2)
    return sim


BAD_ACTIONS: dict[str, Any] = {
    "too few": [0],
    "too many": [0, 0, 0],
    "none": [],
    "a number": 0,
    "a column": [[0], [0]],
    "fractions": [0.0, 0.5],
    "booleans": [True, False],
    "words": ["0", "0"],
    "missing": [None, 0],
}


@pytest.mark.parametrize("actions", BAD_ACTIONS.values(), ids=BAD_ACTIONS)
def test_actions_are_one_whole_number_an_environment(actions: Any) -> None:
    sim = two_begun()
    before = frozen((sim.sim, sim.obs))

    with pytest.raises(ConfigError, match="expected 2 whole numbers, one an environment, got"):
        sim.step(actions)
    assert frozen((sim.sim, sim.obs)) == before


@pytest.mark.parametrize("kind", [np.int32, np.uint8, np.int64])
def test_whole_numbers_of_any_width_will_do(kind: Any) -> None:
    two_begun().step(np.zeros(2, kind))


def test_one_masked_action_moves_nobody() -> None:
    """Only the first task has arrived, so slot 1 is empty."""
    sim = two_begun()
    before = frozen((sim.sim, sim.obs))

    with pytest.raises(InfeasibleDecisionError, match=r"environment 1: action 1 .* allowed: \[0\]"):
        sim.step([0, 1])
    assert frozen((sim.sim, sim.obs)) == before


def test_a_step_before_the_first_episode_is_refused() -> None:
    sim = simulator(SMALL, batch=2)
    sim.reset(0, 0)

    with pytest.raises(StateError, match="environment 1: its episode is over or has not begun"):
        sim.step([0, 0])


@pytest.mark.parametrize("may_wait", [False, True])
def test_a_step_after_the_last_is_refused(may_wait: bool) -> None:
    sim = simulator(SMALL, length=1, may_wait=may_wait)
    sim.reset(0, 5)
    sim.step([0])
    assert sim.terminated[0]

    for action in (0, sim.slots):
        with pytest.raises(StateError, match="call reset before step"):
            sim.step([action])
    sim.reset(0, 4)
    sim.step([0])


def test_threads_do_not_go_with_plans() -> None:
    with pytest.raises(ConfigError, match=r"conservative .* needs num_threads=1, got 2"):
        BatchSimulator(
            WORK.tasks,
            WORK.run_us,
            WORK.cluster,
            batch=2,
            episode_tasks=LENGTH,
            slots=16,
            rule=episode_rule(backfill=Backfill.CONSERVATIVE),
            num_threads=2,
        )


def test_an_eventful_world_ends_with_every_task_and_pays_for_lost_work() -> None:
    """One pool of 4: task 0 fails twice after 4 s, task 1 needs it, the pool is down 20 s to 25 s.

    Task 0 runs 0 to 4, 4 to 8 and 8 to 18, so it loses 8 s; task 1 starts at 18, is evicted at 20
    and runs again from 25 to 35: of its 25 s, 10 s are its run.
    """
    work = on_pool(4, (0, 4, 10), (0, 4, 10))
    fails_after_us = np.array([[4_000_000, 4_000_000], [0, 0]])
    events = [
        NodeEvent(20_000_000, 0, NodeState.DOWN),
        NodeEvent(25_000_000, 0, NodeState.UP),
    ]
    world = make_world(2, np.array([[1, 0]]), np.array([2, 0]), fails_after_us, events)
    sim = BatchSimulator(
        work.tasks, work.run_us, work.cluster, batch=1, episode_tasks=2, slots=4,
        rule=episode_rule(objective=Objective.WAIT), world=world,
    )  # fmt: skip
    sim.reset(0, 0)
    total = 0.0
    while not sim.terminated[0]:
        sim.step([int(np.argmax(sim.obs.action_mask[0]))])
        total += float(sim.rewards[0])

    assert sim.sim.progress["num_ended"][0] == 2
    assert sim.sim.end_us[0].tolist() == [18_000_000, 35_000_000]
    assert -total == pytest.approx((8 + 25) / 2)
