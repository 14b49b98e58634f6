"""What happens beside learning: validation, checkpoints, progress."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from lepton_rl.agents.checkpoint import save_checkpoint
from lepton_rl.agents.networks import SchedulingNetwork
from lepton_rl.agents.ppo import PPO
from lepton_rl.agents.validation import Validator

__all__ = ["Best", "Checkpoints", "Progress", "ProgressReport", "Validation"]

ProgressReport = Callable[[int, str], None]
"""Told the decisions made so far and a short text."""


@dataclass(frozen=True, slots=True)
class Best:
    """The weights that did best on the validation windows.

    Attributes:
        metric: mean of the objective over the windows, lower is better.
        steps: decisions after which they were taken.
        weights: state of the network, on the CPU.
    """

    metric: float
    steps: int
    weights: dict[str, Any]


class Validation(BaseCallback):
    """Keeps the weights that do best on the validation windows; ends training that has stopped.

    TensorBoard: `validation/metric` (mean of the objective over the windows, lower is better) and
    `validation/best_metric`.

    Args:
        validator: the windows.
        every: decisions between validations.
        patience: training ends after so many validations in a row without a new best; 0 for never.
    """

    def __init__(self, validator: Validator, every: int, patience: int = 0) -> None:
        super().__init__()
        self.validator, self.every, self.patience = validator, every, patience
        self.best = Best(float("inf"), 0, {})
        self.next = 0
        self.failures = 0

    def _on_rollout_start(self) -> None:
        if self.num_timesteps >= self.next:
            self.validate()
            self.next = self.num_timesteps + self.every

    def _on_step(self) -> bool:
        return not self.patience or self.failures < self.patience

    def validate(self) -> float:
        """Run the windows now and log the mean metric, which is returned."""
        network: SchedulingNetwork = self.model.policy  # type: ignore[assignment]
        metric = float(np.mean(self.validator.run(network)[0]))
        self.failures += 1
        if metric < self.best.metric:
            weights = {k: v.detach().cpu().clone() for k, v in network.state_dict().items()}
            self.best = Best(metric, self.num_timesteps, weights)
            self.failures = 0
        self.logger.record("validation/metric", metric)
        self.logger.record("validation/best_metric", self.best.metric)
        self.logger.dump(self.num_timesteps)  # else under the steps of the next rollout
        return metric

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps of it."""
        return {
            "best_metric": self.best.metric,
            "best_steps": self.best.steps,
            "best_weights": self.best.weights,
            "next_validation": self.next,
            "failures": self.failures,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from `state()`."""
        self.best = Best(
            float(state["best_metric"]), int(state["best_steps"]), state["best_weights"]
        )
        self.next, self.failures = int(state["next_validation"]), int(state["failures"])


class Checkpoints(BaseCallback):
    """Writes `checkpoints/step-*.pt`; `write` is also called when training ends or is stopped.

    Args:
        learner: whose state is written.
        folder: of the run.
        every: decisions between checkpoints.
        validation: whose best weights are kept too.
    """

    def __init__(self, learner: PPO, folder: Path, every: int, validation: Validation) -> None:
        super().__init__()
        self.learner, self.folder, self.every = learner, folder, every
        self.validation = validation
        self._next = learner.num_timesteps + every

    def _on_rollout_start(self) -> None:
        if self.num_timesteps >= self._next:
            self.write()

    def _on_step(self) -> bool:
        return True

    def write(self) -> Path:
        """Write a checkpoint of the last moment from which training can go on exactly."""
        steps = int(self.learner.kept["num_timesteps"])
        self._next = steps + self.every
        path = self.folder / "checkpoints" / f"step-{steps:012d}.pt"
        save_checkpoint(path, {"learner": self.learner.kept, **self.validation.state()})
        return path


class Progress(BaseCallback):
    """Tells `report` how far training is, at most five times a second."""

    def __init__(self, report: ProgressReport, validation: Validation) -> None:
        super().__init__()
        self.report, self.validation = report, validation
        self._last = 0.0

    def _on_step(self) -> bool:
        now = time.monotonic()
        if now - self._last > 0.2:
            self._last = now
            self.report(self.num_timesteps, f"best validation {self.validation.best.metric:.4g}")
        return True
