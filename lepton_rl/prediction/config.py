"""Settings of the prediction of run times."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from lepton_rl.core.settings import Settings
from lepton_rl.prediction.baselines import LastTwo, UserEstimate
from lepton_rl.prediction.boosted import BoostedQuantiles
from lepton_rl.prediction.classes import ClassQuantiles
from lepton_rl.prediction.demand import DemandConfig
from lepton_rl.prediction.predictor import (
    Prediction,
    RunTimePredictor,
    TaskFeatures,
    capped,
)

__all__ = ["PredictionConfig", "estimate_s", "make_predictor"]

_MOST = 1_000_000


class PredictionConfig(Settings):
    """Where the run times come from that policies see.

    Attributes:
        kind: user-estimate (requested times as they are), last-two, class-quantiles, or boosted
            (needs scikit-learn).
        estimate: which figure of a prediction policies see. The median is nearer the truth, but
            half of the tasks outlive it, and a backfilling that believes it delays who it should
            protect; docs/prediction.md has the figures.
        quantile: level of the upper figure (class-quantiles, boosted).
        cap: never predict more than the requested time, at which most systems stop a task.
        class_window: run times that each class keeps (class-quantiles).
        window: ended tasks that a training uses (boosted).
        retrain_every: ended tasks between two trainings (boosted).
        first_training: ended tasks before the first training; until then boosted answers as
            class-quantiles does.
        demand: prediction of memory, or another resource, where it was measured.
    """

    kind: Literal["user-estimate", "last-two", "class-quantiles", "boosted"] = "user-estimate"
    estimate: Literal["median", "upper"] = "upper"
    quantile: float = Field(default=0.9, ge=0.5, lt=1)
    cap: bool = True
    class_window: int = Field(default=100, ge=1, le=_MOST)
    window: int = Field(default=20_000, ge=100, le=_MOST)
    retrain_every: int = Field(default=500, ge=1, le=_MOST)
    first_training: int = Field(default=2000, ge=100, le=_MOST)
    demand: DemandConfig = DemandConfig()


def make_predictor(config: PredictionConfig) -> RunTimePredictor:
    """A predictor that has observed nothing yet.

    Raises:
        ConfigError: it needs a library that is not installed.
    """
    match config.kind:
        case "user-estimate":
            return UserEstimate()
        case "last-two":
            return LastTwo()
        case "class-quantiles":
            return ClassQuantiles(config.quantile, config.class_window)
        case "boosted":
            return BoostedQuantiles(
                config.quantile, config.window, config.retrain_every, config.first_training
            )


def estimate_s(prediction: Prediction, features: TaskFeatures, config: PredictionConfig) -> float:
    """The figure of a prediction that policies see, in s."""
    if config.cap:
        prediction = capped(prediction, features.requested_s)
    return prediction.median_s if config.estimate == "median" else prediction.upper_s
