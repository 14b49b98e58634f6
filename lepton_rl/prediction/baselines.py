"""Predictors without a model: the user's estimate, and the last two tasks of the same tenant."""

from __future__ import annotations

from collections import deque

from lepton_rl.prediction.predictor import Prediction, TaskFeatures

__all__ = ["LastTwo", "UserEstimate"]


class UserEstimate:
    """The requested time, for both figures."""

    def observe(self, features: TaskFeatures, run_time_s: float) -> None:
        """Learns nothing."""

    def predict(self, features: TaskFeatures) -> Prediction:
        """The requested time."""
        return Prediction(features.requested_s, features.requested_s)


class LastTwo:
    """Mean run time of the last two tasks of the same tenant that have ended.

    Source: Tsafrir, Etsion and Feitelson, IEEE TPDS 18(6), 2007, where recent tasks of the same
    user tell more than similar ones of all times. Before two tasks of the tenant have ended, and
    where the tenant is unknown, it is the requested time. Two values have no quantiles: it is one
    number, for both figures.
    """

    def __init__(self) -> None:
        self._runs_s: dict[str, deque[float]] = {}

    def observe(self, features: TaskFeatures, run_time_s: float) -> None:
        """Remembers the run time, and forgets the last but two."""
        if features.tenant:
            self._runs_s.setdefault(features.tenant, deque(maxlen=2)).append(run_time_s)

    def mean_s(self, tenant: str) -> float | None:
        """Mean of the two run times in s; None where there are no two."""
        runs_s = self._runs_s.get(tenant, ())
        return sum(runs_s) / 2 if len(runs_s) == 2 else None

    def predict(self, features: TaskFeatures) -> Prediction:
        """The mean of the two."""
        mean_s = self.mean_s(features.tenant)
        expected_s = features.requested_s if mean_s is None else mean_s
        return Prediction(expected_s, expected_s)
