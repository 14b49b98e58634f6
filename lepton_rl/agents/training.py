"""A training run: warm start, PPO, validation, export. Read it top to bottom."""

from __future__ import annotations

import itertools
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from sb3_contrib import MaskablePPO
from stable_baselines3.common.logger import configure
from stable_baselines3.common.utils import set_random_seed

from lepton_rl.agents.callbacks import (
    Best,
    Checkpoints,
    Progress,
    ProgressReport,
    Validation,
)
from lepton_rl.agents.checkpoint import load_checkpoint, newest_checkpoint
from lepton_rl.agents.config import TrainConfig
from lepton_rl.agents.export import export_policy
from lepton_rl.agents.imitation import imitate
from lepton_rl.agents.networks import PriorityNetwork
from lepton_rl.agents.sb3_policy import SchedulingPolicy
from lepton_rl.agents.validation import Validator
from lepton_rl.agents.vec_env import SchedulingVecEnv
from lepton_rl.core.errors import ConfigError
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.settings import load_settings, read_yaml
from lepton_rl.core.version import VERSION
from lepton_rl.encoding.features import CLUSTER_FEATURES, NODE_FEATURES, TASK_FEATURES
from lepton_rl.envs.episodes import Episodes, load_workload
from lepton_rl.policies.artifact import Manifest
from lepton_rl.policies.spec import rule_of
from lepton_rl.workloads.workload import Workload

__all__ = ["Trained", "choose_device", "export_checkpoint", "set_aside", "train"]

_RUN_FILES = (
    "config.yaml",
    "run.json",
    "checkpoints",
    "tensorboard",
    "policy.onnx",
    "evaluation.json",
    "evaluation.txt",
)


@dataclass(frozen=True, slots=True)
class Trained:
    """What a run leaves behind.

    Attributes:
        policy_path: the exported policy.
        manifest: what it says of itself.
        steps: decisions made.
        best_steps: decisions after which the exported weights were taken.
        best_metric: their metric on the validation windows.
        interrupted: stopped by Ctrl-C before `total_steps`.
    """

    policy_path: Path
    manifest: Manifest
    steps: int
    best_steps: int
    best_metric: float
    interrupted: bool


def choose_device(name: str) -> torch.device:
    """The device called `name`; auto takes a GPU where there is one.

    Raises:
        ConfigError: cuda was asked for and there is none.
    """
    present = torch.cuda.is_available()
    if name == "cuda" and not present:
        raise ConfigError("--device cuda: no CUDA device was found; use --device auto or cpu")
    return torch.device("cuda" if name != "cpu" and present else "cpu")


def train(
    config: TrainConfig,
    folder: Path,
    *,
    resume: bool = False,
    report: ProgressReport | None = None,
    workload: Workload | None = None,
) -> Trained:
    """Train, keep the weights that do best on the validation windows, export them.

    Ctrl-C ends training early; a checkpoint is written and the best weights so far are exported.

    Args:
        config: all settings; written to `folder/config.yaml`.
        folder: of the run; created. A new run wants one without an earlier run (`set_aside`).
        resume: go on from the newest checkpoint in `folder`, in the same environment.
        report: told the progress.
        workload: spares reading it again.

    Raises:
        LeptonError: settings, workload or checkpoint cannot be used.
        OSError: the folder cannot be written to.
    """
    device = choose_device(config.device)
    torch.set_num_threads(1)  # small networks collapse when threads outnumber idle cores
    whole = workload if workload is not None else load_workload(config.environment.workload)
    if not resume:
        _refuse_earlier_run(folder)
    checkpoint = _checkpoint_to_resume(config, folder) if resume else None
    done = int(checkpoint["num_timesteps"]) if checkpoint else 0
    seed = (config.seed + done) % 2**32
    set_random_seed(seed)
    env = _environment(config, whole, seed)
    model = _model(config, env, device, seed)
    validation = Validation(_validator(config, whole), config.validation.every)
    checkpoints = Checkpoints(folder, config.checkpoint_every, validation)
    if checkpoint:
        _restore(model, validation, checkpoint)

    _describe_run(config, folder, whole)
    model.set_logger(configure(str(folder / "tensorboard"), ["tensorboard"]))
    callbacks: list[Any] = [validation, checkpoints]
    if report is not None:
        callbacks.append(Progress(report, validation))
    for callback in callbacks:
        callback.init_callback(model)  # Ctrl-C may come before learn() does it
    interrupted = False
    try:
        if done == 0:
            _warm_start(config, model, env)
        remaining = max(0, config.total_steps - done)
        model.learn(remaining, callback=callbacks, reset_num_timesteps=False)
    except KeyboardInterrupt:
        interrupted = True
    validation.validate()
    model.logger.close()
    checkpoints.write()
    path = folder / "policy.onnx"
    policy = model.policy
    assert isinstance(policy, SchedulingPolicy)
    best = validation.best
    network = policy.network.cpu()
    manifest = _export(config, network, best, validation.validator, whole, path)
    return Trained(path, manifest, model.num_timesteps, best.steps, best.metric, interrupted)


