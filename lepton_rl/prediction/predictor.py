"""What a predictor of run times is told and asked, and how its answers are bounded and corrected.

A prediction is never a kill time: a task runs until it ends, or until the time its user asked for.
Divorcing the two is what makes predictions usable for backfilling (Tsafrir, Etsion and Feitelson,
"Backfilling using system-generated predictions rather than user runtime estimates", IEEE TPDS
18(6), 2007): a task that outlives its prediction only has the prediction corrected.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from lepton_rl.core.resources import DEFAULT_SCHEMA, ResourceSchema
from lepton_rl.core.rules.times import CORRECTIONS_S
from lepton_rl.core.tasks import Task

__all__ = [
    "CORRECTIONS_S",
    "DefersAnswers",
    "Prediction",
    "RunTimePredictor",
    "TaskFeatures",
    "capped",
    "corrected_s",
]


@dataclass(frozen=True, slots=True)
class TaskFeatures:
    """What is known of a task when it is submitted.

    Attributes:
        tenant: who submitted it, '' where unknown.
        size: processors of the whole gang: cards if it asks for any, else cores.
        requested_s: run time that the user asked for, in s, > 0.
        submit_s: when, in s; hours and weekdays are those of this clock.
    """

    tenant: str
    size: float
    requested_s: float
    submit_s: float

    @classmethod
    def of(cls, task: Task, schema: ResourceSchema = DEFAULT_SCHEMA) -> TaskFeatures:
        """The features of a described task; `schema` tells which kinds are devices."""
        devices = schema.names[schema.num_divisible :]
        cards = sum(task.demand.get(name, 0.0) for name in devices)
        amounts = (task.demand.get(name, 0.0) for name in schema.names)
        size = cards or next((amount for amount in amounts if amount), 0.0)
        return cls(task.tenant, task.num_replicas * size, task.requested_time_s, task.submit_time_s)


@dataclass(frozen=True, slots=True)
class Prediction:
    """A run time as far as it can be told in advance.

    Attributes:
        median_s: as likely too long as too short; in s, > 0.
        upper_s: seldom exceeded, where the predictor has quantiles; in s, >= median_s.
    """

    median_s: float
    upper_s: float


class RunTimePredictor(Protocol):
    """Learns from tasks that have ended, and predicts those that are submitted.

    It has no clock: who calls it must not let it observe a task before that task has ended.
    """

    def observe(self, features: TaskFeatures, run_time_s: float) -> None:
        """A task with these features has ended after `run_time_s` (> 0)."""
        ...

    def predict(self, features: TaskFeatures) -> Prediction:
        """Run time of a task that is being submitted, from what was observed so far."""
        ...


@runtime_checkable
class DefersAnswers(Protocol):
    """A predictor that answers many questions at once much faster than one by one.

    A question holds all that its answer depends on, so what is observed between a question and its
    answer does not change it.
    """

    def ask(self, features: TaskFeatures) -> Any:
        """The question that `predict(features)` would answer now."""
        ...

    def answer(self, questions: Sequence[Any]) -> list[Prediction]:
        """What `predict` would have returned when each question was asked."""
        ...


def capped(prediction: Prediction, requested_s: float) -> Prediction:
    """`prediction`, with neither figure above the requested time in s."""
    return Prediction(min(prediction.median_s, requested_s), min(prediction.upper_s, requested_s))


def corrected_s(predicted_s: float, elapsed_s: float, requested_s: float) -> float:
    """What to expect of a running task, given how long it has run: Tsafrir's correction.

    A prediction that was outlived becomes 1 min longer than it was, then 5 min, 15 min, 30 min,
    1 h, 2 h, 5 h, 10 h, 20 h, 50 h and 100 h longer, but never more than the requested time.
    Source: Tsafrir, Etsion and Feitelson (2007); increments counted from the first prediction, as
    in the simulator `predictsim` of Gaussier et al. (SC'15).

    Args:
        predicted_s: total run time predicted at submission, in s.
        elapsed_s: how long the task has run, in s, >= 0.
        requested_s: what the user asked for, in s.

    Returns:
        Expected total run time in s, >= elapsed_s. It is the prediction while that holds
        (`elapsed_s < predicted_s`); a task that outlives its request too is expected to end now.
    """
    if elapsed_s < predicted_s:
        return predicted_s
    raised = (predicted_s + increment_s for increment_s in CORRECTIONS_S)
    expected_s = next((each for each in raised if each > elapsed_s), requested_s)
    return max(elapsed_s, min(expected_s, requested_s))
