"""What every environment id owes Gymnasium and its users.

A new environment joins by being in `lepton_rl.envs.ENVIRONMENTS`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.vector import AutoresetMode, SyncVectorEnv, VectorEnv
from gymnasium.wrappers.vector import DictInfoToList

from lepton_rl.core.errors import ConfigError, InfeasibleDecisionError, StateError
from lepton_rl.encoding.picture import HEIGHT, WIDTH
from lepton_rl.envs import ENVIRONMENTS, register_all
from lepton_rl.envs.config import EnvironmentConfig
from lepton_rl.envs.episodes import Episodes
from lepton_rl.envs.single import SchedulingEnv
from lepton_rl.envs.vector import SchedulingVectorEnv

FIRST = next(iter(ENVIRONMENTS))
every_id = pytest.mark.parametrize("name", ENVIRONMENTS)
SHORT = {"episode_tasks": 24, "slots": 8}
"""Episodes that end soon, in which more may be pending than the window shows."""
Step = tuple[dict[str, Any], float, bool, dict[str, Any]]
Build = Callable[..., SchedulingEnv | SchedulingVectorEnv]


@cache
def episodes_of(name: str) -> Episodes:
    """Windows of the id's own workload, which is read once for all tests."""
    return Episodes.of(EnvironmentConfig.of(ENVIRONMENTS[name], SHORT))


def make(name: str, **settings: Any) -> SchedulingEnv:
    return SchedulingEnv(ENVIRONMENTS[name], episodes=episodes_of(name), **{**SHORT, **settings})


def make_vector(name: str, num_envs: int = 3, **settings: Any) -> SchedulingVectorEnv:
    return SchedulingVectorEnv(
        num_envs, ENVIRONMENTS[name], episodes=episodes_of(name), **{**SHORT, **settings}
    )


either = pytest.mark.parametrize("build", [make, make_vector])


def zeros(env: SchedulingEnv | SchedulingVectorEnv) -> Any:
    """The first slot everywhere."""
    return np.zeros(env.num_envs, np.int64) if isinstance(env, VectorEnv) else np.int64(0)


def some_action(env: SchedulingEnv, rng: np.random.Generator) -> np.int64:
    """A random action that the mask allows."""
    return np.int64(rng.choice(np.flatnonzero(env.action_masks())))


def some_actions(env: SchedulingVectorEnv, rng: np.random.Generator) -> np.ndarray:
    """Random actions that the masks allow; 0 where nothing is left to choose."""
    masks = env.action_masks()
    return np.array([rng.choice(np.flatnonzero(mask)) if mask.any() else 0 for mask in masks])


def rollout(env: SchedulingEnv, seed: int | None, steps: int = 200) -> Iterator[Step]:
    """Observation, reward, end and info of `steps` random steps over several episodes."""
    rng = np.random.default_rng(1)
    obs, info = env.reset(seed=seed)
    yield obs, 0.0, False, info
    for _ in range(steps):
        obs, reward, terminated, truncated, info = env.step(some_action(env, rng))
        assert truncated is False
        yield obs, reward, terminated, info
        if terminated:
            obs, info = env.reset()
            yield obs, 0.0, False, info


def require_equal(one: Any, other: Any) -> None:
    """Equal to the last bit, and of the same types."""
    assert data_equivalence(one, other, exact=True)


# --- Gymnasium -----------------------------------------------------------------------------------


@every_id
def test_gymnasium_finds_nothing_to_object_to(name: str) -> None:
    """Warnings are errors in all tests."""
    env = gymnasium.make(f"lepton_rl.envs:{name}", **SHORT)

    assert isinstance(env.unwrapped, SchedulingEnv)
    check_env(env.unwrapped)


@every_id
def test_it_can_be_made_one_by_one_or_many_at_once(name: str) -> None:
    single = gymnasium.make(name, **SHORT)
    assert single.observation_space["tasks"].shape[0] == SHORT["slots"]
    for mode in (None, "vector_entry_point"):
        many = gymnasium.make_vec(f"lepton_rl.envs:{name}", 2, vectorization_mode=mode, **SHORT)
        assert isinstance(many, SchedulingVectorEnv)
        assert many.single_observation_space == single.observation_space
        assert many.single_action_space == single.action_space
        assert many.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
        obs, _ = many.reset(seed=0)
        assert many.observation_space.contains(obs)
        many.close()


