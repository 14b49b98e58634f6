"""Explanations are checked on a network whose weights say what moves its choices."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from lepton_rl.core.errors import StateError
from lepton_rl.encoding.features import (
    CANDIDATE_FEATURES,
    CLUSTER_FEATURES,
    NODE_FEATURES,
    TASK_FEATURES,
)
from lepton_rl.encoding.observation import Observation, empty_observation
from lepton_rl.policies.explain import explain, explain_all
from lepton_rl.policies.learned import LearnedPolicy, load_policy
from tests.trained import (
    network,
    placing_network,
    placing_observations,
    placing_policy_file,
    random_policy_file,
    write_policy,
)


def observation(pending: int = 3) -> Observation:
    obs = empty_observation(1, 4, 2)
    rng = np.random.default_rng(0)
    obs.tasks[0, :pending] = rng.random((pending, len(TASK_FEATURES)))
    obs.nodes[:] = rng.random(obs.nodes.shape)
    obs.cluster[:] = rng.random(obs.cluster.shape)
    obs.action_mask[0, :pending] = True
    return obs


@pytest.fixture(scope="module")
def policy() -> LearnedPolicy:
    return load_policy(random_policy_file())


@pytest.fixture(scope="module")
def by_wait(tmp_path_factory: pytest.TempPathFactory) -> LearnedPolicy:
    """A network that looks at the waits of tasks and at nothing else."""
    model = network()
    first = next(m for m in model.modules() if isinstance(m, torch.nn.Linear))
    wait = TASK_FEATURES.index("wait")
    with torch.no_grad():
        kept = first.weight[:, wait].clone()
        first.weight.zero_()
        first.weight[:, wait] = 3 * kept
    folder = tmp_path_factory.mktemp("explain")
    return load_policy(write_policy(folder / "wait.onnx", model))


def test_every_feature_has_an_effect_strongest_first(policy: LearnedPolicy) -> None:
    effects = explain(policy, observation())
    names = {each.feature for each in effects}
    groups = {"task": TASK_FEATURES, "node": NODE_FEATURES, "cluster": CLUSTER_FEATURES}
    assert names == {f"{group}.{name}" for group, all_ in groups.items() for name in all_}
    sizes = [abs(each.effect) for each in effects]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 0


def test_only_what_the_network_looks_at_has_an_effect(by_wait: LearnedPolicy) -> None:
    first, *others = explain(by_wait, observation())
    assert first.feature == "task.wait"
    assert first.effect > 0
    assert all(abs(each.effect) < 1e-5 for each in others)


def test_the_effect_is_the_fall_of_the_margin(policy: LearnedPolicy) -> None:
    obs = observation()
    effect = explain_all(policy, obs)[TASK_FEATURES.index("area")].effect

    def margin(seen: Observation, chosen: int) -> float:
        logits = policy.artifact.logits(seen.tasks, seen.nodes, seen.cluster, seen.action_mask)[0]
        return float(logits[chosen] - np.delete(logits, chosen).max())

    logits = policy.artifact.logits(obs.tasks, obs.nodes, obs.cluster, obs.action_mask)[0]
    chosen = int(np.argmax(logits))
    before = margin(obs, chosen)
    column = obs.tasks[0, :3, TASK_FEATURES.index("area")]
    column[:] = column.mean()
    assert effect == pytest.approx(before - margin(obs, chosen), abs=1e-5)


def test_the_observation_is_left_as_it_was(policy: LearnedPolicy) -> None:
    obs = observation()
    before = [each.copy() for each in obs]
    explain(policy, obs)
    assert all(np.array_equal(old, new) for old, new in zip(before, obs, strict=True))


def test_without_a_choice_there_is_nothing_to_explain(policy: LearnedPolicy) -> None:
    with pytest.raises(StateError, match="at least two allowed actions"):
        explain(policy, observation(pending=1))


def test_a_copy_in_another_process_is_the_same_policy(policy: LearnedPolicy) -> None:
    import pickle  # as multiprocessing does

    copy = pickle.loads(pickle.dumps(policy))
    assert copy.artifact.sha256 == policy.artifact.sha256
    assert (copy.name, copy.place, copy.backfill) == (policy.name, policy.place, policy.backfill)


def placing_observation(*, of_nodes: bool) -> Observation:
    """One of an agent that chooses nodes too: while it does, or while it chooses a task."""
    rows = placing_observations()
    slots, nodes = rows["tasks"].shape[1], rows["nodes"].shape[1]
    offered = rows["action_mask"][:, slots + 1 :] if of_nodes else rows["action_mask"][:, :slots]
    row = int(np.flatnonzero(offered.sum(axis=1) > 1)[0])
    obs = empty_observation(1, slots, nodes, chooses_nodes=True)
    for name, values in rows.items():
        getattr(obs, name)[0] = values[row]
    return obs


def test_a_choice_of_nodes_is_explained_by_candidates_too() -> None:
    policy = load_policy(placing_policy_file())
    of_task = {each.feature for each in explain(policy, placing_observation(of_nodes=False))}
    of_node = {each.feature for each in explain(policy, placing_observation(of_nodes=True))}
    assert of_node - of_task == {f"candidate.{name}" for name in CANDIDATE_FEATURES}


def test_what_moved_a_choice_of_nodes_is_found(tmp_path: Path) -> None:
    """A network that looks at what is left over and at nothing else."""
    model = placing_network()
    assert model.placer is not None
    first, column = model.placer[0], len(NODE_FEATURES) + CANDIDATE_FEATURES.index("left_over")
    with torch.no_grad():
        kept = first.weight[:, column].clone()
        first.weight.zero_()
        first.weight[:, column] = 3 * kept
    policy = load_policy(write_policy(tmp_path / "p.onnx", model, placing_observations()))
    first_effect, *others = explain(policy, placing_observation(of_nodes=True))
    assert first_effect.feature == "candidate.left_over"
    assert first_effect.effect > 0
    assert all(abs(each.effect) < 1e-5 for each in others)
