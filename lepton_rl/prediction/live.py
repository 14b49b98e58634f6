"""Predictions beside a running scheduler, from what its monitor has recorded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from lepton_rl.core.clock import to_seconds
from lepton_rl.core.errors import StateError
from lepton_rl.core.resources import DEFAULT_SCHEMA, ResourceSchema
from lepton_rl.core.tasks import Task, TaskState
from lepton_rl.prediction.config import PredictionConfig, estimate_s, make_predictor
from lepton_rl.prediction.predictor import TaskFeatures, corrected_s

__all__ = ["EndedTask", "LiveEstimates", "PastTask"]


class EndedTask(Protocol):
    """What a `lepton_rl.system.monitor.TaskRecord` offers."""

    @property
    def task_id(self) -> str:
        """Which task."""
        ...

    @property
    def start_us(self) -> int | None:
        """When it last started, in us; None if it has not."""
        ...

    @property
    def end_us(self) -> int | None:
        """When it ended, in us; None if it has not."""
        ...

    @property
    def outcome(self) -> TaskState:
        """The final state it ended in."""
        ...

    @property
    def interruptions(self) -> Sequence[object]:
        """Its earlier runs."""
        ...


class PastTask(Protocol):
    """What a `lepton_rl.system.journal.TaskLife` offers."""

    @property
    def task(self) -> Task:
        """As it was submitted."""
        ...

    @property
    def attempt(self) -> int:
        """How often it was started."""
        ...

    @property
    def start_us(self) -> int | None:
        """When it last started, in us; None if it has not."""
        ...

    @property
    def end_us(self) -> int | None:
        """When it ended for good, in us; None if it has not."""
        ...

    @property
    def outcome(self) -> str | None:
        """How it ended, as the value of a final `TaskState`; None if it has not."""
        ...


class LiveEstimates:
    """Estimates of the tasks of one running system.

    Args:
        config: which predictor.
        schema: resource kinds of the cluster.

    Raises:
        ConfigError: the predictor needs a library that is not installed.
    """

    def __init__(self, config: PredictionConfig, schema: ResourceSchema = DEFAULT_SCHEMA) -> None:
        self._config, self._schema = config, schema
        self._predictor = make_predictor(config)
        self._submitted: dict[str, tuple[TaskFeatures, float]] = {}  # and have not ended

    def submitted(self, task: Task) -> float:
        """A task has arrived: the run time that policies should see, in s.

        It belongs into the records (`requested_us`), not into the task: an executor may stop a
        task at the time its user asked for, but never because a prediction was too short.
        """
        features = TaskFeatures.of(task, self._schema)
        predicted_s = estimate_s(self._predictor.predict(features), features, self._config)
        self._submitted[task.id] = features, predicted_s
        return predicted_s

    def learn(self, records: Iterable[EndedTask]) -> int:
        """Learn from the records of tasks that have ended, in order of their ends.

        Only one whole run teaches how long a task takes, so those that were cancelled, or ran more
        than once, are passed over. A record counts once: all records of the monitor may be handed
        in again and again.

        Returns:
            From how many it has learned.
        """
        ended = [record for record in records if record.end_us is not None]
        count = 0
        for record in sorted(ended, key=_end_us):
            run_us = _whole_run_us(record)
            run_s = float(to_seconds(run_us)) if run_us > 0 else None
            count += self.ended(record.task_id, run_s)
        return count

    def ended(self, task_id: str, run_time_s: float | None) -> bool:
        """A task has ended; a scheduler that was given these estimates tells it by itself.

        Args:
            task_id: what was not submitted here, or has ended before, is passed over.
            run_time_s: of its one whole run, > 0; None where its runs do not teach how long it
                takes.

        Returns:
            Whether something was learned.
        """
        features, _ = self._submitted.pop(task_id, (None, 0.0))
        if features is None or run_time_s is None:
            return False
        self._predictor.observe(features, run_time_s)
        return True

    def learn_past(self, lives: Iterable[PastTask]) -> int:
        """Learn from tasks that ended before these estimates began, e.g. `Journal.history()`.

        Args:
            lives: in order of their ends. As elsewhere, only one whole run teaches. Run times are
                taken as they are, whatever speed factors the nodes had.

        Returns:
            From how many it has learned.
        """
        count = 0
        for life in lives:
            if life.attempt != 1 or life.outcome in (None, TaskState.CANCELLED.value):
                continue
            run_us = 0 if life.start_us is None else (life.end_us or 0) - life.start_us
            if run_us > 0:
                features = TaskFeatures.of(life.task, self._schema)
                self._predictor.observe(features, float(to_seconds(run_us)))
                count += 1
        return count

    def expected_s(self, task_id: str, elapsed_s: float) -> float:
        """Total run time to expect of a task that has run for `elapsed_s`; see `corrected_s`.

        Raises:
            StateError: no such task was submitted, or it has ended.
        """
        if task_id not in self._submitted:
            raise StateError(
                f"estimates: task {task_id!r} was not submitted here, or has already ended"
            )
        features, predicted_s = self._submitted[task_id]
        return corrected_s(predicted_s, elapsed_s, features.requested_s)


def _end_us(record: EndedTask) -> int:
    return record.end_us or 0


def _whole_run_us(record: EndedTask) -> int:
    """Length of its only run, in us; 0 if it had none, or several, or was cancelled."""
    if record.outcome is TaskState.CANCELLED or record.interruptions:
        return 0
    return 0 if record.start_us is None else _end_us(record) - record.start_us
