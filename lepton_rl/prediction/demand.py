"""Prediction of what tasks really use of a divisible resource, above all memory.

Users ask for too much, or for nothing at all. What tasks that looked alike used at their peaks
tells more; one quantile of it is the prediction, and a margin may be put on top. A task that needs
more than it was given is what this costs: `DemandAccuracy.underestimated` counts them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from pydantic import Field

from lepton_rl.core.errors import ConfigError
from lepton_rl.core.resources import DEFAULT_SCHEMA, ResourceSchema
from lepton_rl.core.settings import Settings
from lepton_rl.core.tasks import Task
from lepton_rl.prediction.classes import DemandQuantiles
from lepton_rl.prediction.predictor import TaskFeatures

__all__ = ["DemandAccuracy", "DemandConfig", "DemandEstimates", "demand_accuracy_of"]

_MOST = 1_000_000


class DemandConfig(Settings):
    """How demand is predicted.

    Attributes:
        resource: a divisible kind.
        quantile: share of the tasks that should not use more than is predicted.
        margin: factor on that quantile.
        class_window: peaks that each class keeps.
        least: peaks that a class needs before it answers.
    """

    resource: str = "memory"
    quantile: float = Field(default=0.95, gt=0, lt=1)
    margin: float = Field(default=1.0, ge=1, le=100)
    class_window: int = Field(default=100, ge=1, le=_MOST)
    least: int = Field(default=3, ge=1, le=_MOST)

    def predictor(self) -> DemandQuantiles:
        """One that has observed nothing yet."""
        return DemandQuantiles(self.quantile, self.class_window, self.least, self.margin)


class DemandEstimates:
    """Demand of the tasks of one running system, from the peaks that its user measures.

    No executor of lepton-rl measures peaks, so the scheduler cannot do this by itself: change each
    task before it is submitted, and tell what it used once it has ended.

    Args:
        config: which resource, and how.
        schema: resource kinds of the cluster.

    Raises:
        ConfigError: the cluster has no such kind, or it is one of devices.
    """

    def __init__(
        self, config: DemandConfig | None = None, schema: ResourceSchema = DEFAULT_SCHEMA
    ) -> None:
        config = config if config is not None else DemandConfig()
        self._kind, self._schema = schema.kind(config.resource), schema
        if self._kind.is_device:
            raise ConfigError(
                f"demand prediction: {config.resource!r} is a device, and a task that was given"
                " fewer cards than it asked for cannot run; name a divisible kind"
            )
        self._predictor = config.predictor()
        self._running: dict[str, TaskFeatures] = {}

    def submitted(self, task: Task) -> Task:
        """The task to submit in the place of `task`: it asks for what is predicted.

        Never for more than its user did, where the user asked for any. Before anything is known it
        is the task itself.
        """
        features = TaskFeatures.of(task, self._schema)
        self._running[task.id] = features
        asked = task.demand.get(self._kind.name, 0.0) or math.inf
        amount = self._predictor.predict(features, asked)
        if amount == asked:
            return task
        whole = math.ceil(amount * self._kind.units_per) / self._kind.units_per
        return replace(task, demand={**task.demand, self._kind.name: min(whole, asked)})

    def ended(self, task_id: str, peak: float | None) -> bool:
        """A task has ended.

        Args:
            task_id: what was not submitted here is passed over.
            peak: most that one replica used, in the kind's unit (GiB), > 0; None where nobody
                measured it, or where the task was stopped because it needed more.

        Returns:
            Whether something was learned.

        Raises:
            ConfigError: `peak` is no such amount.
        """
        if peak is not None and not (math.isfinite(peak) and peak > 0):
            raise ConfigError(f"task {task_id!r}: expected a finite peak > 0, got {peak!r}")
        features = self._running.pop(task_id, None)
        if features is None or peak is None:
            return False
        self._predictor.observe(features, peak)
        return True


@dataclass(frozen=True, slots=True)
class DemandAccuracy:
    """Figures over tasks whose use is known, with p predicted and u used.

    Attributes:
        tasks: how many.
        mean_accuracy: mean of min(p, u) / max(p, u), 0..1, higher is better.
        underestimated: share of the tasks with p < u, 0..1: they would have run out.
        median_factor: of p / u, > 0.
        mean_factor: of p / u, > 0.
        total_factor: sum of p over sum of u, > 0; what is set aside for each unit that is used.
    """

    tasks: int
    mean_accuracy: float
    underestimated: float
    median_factor: float
    mean_factor: float
    total_factor: float


def demand_accuracy_of(used: ArrayLike, predicted: ArrayLike) -> DemandAccuracy:
    """Compare predicted demand with what was used.

    Args:
        used: `(N,)` > 0, in any unit; NaN where it is unknown.
        predicted: `(N,)` > 0 in the same unit; infinity where nothing was predicted.

    Raises:
        ConfigError: unlike shapes, or no task has both.
    """
    u, p = np.asarray(used, np.float64), np.asarray(predicted, np.float64)
    if u.ndim != 1 or u.shape != p.shape:
        raise ConfigError(f"demand: expected two lists of one length, got {u.shape}, {p.shape}")
    both = np.isfinite(u) & np.isfinite(p)
    u, p = u[both], p[both]
    if not (len(u) and (u > 0).all() and (p > 0).all()):
        raise ConfigError("demand: expected at least one task with use and prediction, both > 0")
    return DemandAccuracy(
        tasks=len(u),
        mean_accuracy=float(np.mean(np.minimum(u, p) / np.maximum(u, p))),
        underestimated=float(np.mean(p < u)),
        median_factor=float(np.median(p / u)),
        mean_factor=float(np.mean(p / u)),
        total_factor=float(np.sum(p) / np.sum(u)),
    )
