"""SchedulingVecEnv keeps the contract of Stable-Baselines3's VecEnv; rewards telescope."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Any

import gymnasium
import numpy as np
import pytest
import torch
from sb3_contrib import MaskablePPO
from sb3_contrib.common.maskable.utils import get_action_masks, is_masking_supported
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import VecMonitor

from lepton_rl.agents.vec_env import SchedulingVecEnv
from lepton_rl.core.errors import InfeasibleDecisionError
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.rules.dispatch import DispatchRule
from lepton_rl.policies.registry import rule_of
from lepton_rl.sim.replay import replay
from tests.trained import ENVIRONMENT, vec_env

SLOTS = ENVIRONMENT["slots"]
LENGTH = ENVIRONMENT["episode_tasks"]


def first_allowed(env: SchedulingVecEnv) -> np.ndarray:
    return env.action_masks().argmax(axis=1)


def random_allowed(env: SchedulingVecEnv, rng: np.random.Generator) -> np.ndarray:
    return np.array([rng.choice(np.flatnonzero(mask)) for mask in env.action_masks()])


def rollout(env: SchedulingVecEnv, steps: int, seed: int = 0) -> Iterator[tuple[Any, ...]]:
    """Random allowed actions; observations, rewards, dones and infos of each step."""
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        yield env.step(random_allowed(env, rng))


def require_observation(env: SchedulingVecEnv, obs: Any) -> None:
    """A batch of the space: names, shapes, dtypes, ranges."""
    assert set(obs) == set(env.observation_space.spaces)
    for name, single in env.observation_space.spaces.items():
        assert obs[name].shape == (env.num_envs, *single.shape), name
        assert obs[name].dtype == single.dtype, name
    for b in range(env.num_envs):
        assert env.observation_space.contains({name: values[b] for name, values in obs.items()})


@pytest.mark.parametrize("num_envs", [1, 5])
def test_reset_and_steps_have_the_shapes_of_the_spaces(num_envs: int) -> None:
    env = vec_env(num_envs=num_envs, reference=rule_of("f4"))
    require_observation(env, env.reset())
    for _ in range(60):
        obs, rewards, dones, infos = env.step(first_allowed(env))

        require_observation(env, obs)
        assert rewards.shape == dones.shape == (num_envs,)
        assert rewards.dtype == np.float32
        assert dones.dtype == np.bool_
        assert isinstance(infos, list)
        assert [type(info) for info in infos] == [dict] * num_envs


def test_an_ended_episode_is_followed_by_the_next_at_once() -> None:
    env = vec_env(num_envs=4)
    env.reset()
    ended = np.zeros(4, int)
    since = np.zeros(4, int)
    for obs, _, dones, infos in rollout(env, 150):
        since += 1
        for b in np.flatnonzero(dones):
            last = {name: values[None] for name, values in infos[b]["terminal_observation"].items()}
            assert env.observation_space.contains({name: v[0] for name, v in last.items()})
            assert not last["action_mask"].any()  # nothing is left to decide
            assert obs["action_mask"][b].any()  # and the next episode has begun
            assert infos[b]["episode"]["l"] == since[b]
            assert infos[b]["TimeLimit.truncated"] is False
            ended[b], since[b] = ended[b] + 1, 0
        assert all((info != {}) == done for info, done in zip(infos, dones, strict=True))

    assert (ended >= 2).all()


def test_observations_belong_to_the_caller() -> None:
    env = vec_env()
    first = env.reset()
    assert isinstance(first, dict)
    kept = {name: values.copy() for name, values in first.items()}
    mask = env.action_masks()
    mask_kept = mask.copy()

    deque(rollout(env, 20), maxlen=0)

    for name, values in first.items():
        np.testing.assert_array_equal(values, kept[name])
    np.testing.assert_array_equal(mask, mask_kept)


def test_infos_tell_return_and_length_of_the_episode() -> None:
    env = vec_env(num_envs=2, reference=rule_of("sjf"))
    env.reset()
    returns, lengths, seen = np.zeros(2), np.zeros(2, int), 0
    for _, rewards, dones, infos in rollout(env, 120):
        returns += rewards
        lengths += 1
        for b in np.flatnonzero(dones):
            assert infos[b]["episode"]["r"] == pytest.approx(returns[b], abs=1e-4)
            assert infos[b]["episode"]["l"] == lengths[b]
            returns[b], lengths[b], seen = 0.0, 0, seen + 1

    assert seen >= 4


@pytest.mark.parametrize("objective", ["bounded-slowdown", "turnaround", "wait"])
def test_without_a_reference_returns_are_minus_the_metric(objective: str) -> None:
    env = vec_env(num_envs=3, objective=objective)
    env.reset()
    ends = [info for _, _, _, infos in rollout(env, 120) for info in infos if info]

    assert len(ends) >= 6
    for info in ends:
        assert info["episode"]["r"] == pytest.approx(-info["metric"], rel=1e-9)


def reference_costs(env: SchedulingVecEnv, rule: DispatchRule, first_row: int) -> float:
    """Mean bounded slowdown of the reference on a window, from a replay of the whole schedule."""
    window = env.episodes.workload.window(first_row, LENGTH)
    schedule = replay(window.tasks, window.run_us, window.cluster, rule)
    run_s = window.run_us / 1e6
    wait_s = (schedule.start_us - schedule.submit_us) / 1e6
    return float(np.maximum(1.0, (wait_s + run_s) / np.maximum(run_s, 10.0)).mean())


@pytest.mark.parametrize("backfill", ["none", "easy"])
@pytest.mark.parametrize("order", ["fcfs", "f4"])
def test_with_a_reference_returns_are_the_share_of_its_cost_that_is_saved(
    order: str, backfill: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = rule_of(order)._replace(backfill=int(Backfill[backfill.upper()]))
    env = vec_env(num_envs=2, reference=rule, backfill=backfill)
    begun: list[int] = []
    draw = type(env.episodes).draw

    def recorded(episodes: Any, rng: np.random.Generator) -> int:
        begun.append(draw(episodes, rng))
        return begun[-1]

    monkeypatch.setattr(type(env.episodes), "draw", recorded)
    env.reset()
    windows, saved = list(begun), list[float]()
    for _, _, dones, infos in rollout(env, 120):
        began = iter(begun[-int(dones.sum()) :])
        for b in np.flatnonzero(dones):
            cost = reference_costs(env, rule, windows[b])
            saved.append(1 - infos[b]["metric"] / cost)
            assert infos[b]["episode"]["r"] == pytest.approx(saved[-1], rel=1e-6, abs=1e-9)
            windows[b] = next(began)

    assert len(saved) >= 6
    assert len(set(saved)) >= 4, "windows in which choices matter"


@pytest.mark.parametrize("order", ["fcfs", "f4", "sjf"])
def test_the_reference_itself_returns_zero(order: str) -> None:
    rule = rule_of(order)
    env = vec_env(num_envs=3, reference=rule, slots=64)
    env.reset()
    returns = []
    for _ in range(100):
        *_, infos = env.step(env.heuristic_actions(rule))
        returns += [info["episode"]["r"] for info in infos if info]

    assert len(returns) >= 6
    assert returns == pytest.approx([0.0] * len(returns), abs=1e-9)


def test_a_reference_under_which_nobody_waits_gives_finite_rewards() -> None:
    """Of a wait of 0 no share can be saved; the return is then minus the mean wait in s."""
    idle = {"classes": ["whole-sample"], "load": 0.01, "num_tasks": 600}
    workload = {"source": "lublin", "processors": 32, "settings": idle}
    env = vec_env(num_envs=4, reference=rule_of("fcfs"), objective="wait", workload=workload)
    env.reset()
    ends = [info for *_, infos in rollout(env, 150) for info in infos if info]

    assert ends
    assert min(info["metric"] for info in ends) == 0
    assert np.isfinite([info["episode"]["r"] for info in ends]).all()


def test_the_same_seed_gives_the_same_episodes() -> None:
    def play(env: SchedulingVecEnv) -> np.ndarray:
        return np.stack([step[1] for step in rollout(env, 60)])

    one, other, third = (vec_env(seed=seed) for seed in (3, 3, 4))
    for env in (one, other, third):
        env.reset()
    first = play(one)

    np.testing.assert_array_equal(play(other), first)
    assert not np.array_equal(play(third), first)
    one.seed(3)
    one.reset()
    np.testing.assert_array_equal(play(one), first)
    one.reset()
    assert not np.array_equal(play(one), first), "only the reset after seed() is seeded"


def test_masks_and_attributes_as_sb3_contrib_asks_for_them() -> None:
    env = vec_env(num_envs=3)
    env.reset()

    assert is_masking_supported(env)
    masks = get_action_masks(env)
    assert masks.shape == (3, SLOTS + 1)
    assert masks.dtype == np.bool_
    np.testing.assert_array_equal(masks, env.action_masks())
    np.testing.assert_array_equal(env.env_method("action_masks", indices=[2, 0]), masks[[2, 0]])
    assert env.get_attr("num_envs") == [3, 3, 3]
    assert env.get_attr("render_mode", indices=1) == [None]
    assert env.env_is_wrapped(VecMonitor) == [False] * 3
    with pytest.raises(AttributeError):
        env.get_attr("no_such_thing")
    with pytest.raises(NotImplementedError):
        env.set_attr("render_mode", "rgb_array")
    env.close()


def test_the_mask_is_that_of_the_observation() -> None:
    env = vec_env(num_envs=3, may_wait=True)
    obs = env.reset()
    assert isinstance(obs, dict)
    np.testing.assert_array_equal(obs["action_mask"], env.action_masks())
    waits = 0
    for obs, *_ in rollout(env, 60):
        np.testing.assert_array_equal(obs["action_mask"], env.action_masks())
        waits += int(obs["action_mask"][:, SLOTS].sum())

    assert waits > 0


def test_a_forbidden_action_is_an_error_and_moves_nothing() -> None:
    env = vec_env(num_envs=2)
    env.reset()
    allowed = first_allowed(env)
    before = env.action_masks()
    forbidden = allowed.copy()
    forbidden[1] = SLOTS  # waiting is not offered

    with pytest.raises(InfeasibleDecisionError, match="environment 1"):
        env.step(forbidden)

    np.testing.assert_array_equal(env.action_masks(), before)
    env.step(allowed)


def test_sb3_can_wrap_it() -> None:
    env = VecMonitor(vec_env(num_envs=2))
    env.reset()
    for _ in range(60):
        *_, infos = env.step(get_action_masks(env).argmax(axis=1))
    assert env.episode_count >= 2
    assert infos


# Plain algorithms on the registered environment, as its users run them.


def registered() -> gymnasium.Env:
    return gymnasium.make("lepton_rl.envs:lepton_rl/HPC-v0", episode_tasks=16, slots=8)


def weights(model: Any) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.policy.parameters()])


@pytest.mark.parametrize("algorithm", [PPO, MaskablePPO])
def test_algorithms_with_their_own_networks_train_on_the_registered_environment(
    algorithm: type,
) -> None:
    model = algorithm(
        "MultiInputPolicy",
        registered(),
        n_steps=32,
        batch_size=32,
        n_epochs=1,
        seed=0,
        device="cpu",
    )
    before = weights(model)

    model.learn(64)

    assert model.num_timesteps == 64
    assert torch.isfinite(weights(model)).all()
    assert not torch.equal(weights(model), before)
