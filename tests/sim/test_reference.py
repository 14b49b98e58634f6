"""The reference heuristic: its cost over time, and rewards measured against it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.encoding.observation import empty_observation
from lepton_rl.envs.config import EnvironmentConfig
from lepton_rl.envs.episodes import Episodes
from lepton_rl.policies.registry import heuristic
from lepton_rl.sim.objective import SINGLE, Objective
from lepton_rl.sim.reference import Reference, heuristic_actions
from lepton_rl.sim.replay import replay
from lepton_rl.workloads.lublin import LublinConfig, generate_lublin
from lepton_rl.workloads.splits import Split
from lepton_rl.workloads.workload import Workload
from tests.episodes import MICRO, cost, on_pool, simulator

SPECS = ("fcfs", "f4", "sjf+easy", "wfp3+easy")
WORK = generate_lublin(
    LublinConfig(processors=64, num_tasks=150, load=1.3, classes=("whole-sample",)), 11
)
LONG = replace(WORK, run_us=np.maximum(WORK.run_us, 10 * MICRO))
LENGTH = 40
FOREVER = 2**62


def cost_by_hand(work: Workload, starts_us: np.ndarray, objective: Objective, now_us: int) -> float:
    """What the tasks that have arrived have cost, waiting until they started or until now."""
    rows = zip(work.tasks["submit_us"].tolist(), starts_us.tolist(), work.run_us, strict=True)
    return sum(
        cost(objective, (min(start, now_us) - submit) / MICRO, run / MICRO)
        for submit, start, run in rows
        if submit <= now_us
    )


def schedule_under(work: Workload, spec: str) -> np.ndarray:
    return replay(work.tasks, work.run_us, work.cluster, heuristic(spec).rule).start_us


def reference(
    work: Workload, spec: str, objective: Objective, length: int, *first_rows: int
) -> Reference:
    batch = simulator(work, batch=len(first_rows), length=length)
    found = Reference(batch.sim, heuristic(spec).rule, int(objective))
    for b, row in enumerate(first_rows):
        found.begin(b, row, length)
    return found


def costs_at(found: Reference, *times_s: float) -> list[float]:
    return [float(found.cost_by(np.array([time * MICRO], np.int64))[0]) for time in times_s]


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("objective", SINGLE)
def test_the_cost_over_time_is_that_of_its_schedule(spec: str, objective: Objective) -> None:
    """At its own events, between them, and after the last; in two windows at once.

    No task runs for less than 10 s: the bounded slowdown of such a task is not linear (see next).
    """
    rows = (0, 90)
    found = reference(LONG, spec, objective, LENGTH, *rows)
    windows = [LONG.window(row, LENGTH) for row in rows]
    starts = [schedule_under(window, spec) for window in windows]
    moments = []
    for window, start in zip(windows, starts, strict=True):
        at = np.unique([*window.tasks["submit_us"], *start, *(start + window.run_us)])
        moments.append(np.sort([*at, *((at[1:] + at[:-1]) // 2), at[-1] + 1]))
    shortest = min(map(len, moments))
    for now_us in zip(*(each[-shortest:] for each in moments), strict=True):
        expected = [
            cost_by_hand(window, start, objective, int(now))
            for window, start, now in zip(windows, starts, now_us, strict=True)
        ]
        np.testing.assert_allclose(found.cost_by(np.array(now_us)), expected, rtol=1e-9, atol=1e-6)
    totals = [
        cost_by_hand(window, start, objective, FOREVER)
        for window, start in zip(windows, starts, strict=True)
    ]
    np.testing.assert_allclose(found.total, totals, rtol=1e-9)


def test_between_events_the_slowdown_of_a_short_task_is_a_straight_line() -> None:
    """Task 1 of 2 s waits from 0 to 20 s: its slowdown is 1 until 8 s, then grows to 2.2."""
    work = on_pool(1, (0, 1, 20), (0, 1, 2))
    found = reference(work, "fcfs", Objective.BOUNDED_SLOWDOWN, 2, 0)

    assert costs_at(found, 0, 10, 20, 99) == pytest.approx([2, 2 + 1.2 / 2, 3.2, 3.2])


def test_an_arrival_costs_nothing_before_it_comes() -> None:
    """The turnaround of a task begins with its run time, 50 s, at its arrival at 10 s."""
    work = on_pool(4, (0, 4, 20), (10, 1, 50), (30, 1, 7))
    found = reference(work, "fcfs", Objective.TURNAROUND, 3, 0)

    costs = costs_at(found, 0, 9, 10, 15, 20, 29, 30)
    assert costs == pytest.approx([20, 20, 70, 75, 80, 80, 87])


def test_a_new_window_starts_from_nothing() -> None:
    found = reference(WORK, "fcfs", Objective.WAIT, LENGTH, 0)
    end = np.array([FOREVER])
    first = found.cost_by(end)[0]
    found.begin(0, 60, LENGTH)

    assert found.cost_by(WORK.tasks["submit_us"][60:61].copy())[0] == 0
    assert found.cost_by(end)[0] == pytest.approx(found.total[0])
    found.begin(0, 0, LENGTH)
    assert found.cost_by(end)[0] == first


def test_before_any_window_nothing_has_been_lost() -> None:
    batch = simulator(WORK, batch=2, length=LENGTH)
    found = Reference(batch.sim, heuristic("fcfs").rule, int(Objective.WAIT))

    assert found.cost_by(np.array([0, FOREVER])).tolist() == [0, 0]
    assert found.total.tolist() == [0, 0]


def test_one_event_at_a_time_is_another_schedule_with_its_own_cost() -> None:
    """The repository rules as the reference: twice as many events, all of them recorded."""
    spec = "fcfs+blocking"
    found = reference(WORK, spec, Objective.WAIT, LENGTH, 30)
    window = WORK.window(30, LENGTH)

    expected = cost_by_hand(window, schedule_under(window, spec), Objective.WAIT, FOREVER)
    assert found.total[0] == pytest.approx(expected, rel=1e-9)


# --- what it would choose ------------------------------------------------------------------------


def test_it_chooses_the_slot_with_the_lowest_score() -> None:
    """Requested times 9, 5 and 5 s: SJF takes the first of the two short ones."""
    batch = simulator(on_pool(4, (0, 1, 9), (0, 1, 5), (0, 1, 5)), slots=4)
    batch.reset(0, 0)
    slots = np.zeros(1, np.int64)
    chosen = {}
    for order in ("fcfs", "sjf", "ljf"):
        heuristic_actions(batch.sim, batch.obs, heuristic(order).rule, slots)
        chosen[order] = int(slots[0])

    assert chosen == {"fcfs": 0, "sjf": 1, "ljf": 0}


def test_it_chooses_nothing_where_nothing_is_shown() -> None:
    batch = simulator(on_pool(4, (0, 1, 9)), slots=4)
    slots = np.zeros(1, np.int64)
    heuristic_actions(batch.sim, empty_observation(1, 4, 1), heuristic("fcfs").rule, slots)

    assert slots.tolist() == [-1]


# --- rewards against it --------------------------------------------------------------------------

OBJECTIVES = ("bounded-slowdown", "wait", "turnaround")


def vec_env(work: Workload, spec: str, length: int, num_envs: int, **settings: Any) -> Any:
    """The Stable-Baselines3 adapter over windows of `work`, with `spec` as its reference."""
    adapter = pytest.importorskip("lepton_rl.agents.vec_env", exc_type=ImportError)
    rule = heuristic(spec).rule
    config = EnvironmentConfig(
        episode_tasks=length, backfill=Backfill(rule.backfill).name.lower(), **settings
    )
    episodes = Episodes(work, Split("all", 0, len(work) - 1), length)
    env = adapter.SchedulingVecEnv(config, episodes, num_envs, 5, rule)
    env.reset()
    return env


def earned_by_reference(
    work: Workload, spec: str, objective: str, length: int
) -> tuple[list[float], np.ndarray]:
    """Returns of the first episodes, driven by the reference itself, and all their rewards."""
    env = vec_env(work, spec, length, 3, slots=length, objective=objective)
    returns: list[float] = []
    rewards: list[np.ndarray] = []
    while len(returns) < 6:
        _, reward, _, infos = env.step(env.heuristic_actions(heuristic(spec).rule))
        rewards.append(reward)
        returns += [info["episode"]["r"] for info in infos if "episode" in info]
    return returns, np.array(rewards)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_reference_itself_earns_nothing(spec: str, objective: str) -> None:
    """Nothing but rounding: costs of up to 1e7 s are summed in float64."""
    returns, rewards = earned_by_reference(WORK, spec, objective, LENGTH)

    np.testing.assert_allclose(rewards, 0, atol=1e-9)
    np.testing.assert_allclose(returns, 0, atol=1e-9)


def test_where_nobody_waits_rewards_are_finite() -> None:
    work = on_pool(4, *[(100 * i, 1, 10) for i in range(12)])
    returns, rewards = earned_by_reference(work, "fcfs", "wait", 3)

    assert not rewards.any()
    assert not any(returns)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32 - 1), st.sampled_from(OBJECTIVES))
def test_any_other_learner_earns_what_it_saves(seed: int, objective: str) -> None:
    """The return is 1 - cost / cost of the reference, over the whole episode."""
    env = vec_env(WORK, "f4+easy", 12, 1, slots=8, objective=objective)
    rng = np.random.default_rng(seed)
    first_row = int(env.simulator.sim.state.status["first_row"][0])
    ended: dict[str, Any] = {}
    while not ended:
        _, _, _, (ended,) = env.step(np.array([rng.choice(np.flatnonzero(env.action_masks()[0]))]))

    window = WORK.window(first_row, 12)
    metric = Objective[objective.upper().replace("-", "_")]
    total = cost_by_hand(window, schedule_under(window, "f4+easy"), metric, FOREVER)
    expected = (total - 12 * ended["metric"]) / max(total, 12)
    assert ended["episode"]["r"] == pytest.approx(expected, rel=1e-9, abs=1e-9)
