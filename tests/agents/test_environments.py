"""Environments: the same windows for a group, states that come back, costs of long waits."""

from __future__ import annotations

import numpy as np
import pytest

from lepton_rl.agents.environments import Environments
from lepton_rl.core.errors import StateError
from lepton_rl.envs.config import EnvironmentConfig
from lepton_rl.envs.episodes import Episodes
from lepton_rl.policies.registry import rule_of
from lepton_rl.sim.replay import replay
from tests.trained import ENVIRONMENT


def environments(
    num_envs: int = 4,
    seed: int = 0,
    reference: str | None = "f4",
    per_sequence: int = 1,
    **settings,
) -> Environments:
    config = EnvironmentConfig.model_validate({**ENVIRONMENT, **settings})
    rule = None if reference is None else rule_of(reference)
    return Environments(config, Episodes.of(config), num_envs, seed, rule, per_sequence)


def first_rows(env: Environments) -> list[int]:
    return env.simulator.sim.state.status["first_row"].tolist()


def play(env: Environments, steps: int, rng: np.random.Generator) -> np.ndarray:
    """Random allowed actions; observations, rewards and times of each step as one array."""
    seen = [np.zeros(0)]
    for _ in range(steps):
        mask = env.simulator.obs.action_mask
        env.step(np.array([rng.choice(np.flatnonzero(row)) for row in mask]))
        seen.append(np.concatenate([env.rewards, env.elapsed_s]))
        for b in np.flatnonzero(env.terminated).tolist():
            env.begin(b)
        seen.append(env.simulator.obs.tasks.sum(axis=(1, 2)))
    return np.concatenate(seen)


@pytest.mark.parametrize("steps", [0, 1, 17, 90])
def test_a_state_comes_back_exactly(steps: int) -> None:
    env, other = environments(), environments(seed=5)
    env.reset()
    play(env, steps, np.random.default_rng(1))

    other.restore(env.state())

    np.testing.assert_array_equal(other.simulator.obs.tasks, env.simulator.obs.tasks)
    assert first_rows(other) == first_rows(env)
    after = play(env, 80, np.random.default_rng(2))
    np.testing.assert_array_equal(play(other, 80, np.random.default_rng(2)), after)


def test_a_state_of_another_number_of_environments_is_refused() -> None:
    env = environments(num_envs=2)
    env.reset()

    with pytest.raises(StateError, match="expected the state of 3 environments"):
        environments(num_envs=3).restore(env.state())


def test_a_group_has_the_same_windows_and_others_have_others() -> None:
    env = environments(num_envs=6, per_sequence=3)
    seen = set()
    for _ in range(4):
        env.reset()
        rows = first_rows(env)
        assert rows[0] == rows[1] == rows[2]
        assert rows[3] == rows[4] == rows[5]
        seen.update(rows)

    assert len(seen) >= 7


def test_paused_environments_stay_as_they_are_and_earn_nothing() -> None:
    env = environments(num_envs=2)
    env.reset()
    env.pause(np.array([True, False]))
    before = env.simulator.obs.tasks[0].copy()

    play_one = env.simulator.obs.action_mask.argmax(axis=1)
    env.step(play_one)

    np.testing.assert_array_equal(env.simulator.obs.tasks[0], before)
    assert env.rewards[0] == 0
    assert env.lengths.tolist() == [0, 1]
    env.begin(0)
    assert not env.simulator.paused[0]


def test_elapsed_time_adds_up_to_the_clock() -> None:
    env = environments(num_envs=3, episode_tasks=64)
    env.reset()
    passed, begun = np.zeros(3), env.clock_s()
    for _ in range(6):
        env.step(env.simulator.obs.action_mask.argmax(axis=1))
        assert not env.terminated.any()
        passed += env.elapsed_s

    assert (passed > 0).any()
    np.testing.assert_allclose(env.clock_s() - begun, passed, atol=1e-6)


@pytest.mark.parametrize("power", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("objective", ["bounded-slowdown", "wait"])
def test_rewards_telescope_to_the_objective_with_its_long_waits(
    objective: str, power: float
) -> None:
    """Returns are 1 - cost / cost of the reference, both from whole schedules."""
    env = environments(objective=objective, wait_weight=3.0, wait_power=power, slots=64)
    env.reset()
    windows, ends = first_rows(env), 0
    rule = rule_of("f4")
    while ends < 8:
        env.step(env.heuristic_actions(rule_of("sjf")))
        for b in np.flatnonzero(env.terminated).tolist():
            ours, theirs = (cost_of(env, windows[b], each) for each in (rule_of("sjf"), rule))
            assert env.simulator.mean_cost(b) == pytest.approx(ours, rel=1e-9)
            saved = (theirs - ours) / max(theirs, 1.0)
            assert env.returns[b] == pytest.approx(saved, rel=1e-6, abs=1e-9)
            env.begin(b)
            windows[b] = first_rows(env)[b]
            ends += 1


def cost_of(env: Environments, first_row: int, rule) -> float:
    """Mean cost of a heuristic's schedule of a window, from its waits."""
    window = env.episodes.workload.window(first_row, env.episodes.length)
    schedule = replay(window.tasks, window.run_us, window.cluster, rule)
    run_s = window.run_us / 1e6
    wait_s = (schedule.start_us - schedule.submit_us) / 1e6
    slowdown = np.maximum(1.0, (wait_s + run_s) / np.maximum(run_s, 10.0))
    cost = slowdown if env.config.objective == "bounded-slowdown" else wait_s
    return float((cost + 3.0 * (wait_s / 3600) ** env.config.wait_power).mean())


@pytest.mark.parametrize("order", ["saf", "f4"])
def test_a_teacher_that_backfills_schedules_as_it_does_by_itself(order: str) -> None:
    """Where the environment does not backfill, its starts are choices; nothing is saved or lost."""
    env = environments(reference=f"{order}+easy", backfill="none", slots=64, episode_tasks=64)
    env.reset()
    returns, differing = [], 0
    while len(returns) < 8:
        actions = env.heuristic_actions(rule_of(f"{order}+easy"))
        differing += int((actions != env.heuristic_actions(rule_of(order))).sum())
        env.step(actions)
        for b in np.flatnonzero(env.terminated).tolist():
            returns.append(env.returns[b])
            env.begin(b)

    assert returns == pytest.approx([0.0] * len(returns), abs=1e-9)
    assert differing > 0