def set_aside(folder: Path) -> Path | None:
    """Move what an earlier run left in `folder` into `folder/earlier-1` (or -2, ...).

    Returns:
        Where it was moved to, None if there was no earlier run.
    """
    left = [path for name in _RUN_FILES if (path := folder / name).exists()]
    if not left:
        return None
    target = next(
        path for n in itertools.count(1) if not (path := folder / f"earlier-{n}").exists()
    )
    target.mkdir()
    for path in left:
        path.rename(target / path.name)
    return target


def _refuse_earlier_run(folder: Path) -> None:
    """Its checkpoints would be taken for those of the new run."""
    if any((folder / "checkpoints").glob("step-*.pt")):
        raise ConfigError(
            f"{folder} holds an earlier run; go on with it (--resume), or take another folder"
        )


def _checkpoint_to_resume(config: TrainConfig, folder: Path) -> dict[str, Any]:
    """The newest checkpoint of a run in the same environment.

    Raises:
        ArtifactError: there is none, or it cannot be read.
        ConfigError: it was made in another environment.
    """
    checkpoint = load_checkpoint(newest_checkpoint(folder))
    path = folder / "config.yaml"
    earlier = load_settings(TrainConfig, read_yaml(path), str(path))
    same = (config.environment, config.reference, config.validation.windows)
    if same != (earlier.environment, earlier.reference, earlier.validation.windows):
        raise ConfigError(
            f"--resume: the environment, reference or validation windows differ from those in"
            f" {path}, so the best weights so far could not be compared; start a new run"
        )
    return checkpoint


def _environment(config: TrainConfig, workload: Workload, seed: int) -> SchedulingVecEnv:
    reference = rule_of(config.reference)._replace(
        backfill=int(Backfill[config.environment.backfill.upper()])
    )
    episodes = Episodes.of(config.environment, workload)
    return SchedulingVecEnv(config.environment, episodes, config.ppo.num_envs, seed, reference)


def _model(
    config: TrainConfig, env: SchedulingVecEnv, device: torch.device, seed: int
) -> MaskablePPO:
    ppo = config.ppo
    return MaskablePPO(
        SchedulingPolicy,
        env,
        learning_rate=lambda left: ppo.learning_rate * (0.1 + 0.9 * left),
        n_steps=ppo.rollout_steps,
        batch_size=ppo.batch_size,
        n_epochs=ppo.epochs,
        gamma=ppo.gamma,
        gae_lambda=ppo.gae_lambda,
        clip_range=ppo.clip_range,
        ent_coef=ppo.entropy_coefficient,
        vf_coef=ppo.value_coefficient,
        max_grad_norm=ppo.max_gradient_norm,
        policy_kwargs={"hidden": ppo.hidden},
        seed=seed,
        device=device,
    )


