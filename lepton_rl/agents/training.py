"""A training run: warm start, PPO, validation, export. Read it top to bottom."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.logger import configure

from lepton_rl.agents.callbacks import (
    Best,
    Checkpoints,
    Progress,
    ProgressReport,
    Validation,
)
from lepton_rl.agents.checkpoint import load_checkpoint, load_weights, newest_checkpoint
from lepton_rl.agents.config import TrainConfig
from lepton_rl.agents.distributed import Workers, joined
from lepton_rl.agents.evolving import evolve
from lepton_rl.agents.export import export_policy
from lepton_rl.agents.imitation import imitate
from lepton_rl.agents.linear import LinearNetwork
from lepton_rl.agents.networks import SchedulingNetwork
from lepton_rl.agents.ppo import PPO
from lepton_rl.agents.registry import network_of, widths_of
from lepton_rl.agents.run_folder import describe_run, refuse_earlier_run, revision
from lepton_rl.agents.validation import Validator
from lepton_rl.agents.vec_env import SchedulingVecEnv
from lepton_rl.core.errors import ConfigError
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.rules.dispatch import DispatchRule
from lepton_rl.core.settings import load_settings, read_yaml
from lepton_rl.envs.config import WorkloadConfig
from lepton_rl.envs.episodes import Episodes, load_workload
from lepton_rl.policies.artifact import Manifest
from lepton_rl.policies.spec import rule_of
from lepton_rl.workloads.workload import Workload

__all__ = [
    "Trained",
    "choose_device",
    "environment_of",
    "export_checkpoint",
    "train",
]


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
) -> Trained | None:
    """Train, keep the weights that do best on the validation windows, export them.

    Ctrl-C ends training early; a checkpoint is written and the best weights so far are exported.

    Args:
        config: all settings; written to `folder/config.yaml`.
        folder: of the run; created. A new run wants one without an earlier run (`set_aside`).
        resume: go on from the newest checkpoint in `folder`, in the same environment.
        report: told the progress.
        workload: spares reading it again.

    Returns:
        What was left behind; None in all but the first of several processes (`distributed`).

    Raises:
        LeptonError: settings, workload or checkpoint cannot be used.
        OSError: the folder cannot be written to.
    """
    if config.method == "evolution":
        return _evolve(config, folder, resume, report, workload)
    device = choose_device(config.device)
    torch.set_num_threads(1)  # small networks collapse when threads outnumber idle cores
    whole = workload if workload is not None else load_workload(config.environment.workload)
    if not resume:
        refuse_earlier_run(folder)
    checkpoint = _checkpoint_to_resume(config, folder) if resume else None
    with joined(device) as workers:
        learner = _learner(config, whole, device, workers)
        validation = Validation(
            _validator(config, whole), config.validation.every, config.validation.patience
        )
        if checkpoint:
            learner.restore(checkpoint["learner"])
            learner.horizon = config.total_steps
            validation.restore(checkpoint)
        if workers.rank > 0:
            _run(config, learner, [])
            return None
        return _lead(config, folder, whole, learner, validation, report)


def _evolve(
    config: TrainConfig,
    folder: Path,
    resume: bool,
    report: ProgressReport | None,
    workload: Workload | None,
) -> Trained:
    """Train by evolution instead; a run takes minutes, so there are no checkpoints.

    Raises:
        ConfigError: it is to be resumed.
    """
    if resume:
        raise ConfigError("--resume: runs of method evolution have no checkpoints; start a new run")
    whole = workload if workload is not None else load_workload(config.environment.workload)
    refuse_earlier_run(folder)
    describe_run(config, folder, whole)
    validator = _validator(config, whole)
    training = Episodes.of(config.environment, whole)
    found = evolve(config, training, validator, _reference_of(config), folder, report)
    chooses = config.environment.choose_nodes
    network = LinearNetwork(found.best.weights, chooses_nodes=chooses)
    weights = {name: value.detach().clone() for name, value in network.state_dict().items()}
    best = Best(float(found.best.outcomes.cost.mean()), found.best.decisions, weights)
    path = folder / "policy.onnx"
    manifest = _export(config, network, best, validator, whole, path)
    return Trained(path, manifest, found.decisions, best.steps, best.metric, found.interrupted)


def _lead(
    config: TrainConfig,
    folder: Path,
    workload: Workload,
    learner: PPO,
    validation: Validation,
    report: ProgressReport | None,
) -> Trained:
    """Train as the only or the first process."""
    checkpoints = Checkpoints(learner, folder, config.checkpoint_every, validation)
    describe_run(config, folder, workload)
    learner.set_logger(configure(str(folder / "tensorboard"), ["tensorboard"]))
    callbacks: list[Any] = [validation, checkpoints]
    if report is not None:
        callbacks.append(Progress(report, validation))
    for callback in callbacks:
        callback.init_callback(learner)  # Ctrl-C may come before learn() does it
    interrupted = _run(config, learner, callbacks)
    learner.rewind()
    validation.num_timesteps = learner.num_timesteps
    validation.validate()
    learner.logger.close()
    checkpoints.write()
    path = folder / "policy.onnx"
    best = validation.best
    manifest = _export(config, learner.policy.cpu(), best, validation.validator, workload, path)
    return Trained(path, manifest, learner.num_timesteps, best.steps, best.metric, interrupted)


def _run(config: TrainConfig, learner: PPO, callbacks: list[Any]) -> bool:
    """Warm start and learning, or what is left of it; whether Ctrl-C ended it."""
    try:
        if learner.num_timesteps == 0:
            _warm_start(config, learner)
        remaining = max(0, config.total_steps - learner.num_timesteps)
        learner.learn(remaining, callback=callbacks, reset_num_timesteps=False)
    except KeyboardInterrupt:
        return True
    return False


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


def environment_of(config: TrainConfig, workload: Workload, seed: int) -> SchedulingVecEnv:
    """What a run learns in.

    Args:
        config: of the run.
        workload: of the configured source.
        seed: of the windows.
    """
    episodes = Episodes.of(config.environment, workload)
    return SchedulingVecEnv(
        config.environment,
        episodes,
        config.ppo.num_envs,
        seed,
        _reference_of(config),
        config.ppo.rollouts_per_sequence,
    )


def _reference_of(config: TrainConfig) -> DispatchRule:
    """The heuristic to be compared with, which backfills as the environment does or by itself."""
    reference = rule_of(config.reference)
    if reference.backfill == Backfill.NONE:
        own = Backfill[config.environment.backfill.upper()]
        reference = reference._replace(backfill=int(own))
    return reference


def _learner(
    config: TrainConfig, workload: Workload, device: torch.device, workers: Workers
) -> PPO:
    env = environment_of(config, workload, (config.seed + 7919 * workers.rank) % 2**32)
    return PPO(config.ppo, env, seed=config.seed, device=device, horizon=config.total_steps)


def _validator(config: TrainConfig, workload: Workload) -> Validator:
    environment = config.environment.model_copy(update={"split": "validation"})
    episodes = Episodes.of(environment, workload)
    return Validator(environment, episodes, config.validation.windows)


def _warm_start(config: TrainConfig, learner: PPO) -> None:
    if config.imitation.teacher == "none":
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        imitate(learner.policy, learner.env, rule_of(config.imitation.teacher), config.imitation)
    learner.workers.share(learner.policy)


def export_checkpoint(config: TrainConfig, folder: Path, path: Path) -> Manifest:
    """Export the best weights of the newest checkpoint in the folder of a run.

    Raises:
        LeptonError: there is no checkpoint, or it does not fit the settings.
    """
    checkpoint = load_checkpoint(newest_checkpoint(folder))
    workload = load_workload(config.environment.workload)
    validator = _validator(config, workload)
    obs = validator.episodes.simulator(validator.config, 1).obs
    network = network_of(config.ppo, widths_of(obs))
    best = Best(
        float(checkpoint["best_metric"]),
        int(checkpoint["best_steps"]),
        checkpoint["best_weights"],
    )
    return _export(config, network, best, validator, workload, path)


def _export(
    config: TrainConfig,
    network: SchedulingNetwork,
    best: Best,
    validator: Validator,
    workload: Workload,
    path: Path,
) -> Manifest:
    """Write the best weights as a policy file; `network` is changed to hold them."""
    load_weights(network, best.weights)
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
            "also_trained_on": [Path(each.source).name for each in _others(config)],
            "seed": config.seed,
            "steps": best.steps,
            "objective": config.environment.objective,
            "validation_metric": best.metric,
            "revision": revision(),
        },
    )


def _others(config: TrainConfig) -> tuple[WorkloadConfig, ...]:
    return config.evolution.also_train_on if config.method == "evolution" else ()
