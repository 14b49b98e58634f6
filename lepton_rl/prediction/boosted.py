"""Run times by gradient-boosted quantile regression, retrained on a sliding window.

Two models, of the median and of the upper quantile, learn the log of the share of the requested
time that a task uses, from the rows of `lepton_rl.prediction.history`; quantiles of a log are logs
of the quantiles. They need scikit-learn (`pip install 'lepton-rl[predict]'`), which is loaded when
a predictor is made.
"""

from __future__ import annotations

import importlib
import math
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.errors import ConfigError
from lepton_rl.prediction.classes import ClassQuantiles
from lepton_rl.prediction.history import History, Row
from lepton_rl.prediction.predictor import Prediction, TaskFeatures

__all__ = ["BoostedQuantiles", "Question"]

Floats = NDArray[np.float64]

_TREES, _LEAVES, _TASKS_PER_LEAF, _RATE = 50, 8, 50, 0.1
"""Small trees: tasks come in bursts of near copies, so there is less to learn from than rows.
Chosen on tasks 30 % to 60 % of KTH-SP2 and Theta; larger ones were worse on both."""

_MOST_WAITING = 100_000
"""Submitted tasks whose rows are kept until they end; the oldest beyond that never will."""


class Models(NamedTuple):
    """Fitted regressors of the log share."""

    median: Any
    upper: Any


@dataclass(frozen=True, slots=True)
class Question:
    """A task that was submitted, and what was known then.

    Attributes:
        requested_s: its requested time in s.
        row: values of `FEATURE_NAMES`.
        models: as last trained; None before the first training.
        fallback: the answer in that case.
    """

    requested_s: float
    row: Row
    models: Models | None
    fallback: Prediction


class BoostedQuantiles:
    """Boosted trees with quantile loss; quantiles by class until they are first trained.

    Args:
        quantile: level of `upper_s`, 0.5 <= quantile < 1.
        window: ended tasks that a training uses, the most recent (>= 1).
        retrain_every: ended tasks between two trainings (>= 1).
        first_training: ended tasks before the first (>= 1).

    Raises:
        ConfigError: scikit-learn is not installed.
    """

    def __init__(
        self,
        quantile: float = 0.9,
        window: int = 20_000,
        retrain_every: int = 500,
        first_training: int = 2000,
    ) -> None:
        self._make_regressor, self._one_thread = _load_library()
        self._quantile = quantile
        self._retrain_every = retrain_every
        self._until_training = first_training  # tasks that have yet to end
        self._history, self._fallback = History(), ClassQuantiles(quantile)
        self._waiting: dict[TaskFeatures, Row] = {}  # rows as they were at submission
        self._rows: deque[Row] = deque(maxlen=window)
        self._log_shares: deque[float] = deque(maxlen=window)
        self._models: Models | None = None

    def observe(self, features: TaskFeatures, run_time_s: float) -> None:
        """Learns from the row that the task had when it was submitted."""
        row = self._waiting.pop(features, None)
        self._rows.append(self._history.row(features) if row is None else row)
        self._log_shares.append(math.log(run_time_s / features.requested_s))
        self._history.observe(features, run_time_s)
        self._fallback.observe(features, run_time_s)
        self._until_training -= 1
        if self._until_training == 0:
            self._models = self._trained()
            self._until_training = self._retrain_every

    def predict(self, features: TaskFeatures) -> Prediction:
        """Median and upper quantile, by the last training."""
        return self.answer([self.ask(features)])[0]

    def ask(self, features: TaskFeatures) -> Question:
        """The question that `predict(features)` would answer now."""
        row = self._history.row(features)
        self._waiting.setdefault(features, row)
        if len(self._waiting) > _MOST_WAITING:
            del self._waiting[next(iter(self._waiting))]
        return Question(features.requested_s, row, self._models, self._fallback.predict(features))

    def answer(self, questions: Sequence[Question]) -> list[Prediction]:
        """What `predict` would have returned when each question was asked."""
        answers = [question.fallback for question in questions]
        for models, places in _by_models(questions):
            rows = np.array([questions[place].row for place in places])
            requested_s = np.array([questions[place].requested_s for place in places])
            with self._one_thread():
                shares = np.exp([models.median.predict(rows), models.upper.predict(rows)])
            shares[1] = shares.max(axis=0)  # two models may cross
            for place, (median_s, upper_s) in zip(places, (shares * requested_s).T, strict=True):
                answers[place] = Prediction(float(median_s), float(upper_s))
        return answers

    def _trained(self) -> Models:
        rows, targets = np.array(self._rows), np.array(self._log_shares)
        with self._one_thread():
            return Models(*(self._fitted(rows, targets, q) for q in (0.5, self._quantile)))

    def _fitted(self, rows: Floats, targets: Floats, quantile: float) -> Any:
        """A regressor of one quantile; nothing about it is drawn at random."""
        return self._make_regressor(
            loss="quantile",
            quantile=quantile,
            max_iter=_TREES,
            max_leaf_nodes=_LEAVES,
            min_samples_leaf=_TASKS_PER_LEAF,
            learning_rate=_RATE,
            early_stopping=False,
            random_state=0,
        ).fit(rows, targets)


def _by_models(questions: Sequence[Question]) -> list[tuple[Models, list[int]]]:
    """Places of the questions that are for the same models; those for none are left out."""
    found: dict[int, tuple[Models, list[int]]] = {}
    for place, question in enumerate(questions):
        if question.models is not None:
            found.setdefault(id(question.models), (question.models, []))[1].append(place)
    return list(found.values())


def _load_library() -> tuple[Callable[..., Any], Callable[[], AbstractContextManager[Any]]]:
    """The regressor's class, and a context in which it uses one thread.

    Its threads wait actively: where other processes keep the cores busy, training on all cores was
    seen to take 100 times as long as on one.
    """
    try:
        ensemble = importlib.import_module("sklearn.ensemble")
        threads = importlib.import_module("threadpoolctl")
    except ImportError as error:
        raise ConfigError(
            "prediction kind 'boosted' needs scikit-learn, which is not installed; run"
            " pip install 'lepton-rl[predict]', or choose class-quantiles"
        ) from error
    return (
        ensemble.HistGradientBoostingRegressor,
        lambda: threads.threadpool_limits(limits=1, user_api="openmp"),
    )
