"""Training over Ray: trials of a sweep, and processes that step environments of their own.

The first process of a run is this one, so progress, Ctrl-C, checkpoints and the policy are where
they always are; the others average their gradients with it (`distributed`), wherever Ray puts them.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lepton_rl.agents.config import TrainConfig
from lepton_rl.agents.training import train
from lepton_rl.agents.trial import RunTrial, run_trial
from lepton_rl.core.errors import ConfigError
from lepton_rl.evaluate.ray_session import ray_session

__all__ = ["trained_along", "trials_over_ray"]


@contextmanager
def trials_over_ray(jobs: int) -> Iterator[RunTrial]:
    """Trials as tasks of Ray, of one core each; to be called from up to `jobs` threads.

    What a trial leaves in its folder stays on the machine that ran it.

    Raises:
        ConfigError: Ray is missing, or its cluster is too small.
    """
    with ray_session(jobs, "--backend ray") as ray:
        remote = ray.remote(num_cpus=1, max_retries=0)(run_trial)

        def on_ray(config: TrainConfig, folder: Path) -> float:
            metric: float = ray.get(remote.remote(config, folder.absolute()))
            return metric

        yield on_ray


@contextmanager
def trained_along(
    config: TrainConfig, folder: Path, others: int, *, resume: bool
) -> Iterator[None]:
    """Let `others` processes on Ray train along with the run that is made inside the context.

    Args:
        config: of the run.
        folder: of the run; with `resume` all machines must see it.
        others: how many (>= 0), of one core each.
        resume: whether the run goes on from its newest checkpoint.

    Raises:
        ConfigError: Ray is missing, its cluster is too small, or the method knows one process only.
        LeptonError: what stopped one of the others.
    """
    if others == 0:
        yield
        return
    if config.method == "evolution":
        raise ConfigError("--ray-workers: method evolution trains in one process; leave it out")
    with ray_session(others, "--ray-workers") as ray:
        group = {
            "MASTER_ADDR": ray.util.get_node_ip_address(),
            "MASTER_PORT": str(_free_port()),
            "WORLD_SIZE": str(1 + others),
        }
        running = [
            ray.remote(num_cpus=1, max_retries=0)(_train_along)
            .options(runtime_env={"env_vars": {**group, "RANK": str(rank)}})
            .remote(config, folder.absolute(), resume)
            for rank in range(1, 1 + others)
        ]
        try:
            with _environment({**group, "RANK": "0"}):
                yield
        except RuntimeError:  # of the process group: rather tell what became of the others
            _raise_failures(ray, running)
            raise
        ray.get(running)


def _train_along(config: TrainConfig, folder: Path, resume: bool) -> None:
    train(config, folder, resume=resume)


def _raise_failures(ray: Any, running: list[Any]) -> None:
    """Raise what ended one of the others, if anything did within 10 s."""
    ended, _ = ray.wait(running, num_returns=len(running), timeout=10)
    ray.get(ended)


@contextmanager
def _environment(named: Mapping[str, str]) -> Iterator[None]:
    """These variables for a while."""
    before = {name: os.environ.get(name) for name in named}
    os.environ.update(named)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("", 0))
        return int(free.getsockname()[1])
