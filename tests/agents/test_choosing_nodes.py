"""Training an agent that names nodes too, from the warm start to the policy file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sb3_contrib import MaskablePPO

from lepton_rl.agents.config import ImitationConfig, PPOConfig, TrainConfig
from lepton_rl.agents.imitation import imitate
from lepton_rl.agents.sb3_policy import SchedulingPolicy
from lepton_rl.agents.training import Trained, train
from lepton_rl.core.intake import node_table
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.typical import typical_tasks
from lepton_rl.encoding.features import CANDIDATE_FEATURES
from lepton_rl.envs.episodes import load_workload
from lepton_rl.evaluate.learned import LearnedContender
from lepton_rl.policies.artifact import read_artifact
from lepton_rl.policies.learned import load_policy
from lepton_rl.policies.spec import rule_of
from lepton_rl.system import Scheduler
from tests.trained import TRAINING, placing, placing_network, vec_env


def config(network: str) -> TrainConfig:
    changes = {
        "environment": placing(),
        "reference": "fcfs,place=fgd",
        "imitation": {**TRAINING["imitation"], "teacher": "fcfs,place=fgd"},
        "ppo": {**TRAINING["ppo"], "network": network},
        "validation": {"windows": 3, "every": 128},
    }
    return TrainConfig.model_validate({**TRAINING, **changes})


@pytest.fixture(scope="module", params=["priority", "two-tower"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder: Path = tmp_path_factory.mktemp("placing") / request.param
    done = train(config(request.param), folder)
    assert done is not None
    return done


def test_a_run_ends_with_a_policy_that_chooses_nodes(trained: Trained) -> None:
    manifest = read_artifact(trained.policy_path).manifest
    assert trained.steps == TRAINING["total_steps"]
    assert manifest.choose_nodes
    assert manifest.candidate_features == CANDIDATE_FEATURES


def test_its_stored_sample_has_choices_of_both_kinds(trained: Trained) -> None:
    sample = read_artifact(trained.policy_path).manifest.sample
    nodes = sample.action_mask.values()[:, placing()["slots"] + 1 :].any(axis=1)
    assert 0 < nodes.sum() < len(nodes)


def test_it_schedules_in_the_system_as_in_the_simulator(trained: Trained) -> None:
    policy = load_policy(trained.policy_path)
    work = load_workload(config("priority").environment.workload).window(300, 60)
    typical = typical_tasks(work.tasks, node_table(work.cluster))
    system = Scheduler(work.cluster, policy, typical=typical)
    system.submit_all(work)
    system.run()
    compiled = LearnedContender("x", policy).schedule(work, work.cluster, Backfill.NONE)
    for name in ("start_us", "end_us", "nodes"):
        np.testing.assert_array_equal(getattr(system.schedule(), name), getattr(compiled, name))


def test_the_warm_start_learns_tasks_and_nodes() -> None:
    """By far most of a teacher's choices, where guessing finds two in five."""
    env, model = vec_env(8, **{**placing(), "slots": 16}), placing_network(hidden=(32, 32))
    teacher = rule_of("sjf,place=best-fit")
    settings = ImitationConfig(steps=250, epochs=10, batch_size=128)
    before = imitate(model, env, teacher, settings.model_copy(update={"epochs": 0}))
    torch.manual_seed(0)
    assert before < 0.6
    assert imitate(model, env, teacher, settings) > 0.85


def test_maskable_ppo_learns_with_it() -> None:
    env = vec_env(2, **placing())
    model = MaskablePPO(
        SchedulingPolicy, env, n_steps=16, batch_size=16, n_epochs=1, seed=0,
        policy_kwargs={"config": PPOConfig(hidden=(8,))}, device="cpu",
    )  # fmt: skip
    before = [each.clone() for each in model.policy.network.placer.parameters()]
    model.learn(64)
    after = model.policy.network.placer.parameters()
    assert any(not torch.equal(one, other) for one, other in zip(before, after, strict=True))
