"""Prediction of run times and demands from what has ended.

predictor   what a predictor is told and asked; the cap and the correction of its answers
baselines   the user's estimate; the last two tasks of the same tenant
classes     quantiles of the tasks that looked alike; of run times, or of any demand
demand      memory, or another resource, of the tasks of a running system
history     the past as one row of numbers
boosted     quantile regression on those rows (scikit-learn)
config      settings, and the predictor they name
online      predictions over a workload as a running system would have made them
live        the same beside a running scheduler
accuracy    how good they were
"""

from lepton_rl.prediction.accuracy import Accuracy, accuracy_of
from lepton_rl.prediction.config import PredictionConfig, make_predictor
from lepton_rl.prediction.demand import (
    DemandAccuracy,
    DemandConfig,
    DemandEstimates,
    demand_accuracy_of,
)
from lepton_rl.prediction.live import LiveEstimates
from lepton_rl.prediction.online import predict_online, predicted_workload
from lepton_rl.prediction.predictor import (
    Prediction,
    RunTimePredictor,
    TaskFeatures,
    corrected_s,
)

__all__ = [
    "Accuracy",
    "DemandAccuracy",
    "DemandConfig",
    "DemandEstimates",
    "LiveEstimates",
    "Prediction",
    "PredictionConfig",
    "RunTimePredictor",
    "TaskFeatures",
    "accuracy_of",
    "corrected_s",
    "demand_accuracy_of",
    "make_predictor",
    "predict_online",
    "predicted_workload",
]
