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
from lepton_rl.agents.sb3_policy import SchedulingPolicy
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
    """Keeps the weights that do best on the validation windows.

    TensorBoard: `validation/metric` (mean of the objective over the windows, lower is better) and
    `validation/best_metric`.

    Args:
        validator: the windows.
        every: decisions between validations.
    """

    def __init__(self, validator: Validator, every: int) -> None:
        super().__init__()
        self.validator, self.every = validator, every
        self.best = Best(float("inf"), 0, {})
        self._next = 0

    def _on_rollout_start(self) -> None:
        if self.num_timesteps >= self._next:
            self.validate()
            self._next = self.num_timesteps + self.every

    def _on_step(self) -> bool:
        return True

    def validate(self) -> float:
        """Run the windows now and log the mean metric, which is returned."""
        policy = self.model.policy
        assert isinstance(policy, SchedulingPolicy)
        metric = float(np.mean(self.validator.run(policy.network)[0]))
        if metric < self.best.metric:
            weights = {k: v.detach().cpu().clone() for k, v in policy.network.state_dict().items()}
            self.best = Best(metric, self.num_timesteps, weights)
        self.logger.record("validation/metric", metric)
        self.logger.record("validation/best_metric", self.best.metric)
        self.logger.dump(self.num_timesteps)  # SB3 would, but under the steps of the next rollout
        return metric


class Checkpoints(BaseCallback):
    """Writes `checkpoints/step-*.pt`; `write` is also called when training ends or is stopped.

    Args:
        folder: of the run.
        every: decisions between checkpoints.
        validation: whose best weights are kept too.
    """

    def __init__(self, folder: Path, every: int, validation: Validation) -> None:
        super().__init__()
        self.folder, self.every, self.validation = folder, every, validation
        self._next = every

    def _on_rollout_start(self) -> None:
        if self.num_timesteps >= self._next:
            self.write()

    def _on_step(self) -> bool:
        return True

    def write(self) -> Path:
        """Write a checkpoint now."""
        self._next = self.num_timesteps + self.every
        path = self.folder / "checkpoints" / f"step-{self.num_timesteps:012d}.pt"
        state = {
            "num_timesteps": self.num_timesteps,
            "policy": self.model.policy.state_dict(),
            "optimizer": self.model.policy.optimizer.state_dict(),
            "best_metric": self.validation.best.metric,
            "best_steps": self.validation.best.steps,
            "best_weights": self.validation.best.weights,
        }
        save_checkpoint(path, state)
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