def test_naming_the_package_in_the_id_is_all_it_takes() -> None:
    code = f"import gymnasium; print(gymnasium.make('lepton_rl.envs:{FIRST}').reset()[1])"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True
    )

    assert "action_mask" in done.stdout


def test_registering_again_changes_nothing() -> None:
    before = dict(gymnasium.registry)
    register_all()

    assert dict(gymnasium.registry) == before


# --- trajectories --------------------------------------------------------------------------------


@every_id
def test_the_same_seed_gives_the_same_trajectory(name: str) -> None:
    """Two environments and two rollouts of one, all bits of everything they return."""
    twin, env = make(name), make(name)
    expected = list(rollout(twin, 7))

    for _ in range(2):
        for one, other in zip(expected, rollout(env, 7), strict=True):
            require_equal(one, other)


@every_id
def test_another_seed_gives_another_trajectory(name: str) -> None:
    env = make(name)
    seen = [
        tuple((reward, obs["tasks"].tobytes()) for obs, reward, _, _ in rollout(env, seed, 40))
        for seed in range(5)
    ]

    assert len(set(seen)) == 5


@every_id
def test_episodes_without_a_seed_differ(name: str) -> None:
    env = make(name)
    first_rows = set()
    for _ in range(20):
        env.reset()
        first_rows.add(int(env.simulator.sim.state.status["first_row"][0]))

    assert len(first_rows) > 10
    split = env.episodes.split
    assert all(split.first <= row <= split.last - SHORT["episode_tasks"] + 1 for row in first_rows)


@every_id
@pytest.mark.parametrize("may_wait", [False, True])
def test_all_that_comes_back_is_as_declared(name: str, may_wait: bool) -> None:
    env = make(name, may_wait=may_wait)
    ends = 0
    for obs, reward, terminated, info in rollout(env, 3):
        assert env.observation_space.contains(obs)
        assert type(reward) is float
        assert type(terminated) is bool
        assert np.isfinite(reward)
        assert np.array_equal(info["action_mask"], obs["action_mask"])
        assert info["action_mask"] is not obs["action_mask"]
        assert ("metric" in info) == terminated
        assert info.get("incident", False) is False
        assert obs["action_mask"].any() != terminated, "at the end nothing is left to choose"
        ends += terminated
    assert ends >= 2


@every_id
def test_masks_agree_and_fit_the_space(name: str) -> None:
    env = make(name)
    obs, info = env.reset(seed=5)
    for _ in range(20):
        masks = env.action_masks()
        assert masks.dtype == np.bool_
        assert masks.tolist() == obs["action_mask"].tolist() == info["action_mask"].tolist()
        action = env.action_space.sample(info["action_mask"])
        assert masks[action]
        obs, _, terminated, _, info = env.step(action)
        if terminated:
            break


@every_id
def test_what_was_returned_is_never_written_again(name: str) -> None:
    env = make(name)
    seen = [
        (obs, info, {key: values.copy() for key, values in obs.items()})
        for obs, _, _, info in rollout(env, 2, 60)
    ]
    for obs, info, copies in seen:
        require_equal(obs, copies)
        assert np.array_equal(info["action_mask"], copies["action_mask"])


@every_id
@pytest.mark.parametrize("objective", ["bounded-slowdown", "wait", "turnaround"])
def test_an_episode_ends_and_its_rewards_add_up_to_the_metric(name: str, objective: str) -> None:
    env, rng = make(name, objective=objective), np.random.default_rng(0)
    env.reset(seed=1)
    total, terminated, info, steps = 0.0, False, dict[str, Any](), 0
    while not terminated:
        _, reward, terminated, _, info = env.step(some_action(env, rng))
        total += reward
        steps += 1
        assert steps <= 3 * SHORT["episode_tasks"], "each step is a start, an arrival or an end"

    assert total == pytest.approx(-info["metric"], rel=1e-9, abs=1e-9)


