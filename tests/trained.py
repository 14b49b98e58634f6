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
from lepton_rl.agents.networks import PriorityNetwork
from lepton_rl.agents.vec_env import SchedulingVecEnv
from lepton_rl.core.rules.dispatch import DispatchRule
from lepton_rl.encoding.features import CLUSTER_FEATURES, NODE_FEATURES, TASK_FEATURES
from lepton_rl.envs.config import EnvironmentConfig
from lepton_rl.envs.episodes import Episodes
from lepton_rl.policies.artifact import CHECKSUM_KEY, METADATA_KEY, seal

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


def write_policy(path: Path, model: PriorityNetwork | None = None, **manifest: Any) -> Path:
    """Export a network (random by default) as a policy file."""
    env = vec_env(num_envs=8)
    facts = {
        "name": "random",
        "place": "first-fit",
        "backfill": "none",
        "may_wait": False,
        "resource_kinds": ("cpu",),
        "training": {"workload": "small", "steps": 0, "validation_metric": 1.0},
    }
    observations = dict(env.reset())
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
