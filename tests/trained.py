"""Small networks, environments and policy files, for tests of agents, policies and commands."""

from __future__ import annotations

import atexit
import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch

from lepton_rl.agents.export import export_policy
from lepton_rl.agents.networks import PriorityNetwork, SchedulingNetwork
from lepton_rl.agents.vec_env import SchedulingVecEnv
from lepton_rl.core.rules.dispatch import DispatchRule
from lepton_rl.encoding.features import (
    CANDIDATE_FEATURES,
    CLUSTER_FEATURES,
    NODE_FEATURES,
    TASK_FEATURES,
)
from lepton_rl.envs.config import EnvironmentConfig
from lepton_rl.envs.episodes import Episodes
from lepton_rl.policies.artifact import CHECKSUM_KEY, METADATA_KEY, seal
from lepton_rl.policies.spec import rule_of

torch.set_num_threads(1)  # as training does; more only fight for the cores of a test machine

WORKLOAD = {
    "source": "lublin",
    "processors": 32,
    "settings": {"classes": ["whole-sample"], "load": 0.9, "num_tasks": 600},
}
ENVIRONMENT = {"workload": WORKLOAD, "episode_tasks": 24, "slots": 8}
TRAINING: dict[str, Any] = {
    "name": "tiny",
    "device": "cpu",
    "total_steps": 256,
    "checkpoint_every": 128,
    "environment": ENVIRONMENT,
    "ppo": {"num_envs": 4, "rollout_steps": 16, "batch_size": 32, "epochs": 1, "hidden": [8]},
    "imitation": {"steps": 20, "epochs": 1},
    "validation": {"windows": 4, "every": 64},
    "test_windows": 3,
}
"""Settings of a training run that takes about a second."""


_NODES = (
    "sn,cpu_milli,memory_mib,gpu,model",
    "n0,64000,262144,2,P100",
    "n1,96000,393216,4,G2",
    "n2,96000,393216,4,G2",
    "n3,32000,131072,0,",
    "n4,48000,131072,1,T4",
)
_PODS = (
    "name,cpu_milli,memory_mib,num_gpu,gpu_milli,gpu_spec,qos,creation_time,deletion_time,"
    "scheduled_time"
)


@cache
def unlike_nodes() -> dict[str, Any]:
    """A workload on five unlike nodes, with shares of cards and device models; its settings."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    rng = np.random.default_rng(0)
    lines, now_s = [_PODS], 0
    for index in range(400):
        cards = int(rng.choice((0, 1, 1, 2, 4)))
        share = int(rng.choice((250, 500, 1000))) if cards == 1 else 1000 * (cards > 0)
        model = "G2" if cards > 1 and rng.random() < 0.3 else ""
        now_s += int(rng.integers(0, 30))
        cores, run_s = 1000 * int(rng.integers(1, 16)), int(rng.integers(5, 200))
        lines.append(
            f"p{index},{cores},4096,{cards},{share},{model},LS,{now_s},{now_s + run_s},{now_s}"
        )
    Path(folder.name, "nodes.csv").write_text("\n".join(_NODES), encoding="utf-8")
    pods = Path(folder.name, "pods.csv")
    pods.write_text("\n".join(lines), encoding="utf-8")
    return {"source": str(pods), "settings": {"nodes": "nodes.csv"}}


def placing() -> dict[str, Any]:
    """Settings of an environment in which the agent also chooses nodes."""
    return {
        "workload": unlike_nodes(), "episode_tasks": 24, "slots": 8, "choose_nodes": True,
        "objective": "turnaround",
    }  # fmt: skip


def placing_network(seed: int = 0, hidden: tuple[int, ...] = (8, 8)) -> PriorityNetwork:
    """As `network`, which chooses nodes too."""
    torch.manual_seed(seed)
    return PriorityNetwork(
        len(TASK_FEATURES),
        len(NODE_FEATURES),
        len(CLUSTER_FEATURES),
        hidden,
        len(CANDIDATE_FEATURES),
    )


def placing_observations(num_envs: int = 8) -> dict[str, Any]:
    """Observations in which a task is chosen, and others in which a node is."""
    env = vec_env(num_envs, **placing())
    seen = [dict(env.reset())]
    for _ in range(6):
        env.step_async(env.heuristic_actions(rule_of("fcfs")))
        seen.append(dict(env.step_wait()[0]))
    joined = {name: np.concatenate([each[name] for each in seen]) for name in seen[0]}
    return joined | {"action_mask": joined["action_mask"].astype(np.bool_)}


@cache
def placing_policy_file() -> Path:
    """A file with the policy of `placing_network()`."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    path = Path(folder.name) / "placing.onnx"
    return write_policy(path, placing_network(), placing_observations(), name="placing")


def vec_env(
    num_envs: int = 3, seed: int = 0, reference: DispatchRule | None = None, **settings: Any
) -> SchedulingVecEnv:
    """Environments over the small workload; `settings` are those of `EnvironmentConfig`."""
    config = EnvironmentConfig.model_validate({**ENVIRONMENT, **settings})
    return SchedulingVecEnv(config, Episodes.of(config), num_envs, seed, reference)


def network(seed: int = 0, hidden: tuple[int, ...] = (8, 8)) -> PriorityNetwork:
    """Random weights; its choices have nothing to do with any heuristic."""
    torch.manual_seed(seed)
    return PriorityNetwork(len(TASK_FEATURES), len(NODE_FEATURES), len(CLUSTER_FEATURES), hidden)


def write_policy(
    path: Path,
    model: SchedulingNetwork | None = None,
    observations: dict[str, Any] | None = None,
    **manifest: Any,
) -> Path:
    """Export a network (random by default) as a policy file."""
    facts = {
        "name": "random",
        "place": "first-fit",
        "backfill": "none",
        "may_wait": False,
        "resource_kinds": ("cpu",),
        "training": {"workload": "small", "steps": 0, "validation_metric": 1.0},
    }
    if observations is None:
        observations = dict(vec_env(num_envs=8).reset())
        observations["action_mask"] = observations["action_mask"].astype(np.bool_)
    export_policy(model or network(), observations, path, **{**facts, **manifest})
    return path


@cache
def random_policy_file() -> Path:
    """A file with the policy of `network()`; made once, removed when the tests end."""
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    return write_policy(Path(folder.name) / "Zufall 調度.onnx")


def reseal(policy: Path, target: Path, **changes: Any) -> Path:
    """A copy with other metadata and a right checksum; None removes a field."""
    model = onnx.load(policy)
    manifest = {**json.loads(metadata(model)[METADATA_KEY]), **changes}
    kept = {name: value for name, value in manifest.items() if value is not None}
    return write_sealed(model, target, {METADATA_KEY: json.dumps(kept)})


def write_sealed(model: onnx.ModelProto, target: Path, properties: dict[str, str]) -> Path:
    """Write a model with these metadata and a right checksum."""
    del model.metadata_props[:]
    for key, value in {**properties, "checksum": f"{CHECKSUM_KEY}={'0' * 64}"}.items():
        model.metadata_props.add(key=key, value=value)
    target.write_bytes(seal(model.SerializeToString()))
    return target


def metadata(model: onnx.ModelProto) -> dict[str, str]:
    return {each.key: each.value for each in model.metadata_props}