# --- wrong use -----------------------------------------------------------------------------------


@every_id
@pytest.mark.parametrize("action", [SHORT["slots"], SHORT["slots"] + 1, -1, 10**12])
def test_a_masked_action_is_an_incident(name: str, action: int) -> None:
    """The oldest pending task is taken instead, as if it had been named."""
    env, twin = make(name), make(name)
    env.reset(seed=4)
    twin.reset(seed=4)
    *rest, info = env.step(np.int64(action))
    *expected, twin_info = twin.step(np.int64(0))

    require_equal(tuple(rest), tuple(expected))
    assert (info["incident"], twin_info["incident"]) == (True, False)


@every_id
def test_with_strict_it_raises_and_nothing_moves(name: str) -> None:
    env, twin = make(name, strict=True), make(name, strict=True)
    for each in (env, twin):
        each.reset(seed=4)
    with pytest.raises(InfeasibleDecisionError, match="is masked"):
        env.step(np.int64(SHORT["slots"]))

    require_equal(env.step(np.int64(0)), twin.step(np.int64(0)))


@pytest.mark.parametrize("action", [0.5, "0", None, [0], True], ids=str)
def test_an_action_is_a_whole_number(action: Any) -> None:
    env = make(FIRST)
    env.reset()
    with pytest.raises(ConfigError, match="expected 1 whole numbers"):
        env.step(action)


@either
@pytest.mark.parametrize("strict", [False, True])
def test_a_step_without_an_episode_is_an_error(build: Build, strict: bool) -> None:
    env = build(FIRST, strict=strict)
    with pytest.raises(StateError, match="call reset before step"):
        env.step(zeros(env))


@every_id
@pytest.mark.parametrize("may_wait", [False, True])
def test_so_is_one_after_the_end(name: str, may_wait: bool) -> None:
    env, rng = make(name, may_wait=may_wait), np.random.default_rng(0)
    env.reset(seed=0)
    while not env.step(some_action(env, rng))[2]:
        pass
    for action in (0, SHORT["slots"]):
        with pytest.raises(StateError, match="call reset before step"):
            env.step(np.int64(action))
    env.reset()
    env.step(np.int64(0))


@either
def test_a_closed_environment_stays_closed(build: Build) -> None:
    env = build(FIRST)
    env.reset()
    env.close()
    env.close()

    with pytest.raises(StateError, match="closed"):
        env.reset()
    with pytest.raises(StateError, match="closed"):
        env.step(zeros(env))


LAST = len(episodes_of(FIRST).workload) - SHORT["episode_tasks"]
BAD_OPTIONS: list[tuple[Any, str]] = [
    ({"firstrow": 1}, "unknown key 'firstrow'; did you mean 'first_row'"),
    ({"reset_mask": np.array([True])}, "unknown key 'reset_mask'"),
    ({"first_row": -1}, rf"first_row must be a task in 0\.\.{LAST}, .*got -1"),
    ({"first_row": LAST + 1}, rf"first_row must be a task in 0\.\.{LAST}, .*got {LAST + 1}"),
    ({"first_row": "5"}, "got '5'"),
    ({"first_row": 5.0}, r"got 5\.0"),
    ({"first_row": True}, "got True"),
    ({"first_row": [1, 2]}, r"got \[1, 2\]"),
    ([("first_row", 1)], "expected a mapping"),
]


@either
@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS, ids=[str(o) for o, _ in BAD_OPTIONS])
def test_bad_reset_options_are_refused(build: Build, options: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=f"^reset options: .*{message}"):
        build(FIRST).reset(options=options)


@every_id
def test_an_episode_may_begin_at_a_given_task(name: str) -> None:
    env = make(name)
    for row in (0, LAST, np.int64(7)):  # in any split
        env.reset(options={"first_row": row})
        assert env.simulator.sim.state.status["first_row"][0] == row


