"""SchedulingPolicy: the masked distribution against hand-computed numbers, and its life in SB3."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from gymnasium import spaces
from torch import Tensor

from lepton_rl.agents.config import PPOConfig
from lepton_rl.agents.sb3_policy import SchedulingPolicy
from lepton_rl.agents.vec_env import SchedulingVecEnv
from lepton_rl.core.errors import InfeasibleDecisionError, StateError
from tests.trained import vec_env

SLOTS = 3


def space(slots: int = SLOTS) -> spaces.Dict:
    def box(*shape: int) -> spaces.Box:
        return spaces.Box(-4.0, 4.0, shape, np.float32)

    mask = spaces.Box(0, 1, (slots + 1,), np.int8)
    return spaces.Dict(tasks=box(slots, 1), nodes=box(2, 1), cluster=box(1), action_mask=mask)


def hand_made(*, wait: float = 0.0) -> SchedulingPolicy:
    """A policy whose logits are the tasks' only feature, and `wait` for waiting."""
    made = SchedulingPolicy(
        space(), spaces.Discrete(SLOTS + 1), lambda _: 1e-3, config=PPOConfig(hidden=(1,))
    )
    for parameter in made.network.parameters():
        torch.nn.init.zeros_(parameter)
    with torch.no_grad():
        first, last = made.network.scorer[0], made.network.scorer[-1]
        first.weight[0, 0], last.weight[0, 0] = 1.0, 1.0  # relu(x): features below are >= 0
        made.network.waiter[-1].bias[0] = wait
    return made


def observation(logits: list[float], mask: list[int]) -> dict[str, Tensor]:
    return {
        "tasks": torch.tensor(logits).reshape(1, SLOTS, 1),
        "nodes": torch.zeros(1, 2, 1),
        "cluster": torch.zeros(1, 1),
        "action_mask": torch.tensor([mask], dtype=torch.int8),
    }


# Odds 2 : 3 between the first two slots: probabilities 0.4 and 0.6.
TWO = observation([math.log(2), math.log(3), 3.0], [1, 1, 0, 0])


def test_masked_log_probabilities_and_entropy_by_hand() -> None:
    policy = hand_made()

    values, log_prob, entropy = policy.evaluate_actions(TWO, torch.tensor([1]))

    assert values.shape == (1, 1)
    assert log_prob.item() == pytest.approx(math.log(0.6))
    assert entropy is not None
    assert entropy.item() == pytest.approx(-0.4 * math.log(0.4) - 0.6 * math.log(0.6))
    assert policy.get_distribution(TWO).distribution.probs.tolist() == [
        pytest.approx([0.4, 0.6, 0, 0])
    ]


def test_waiting_takes_part_where_the_mask_offers_it() -> None:
    obs = observation([math.log(2), math.log(3), 3.0], [1, 1, 0, 1])
    policy = hand_made(wait=math.log(5))

    _, log_prob, entropy = policy.evaluate_actions(obs, torch.tensor([SLOTS]))

    assert log_prob.item() == pytest.approx(math.log(0.5))
    assert entropy is not None
    assert entropy.item() == pytest.approx(-sum(p * math.log(p) for p in (0.2, 0.3, 0.5)))


def test_one_choice_is_certain() -> None:
    obs = observation([1.0, 2.0, 3.0], [0, 0, 1, 0])

    _, log_prob, entropy = hand_made().evaluate_actions(obs, torch.tensor([2]))

    assert log_prob.item() == 0
    assert entropy is not None
    assert entropy.item() == 0


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_a_mask_given_beside_the_observation_replaces_its_own(kind: type) -> None:
    mask = kind(np.array([[True, False, False, False]]))

    _, log_prob, _ = hand_made().evaluate_actions(TWO, torch.tensor([0]), mask)

    assert log_prob.item() == 0


def test_deterministic_is_the_first_of_the_most_probable() -> None:
    policy = hand_made()
    actions, values, log_prob = policy(TWO, deterministic=True)

    assert actions.tolist() == [1]
    assert values.shape == (1, 1)
    assert log_prob.item() == pytest.approx(math.log(0.6))
    tied = observation([2.0, 2.0, 3.0], [1, 1, 0, 0])
    assert policy(tied, deterministic=True)[0].tolist() == [0]


