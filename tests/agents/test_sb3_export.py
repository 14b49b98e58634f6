"""What plain Stable-Baselines3 trained decides the same from a policy file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium.wrappers import FlattenObservation
from sb3_contrib import MaskablePPO
from stable_baselines3 import DQN, PPO, SAC
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from lepton_rl.agents.sb3_export import export_sb3
from lepton_rl.agents.sb3_policy import SchedulingPolicy
from lepton_rl.core.errors import ConfigError, StateError
from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.policies.artifact import CANDIDATES, INPUTS
from lepton_rl.policies.guard import GuardedPolicy
from lepton_rl.policies.learned import LearnedPolicy, load_policy
from lepton_rl.system import Scheduler
from tests.builders import Desk, batch_job
from tests.policies.desks import FALLBACK
from tests.trained import ENVIRONMENT, placing

PPO_SETTINGS = {"n_steps": 64, "batch_size": 32, "n_epochs": 2, "device": "cpu", "seed": 0}
DQN_SETTINGS = {"learning_starts": 16, "device": "cpu", "seed": 0}
CASES: dict[str, tuple[Any, Any, bool, dict[str, Any]]] = {
    "ppo": (PPO, "MultiInputPolicy", False, PPO_SETTINGS),
    "ppo-flat": (PPO, "MlpPolicy", True, PPO_SETTINGS),
    "dqn-flat": (DQN, "MlpPolicy", True, DQN_SETTINGS),
    "maskable": (MaskablePPO, "MultiInputPolicy", False, PPO_SETTINGS),
    "ours": (MaskablePPO, SchedulingPolicy, False, PPO_SETTINGS),
}


def make(*, flat: bool, **settings: Any) -> Any:
    env = gymnasium.make("lepton_rl/HPC-v0", config={**ENVIRONMENT, **settings})
    return FlattenObservation(env) if flat else env


def trained(case: str, **settings: Any) -> tuple[Any, Any]:
    algorithm, policy, flat, own = CASES[case]
    env = make(flat=flat, **settings)
    return algorithm(policy, env, **own).learn(128), env


def require_same_decisions(model: Any, env: Any, policy: LearnedPolicy) -> int:
    """In 150 decisions of the environment; returns how many were forbidden ones."""
    inner = env.unwrapped
    obs, _ = env.reset(seed=3)
    incidents, over = 0, False
    names = (*INPUTS, CANDIDATES) if policy.chooses_nodes else INPUTS
    for _ in range(150):
        if over:
            obs, _ = env.reset()
        masks = {"action_masks": inner.action_masks()} if isinstance(model, MaskablePPO) else {}
        action, _ = model.predict(obs, deterministic=True, **masks)
        mask = inner.action_masks()
        done = int(action) if mask[action] else int(mask.argmax())
        seen = dict(inner._seen) | {"action_mask": mask}
        logits = policy.artifact.logits(*(seen[name][None] for name in names))
        assert int(logits.argmax()) == done
        assert (logits[0, ~mask] == -np.inf).all()
        obs, _, over, _, info = env.step(action)
        incidents += info["incident"]
    return incidents


@pytest.mark.parametrize("case", CASES)
def test_the_file_decides_as_the_model_does(case: str, tmp_path: Path) -> None:
    model, env = trained(case)

    manifest = export_sb3(model, env, tmp_path / "p.onnx", name=case)

    policy = load_policy(tmp_path / "p.onnx")
    incidents = require_same_decisions(model, env, policy)
    assert (incidents > 0) == (case in ("ppo", "ppo-flat", "dqn-flat"))
    assert (manifest.slots, manifest.num_nodes) == ((None, None) if case == "ours" else (8, 1))
    assert manifest.training["algorithm"] == type(model).__name__
    assert json.loads(manifest.model_dump_json())["training"]["steps"] >= 128


def test_a_whole_schedule_of_the_real_system(tmp_path: Path) -> None:
    """More tasks are pending than the network has slots for."""
    model, env = trained("ppo")
    export_sb3(model, env, tmp_path / "p.onnx")
    workload = env.unwrapped.episodes.workload
    policy = load_policy(tmp_path / "p.onnx")
    guard = GuardedPolicy(policy, FALLBACK)
    system = Scheduler(workload.cluster, guard)
    system.submit_all(workload.window(0, 60))

    system.run()

    assert (system.schedule().end_us > 0).all()
    assert set(guard.counts()) <= {"policy-decided", "policy-late", "policy-benched"}
    assert policy.observed is not None
    assert policy.observed.tasks.shape[1] == 8


def test_a_policy_that_chooses_nodes(tmp_path: Path) -> None:
    model, env = trained("maskable", **placing())
    export_sb3(model, env, tmp_path / "p.onnx")

    require_same_decisions(model, env, load_policy(tmp_path / "p.onnx"))


def test_another_cluster_is_refused(tmp_path: Path) -> None:
    model, env = trained("ppo")
    export_sb3(model, env, tmp_path / "p.onnx")
    desk = Desk(Cluster((Node("a", {"cpu": 4}), Node("b", {"cpu": 4}))), [batch_job("t", 1, 10.0)])
    desk.submit("t")

    with pytest.raises(StateError, match="made for 1 nodes, the cluster has 2"):
        load_policy(tmp_path / "p.onnx").decide(desk.view)


def test_what_cannot_be_exported(tmp_path: Path) -> None:
    model, env = trained("ppo")
    pendulum = gymnasium.make("Pendulum-v1")
    normal = VecNormalize(DummyVecEnv([lambda: make(flat=True)]))
    refused = [
        (model, pendulum, "expected the scheduling environment"),
        (model, make(flat=False, slots=16), "does not take this environment's observations"),
        (SAC("MlpPolicy", pendulum, device="cpu"), env, "PPO, A2C, DQN or MaskablePPO"),
        (PPO("MlpPolicy", normal, device="cpu"), env, "VecNormalize"),
    ]
    for each, where, reason in refused:
        with pytest.raises(ConfigError, match=reason):
            export_sb3(each, where, tmp_path / "none.onnx")
    assert not list(tmp_path.iterdir())