@either
@pytest.mark.parametrize("mode", ["human", 3])
def test_unknown_render_modes_are_refused(build: Build, mode: Any) -> None:
    with pytest.raises(ConfigError, match=r"render_mode must be None( or rgb_array)?, got"):
        build(FIRST, render_mode=mode)


@every_id
def test_one_environment_draws_itself(name: str) -> None:
    env = gymnasium.make(name, render_mode="rgb_array").unwrapped
    _, info = env.reset(seed=1)
    first = env.render()
    assert isinstance(first, np.ndarray)
    assert (first.shape, first.dtype) == ((HEIGHT, WIDTH, 3), np.uint8)
    for _ in range(20):
        *_, info = env.step(np.flatnonzero(info["action_mask"])[0])
    later = env.render()
    assert isinstance(later, np.ndarray)
    assert (first != later).any()
    assert gymnasium.make(name).unwrapped.metadata["render_modes"] == ["rgb_array"]


# --- many at once --------------------------------------------------------------------------------


@every_id
@pytest.mark.parametrize("mode", [AutoresetMode.SAME_STEP, AutoresetMode.NEXT_STEP])
@pytest.mark.parametrize("seed", [11, [5, None, 5, 8]], ids=["one seed", "a list"])
def test_many_at_once_are_as_many_single_ones(name: str, seed: Any, mode: AutoresetMode) -> None:
    """Step by step over several episodes, with incidents, to the last key of `info`.

    Where a list has no seed for an environment, its generator goes on from the seed before.
    """
    batch = make_vector(name, 4, autoreset_mode=mode)
    singles = SyncVectorEnv([lambda: make(name)] * 4, autoreset_mode=mode)
    ours, theirs = DictInfoToList(batch), DictInfoToList(singles)
    for each in (ours, theirs):
        each.reset(seed=23)
    require_equal(ours.reset(seed=seed), theirs.reset(seed=seed))
    rng, ended = np.random.default_rng(9), np.zeros(4, np.int64)
    while ended.min() < 2:
        actions = some_actions(batch, rng)
        actions[rng.random(4) < 0.1] = SHORT["slots"]  # masked
        got, expected = ours.step(actions), theirs.step(actions)
        for one, other in zip((*got[:4], *got[4]), (*expected[:4], *expected[4]), strict=True):
            require_equal(one, other)
        ended += got[2]


@every_id
def test_without_autoreset_who_has_ended_begins_when_told(name: str) -> None:
    """The others go on as if nothing had happened; as `SyncVectorEnv` does it."""
    mode = AutoresetMode.DISABLED
    batch = make_vector(name, 4, autoreset_mode=mode)
    singles = SyncVectorEnv([lambda: make(name)] * 4, autoreset_mode=mode)
    ours, theirs = DictInfoToList(batch), DictInfoToList(singles)
    require_equal(ours.reset(seed=3), theirs.reset(seed=3))
    rng, resets = np.random.default_rng(2), 0
    while resets < 6:
        actions = some_actions(batch, rng)
        got, expected = ours.step(actions), theirs.step(actions)
        for one, other in zip((*got[:4], *got[4]), (*expected[:4], *expected[4]), strict=True):
            require_equal(one, other)
        if got[2].any():
            with pytest.raises(StateError, match="call reset before step"):
                batch.step(np.zeros(4, np.int64))
            resets += int(got[2].sum())
            again = [each.reset(options={"reset_mask": got[2].copy()}) for each in (ours, theirs)]
            require_equal(again[0][0], again[1][0])


@pytest.mark.parametrize("mask", [[True] * 3, np.ones(2, bool), np.zeros(3, bool), np.ones(3)])
def test_a_reset_mask_names_some_environments(mask: Any) -> None:
    env = make_vector(FIRST, 3, autoreset_mode="disabled")
    env.reset()
    with pytest.raises(ConfigError, match="reset_mask must be an array of 3 bools"):
        env.reset(options={"reset_mask": mask})


def test_an_unknown_autoreset_mode_is_refused() -> None:
    with pytest.raises(ConfigError, match="next-step, same-step, disabled, got 'never'"):
        make_vector(FIRST, 2, autoreset_mode="never")