def _validator(config: TrainConfig, workload: Workload) -> Validator:
    environment = config.environment.model_copy(update={"split": "validation"})
    episodes = Episodes.of(environment, workload)
    return Validator(environment, episodes, config.validation.windows)


def _warm_start(config: TrainConfig, model: MaskablePPO, env: SchedulingVecEnv) -> None:
    if config.imitation.teacher == "none":
        return
    policy = model.policy
    assert isinstance(policy, SchedulingPolicy)
    imitate(policy.network, env, rule_of(config.imitation.teacher), config.imitation)


def _restore(model: MaskablePPO, validation: Validation, checkpoint: dict[str, Any]) -> None:
    _load_weights(model.policy, checkpoint["policy"])
    model.policy.optimizer.load_state_dict(checkpoint["optimizer"])
    model.num_timesteps = int(checkpoint["num_timesteps"])
    validation.best = Best(
        float(checkpoint["best_metric"]),
        int(checkpoint["best_steps"]),
        checkpoint["best_weights"],
    )


def export_checkpoint(config: TrainConfig, folder: Path, path: Path) -> Manifest:
    """Export the best weights of the newest checkpoint in the folder of a run.

    Raises:
        LeptonError: there is no checkpoint, or it does not fit the settings.
    """
    checkpoint = load_checkpoint(newest_checkpoint(folder))
    workload = load_workload(config.environment.workload)
    validator = _validator(config, workload)
    network = PriorityNetwork(
        len(TASK_FEATURES), len(NODE_FEATURES), len(CLUSTER_FEATURES), config.ppo.hidden
    )
    best = Best(
        float(checkpoint["best_metric"]),
        int(checkpoint["best_steps"]),
        checkpoint["best_weights"],
    )
    return _export(config, network, best, validator, workload, path)


def _export(
    config: TrainConfig,
    network: PriorityNetwork,
    best: Best,
    validator: Validator,
    workload: Workload,
    path: Path,
) -> Manifest:
    """Write the best weights as a policy file; `network` is changed to hold them."""
    _load_weights(network, best.weights)
    _, observations = validator.run(network)
    observations["action_mask"] = observations["action_mask"].astype(np.bool_)
    return export_policy(
        network,
        observations,
        path,
        name=config.name,
        place=config.environment.place,
        backfill=config.environment.backfill,
        may_wait=config.environment.may_wait,
        resource_kinds=workload.cluster.schema.names,
        training={
            "workload": workload.name,
            "seed": config.seed,
            "steps": best.steps,
            "objective": config.environment.objective,
            "validation_metric": best.metric,
            "revision": _revision(),
        },
    )


def _load_weights(module: torch.nn.Module, weights: dict[str, Any]) -> None:
    try:
        module.load_state_dict(weights)
    except (RuntimeError, ValueError) as error:
        raise ConfigError(
            "the checkpoint does not fit the configured network; use the settings it was made with"
            f" ({str(error).splitlines()[-1].strip()})"
        ) from error


def _describe_run(config: TrainConfig, folder: Path, workload: Workload) -> None:
    """Write the resolved settings, and what else it takes to repeat the run."""
    folder.mkdir(parents=True, exist_ok=True)
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
    (folder / "config.yaml").write_text(text, encoding="utf-8")
    facts = {
        "lepton_rl": VERSION,
        "revision": _revision(),
        "seed": config.seed,
        "torch": torch.__version__,
        "workload": {"name": workload.name, "tasks": len(workload), **dict(workload.skipped)},
    }
    (folder / "run.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")


def _revision() -> str:
    """Git revision of the sources, "unknown" outside a checkout."""
    try:
        result = subprocess.run(
            ["git", "rev-parse", "--verify", "--quiet", "HEAD"],  # noqa: S607 - whichever git the user has
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return "unknown"
    return result.stdout.strip() or "unknown"
