"""Run times as policies are told them: what users ask for, or predictions in its place.

A prediction changes what the rules see of a task (`requested_us` of its record), never the task:
executors stop tasks, if at all, at the time their users asked for (`limit_us`), and the rules raise
expectations that a task outlives up to that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Protocol

from lepton_rl.core.clock import MICROSECOND, to_us
from lepton_rl.core.errors import ConfigError
from lepton_rl.core.tasks import Task, TaskState
from lepton_rl.system.life import Entry

__all__ = ["PREDICTION_ERROR", "Estimator", "RunTimeEstimates"]

PREDICTION_ERROR = "prediction-error"


class RunTimeEstimates(Protocol):
    """Predicts run times from those of the past; `lepton_rl.prediction.LiveEstimates` does."""

    def submitted(self, task: Task) -> float:
        """A task has arrived: its predicted run time in s, finite and > 0."""
        ...

    def ended(self, task_id: str, run_time_s: float | None) -> object:
        """A task has ended; what is returned does not matter.

        Args:
            task_id: it has arrived, or was cancelled before.
            run_time_s: of its only run, at speed 1; None where its runs do not tell how long it
                takes.
        """
        ...


class Estimator:
    """Puts predictions into the records of tasks as they arrive, and lets the predictor learn.

    A task is predicted when it arrives, not when it is submitted with a submit time ahead: so none
    is predicted from what happens later.

    Args:
        prediction: predicts; None leaves the users' requests, or what `expect` was told.
        on_error: is told of what the predictor raises. Where that returns, the task keeps its
            user's request.
    """

    def __init__(
        self, prediction: RunTimeEstimates | None, on_error: Callable[[Exception], None]
    ) -> None:
        self._prediction, self._on_error = prediction, on_error
        self._expected_us: dict[str, int] = {}  # of tasks that have not arrived

    def expect(self, estimates_us: Mapping[str, int]) -> None:
        """Estimates in us that were made beforehand, by task; a predictor goes before them."""
        if self._prediction is None:
            self._expected_us.update(estimates_us)

    def arriving(self, entry: Entry) -> None:
        """A task is about to be pending."""
        estimate_us = self._expected_us.pop(entry.task.id, None)
        if self._prediction is not None:
            try:
                estimate_us = _checked_us(self._prediction.submitted(entry.task), entry.task)
            except Exception as error:
                self._on_error(error)
        if estimate_us is not None:
            entry.record["requested_us"] = estimate_us

    def ended(self, entry: Entry, end_us: int) -> None:
        """A task has reached a final state."""
        if self._prediction is None:
            self._expected_us.pop(entry.task.id, None)
            return
        try:
            self._prediction.ended(entry.task.id, _whole_run_s(entry, end_us))
        except Exception as error:
            self._on_error(error)


def _checked_us(estimate_s: float, task: Task) -> int:
    if not (math.isfinite(estimate_s) and estimate_s > 0):
        raise ConfigError(
            f"prediction for task {task.id!r}: expected a finite run time > 0 s, got {estimate_s}"
        )
    return max(1, int(to_us(estimate_s)))


def _whole_run_s(entry: Entry, end_us: int) -> float | None:
    """How long its only run would have taken at speed 1, in s.

    None if it had none, or several, or was cut off by its user.
    """
    if entry.attempts != 1 or not entry.nodes or entry.state is TaskState.CANCELLED:
        return None
    run_us = end_us - entry.started_us
    return run_us * entry.speed / MICROSECOND if run_us > 0 else None