@every_id
@pytest.mark.parametrize("mode", AutoresetMode)
def test_the_mode_can_be_chosen_when_it_is_made(name: str, mode: AutoresetMode) -> None:
    env = gymnasium.make_vec(name, 2, autoreset_mode=mode, **SHORT)

    assert env.metadata["autoreset_mode"] is mode
    env.close()


@every_id
def test_threads_change_nothing(name: str) -> None:
    """Both numbers of environments leave slices of unlike length; all bits are compared."""
    for num_envs in (130, 201):
        one, two = (make_vector(name, num_envs, num_threads=count) for count in (1, 2))
        require_equal(one.reset(seed=1), two.reset(seed=1))
        rng = np.random.default_rng(0)
        for _ in range(40):
            actions = some_actions(one, rng)
            require_equal(one.step(actions), two.step(actions))
        two.close()


@every_id
def test_the_last_observation_and_info_of_an_episode_are_kept(name: str) -> None:
    env = make_vector(name, 2)
    env.reset(seed=0)
    ended = np.zeros(2, np.bool_)
    while not ended.any():
        obs, _, ended, truncated, info = env.step(env.action_masks().argmax(axis=1))
        assert not truncated.any()
        assert env.observation_space.contains(obs)
        assert obs["action_mask"].any(axis=1).all(), "who had ended has begun again"
        assert ("final_obs" in info) == ("final_info" in info) == ended.any()
    for b, last in enumerate(info["final_obs"]):
        assert (last is None) != ended[b]
        if ended[b]:
            assert env.single_observation_space.contains(last)
            assert not last["action_mask"].any()
            least = 1 if env.config.objective == "bounded-slowdown" else 0
            assert info["final_info"]["metric"][b] >= least
    for mask in (info["_final_obs"], info["_final_info"], info["final_info"]["_metric"]):
        assert mask.tolist() == ended.tolist()


@every_id
@pytest.mark.parametrize("seed", [None, 3])
def test_environments_side_by_side_differ(name: str, seed: int | None) -> None:
    obs, _ = make_vector(name, 8).reset(seed=seed)

    assert len({each.tobytes() for each in obs["tasks"]}) > 1


@every_id
def test_each_may_begin_at_its_own_task(name: str) -> None:
    env = make_vector(name, 3)
    for rows in ([5, 9, 7], (1, 2, 3), np.array([4, 4, 6])):
        env.reset(options={"first_row": rows})
        assert env.simulator.sim.state.status["first_row"].tolist() == list(rows)
    env.reset(options={"first_row": 8})
    assert env.simulator.sim.state.status["first_row"].tolist() == [8, 8, 8]


@pytest.mark.parametrize("seed", [[1, 2], [1, 2, 3, 4], "123", 1.5, [1, 2, 0.5]], ids=str)
def test_seeds_are_one_or_one_an_environment(seed: Any) -> None:
    with pytest.raises(ConfigError, match="expected a seed or 3 of them"):
        make_vector(FIRST, 3).reset(seed=seed)


def test_a_seed_of_numpy_is_as_good() -> None:
    one, other = make_vector(FIRST), make_vector(FIRST)

    require_equal(one.reset(seed=5), other.reset(seed=np.int64(5)))  # type: ignore[arg-type]


@pytest.mark.parametrize("num_envs", [0, -1])
def test_there_is_at_least_one(num_envs: int) -> None:
    with pytest.raises(ConfigError, match="batch >= 1"):
        make_vector(FIRST, num_envs)


@every_id
def test_with_strict_a_masked_action_of_one_moves_nobody(name: str) -> None:
    env, twin = make_vector(name, strict=True), make_vector(name, strict=True)
    for each in (env, twin):
        each.reset(seed=4)
    with pytest.raises(InfeasibleDecisionError, match="environment 2: action 8 is masked"):
        env.step(np.array([0, 0, SHORT["slots"]]))

    require_equal(env.step(zeros(env)), twin.step(zeros(twin)))