def test_samples_follow_the_probabilities_and_never_the_forbidden() -> None:
    torch.manual_seed(0)
    many = {name: values.expand(20_000, *values.shape[1:]) for name, values in TWO.items()}

    actions, _, log_prob = hand_made()(many)

    counts = torch.bincount(actions, minlength=SLOTS + 1)
    assert counts[2:].tolist() == [0, 0]
    assert counts[1].item() / 20_000 == pytest.approx(0.6, abs=4 * math.sqrt(0.24 / 20_000))
    assert log_prob.exp().unique().tolist() == pytest.approx([0.4, 0.6])


@pytest.mark.parametrize("how", ["forward", "evaluate_actions", "get_distribution"])
def test_a_mask_that_forbids_everything_is_refused(how: str) -> None:
    obs = observation([1.0, 2.0, 3.0], [0, 0, 0, 0])
    policy = hand_made()
    more = (torch.tensor([0]),) if how == "evaluate_actions" else ()

    with pytest.raises(InfeasibleDecisionError, match="forbids all"):
        getattr(policy, how)(obs, *more)


def test_the_value_of_an_observation_without_a_choice_is_known() -> None:
    assert hand_made().predict_values(observation([1.0, 2.0, 3.0], [0, 0, 0, 0])).shape == (1, 1)


def test_outputs_that_are_not_finite_are_a_clear_error() -> None:
    policy = hand_made(wait=math.nan)

    with pytest.raises(StateError, match=r"diverged.*ppo\.learning_rate"):
        policy(TWO)


@pytest.fixture(scope="module")
def env() -> SchedulingVecEnv:
    return vec_env()


def random_policy(env: SchedulingVecEnv) -> SchedulingPolicy:
    torch.manual_seed(0)
    return SchedulingPolicy(
        env.observation_space, env.action_space, lambda _: 1e-3, config=PPOConfig(hidden=(12, 6))
    )


def test_predict_stays_within_the_mask_and_is_greedy_when_asked(env: SchedulingVecEnv) -> None:
    policy = random_policy(env)
    obs = env.reset()
    assert isinstance(obs, dict)
    for _ in range(30):
        masks = env.action_masks()
        actions, state = policy.predict(obs, action_masks=masks)
        greedy, _ = policy.predict(obs, deterministic=True)  # the observation has the mask too

        assert state is None
        assert masks[np.arange(env.num_envs), actions].all()
        assert masks[np.arange(env.num_envs), greedy].all()
        tensors, _ = policy.obs_to_tensor(obs)
        logits = policy.network(*(tensors[name] for name in ("tasks", "nodes", "cluster")))
        best = logits.detach().numpy()
        assert (np.where(masks, best, -np.inf).argmax(axis=1) == greedy).all()
        env.step_async(greedy)
        obs = env.step_wait()[0]
        assert isinstance(obs, dict)


def test_it_is_built_again_from_a_file(env: SchedulingVecEnv, tmp_path: Path) -> None:
    policy = random_policy(env)
    policy.save(str(tmp_path / "policy.pt"))

    loaded = SchedulingPolicy.load(str(tmp_path / "policy.pt"), device="cpu")

    assert isinstance(loaded, SchedulingPolicy)
    assert loaded.config.hidden == (12, 6)
    obs, _ = policy.obs_to_tensor(env.reset())
    actions = torch.tensor([int(mask.argmax()) for mask in env.action_masks()])
    for ours, theirs in zip(
        policy.evaluate_actions(obs, actions), loaded.evaluate_actions(obs, actions), strict=True
    ):
        assert torch.equal(ours, theirs)


def test_constructor_parameters_build_the_same_policy(env: SchedulingVecEnv) -> None:
    data = random_policy(env)._get_constructor_parameters()

    shapes = [p.shape for p in SchedulingPolicy(**data).parameters()]

    assert data["config"].hidden == (12, 6)
    assert shapes == [p.shape for p in random_policy(env).parameters()]


def test_the_optimiser_has_every_weight_of_the_network_once(env: SchedulingVecEnv) -> None:
    policy = random_policy(env)

    held = [p for group in policy.optimizer.param_groups for p in group["params"]]

    assert [id(p) for p in held] == [id(p) for p in policy.network.parameters()]
