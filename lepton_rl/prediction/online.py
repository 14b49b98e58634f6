"""Predictions over a workload, each from what had ended by then, as a running system makes them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.clock import to_seconds, to_us
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.rules.dispatch import DispatchRule
from lepton_rl.core.rules.orders import Order
from lepton_rl.core.tables import Records
from lepton_rl.prediction.classes import DemandQuantiles
from lepton_rl.prediction.config import PredictionConfig, estimate_s, make_predictor
from lepton_rl.prediction.predictor import (
    DefersAnswers,
    Prediction,
    RunTimePredictor,
    TaskFeatures,
)
from lepton_rl.sim.replay import replay
from lepton_rl.workloads.workload import Workload

__all__ = [
    "features_of",
    "known_from_us",
    "predict_demand_online",
    "predict_online",
    "predicted_workload",
    "with_estimates",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def predicted_workload(workload: Workload, config: PredictionConfig) -> Workload:
    """The workload with predictions in the place of the users' estimates.

    Each `requested_us` becomes what the predictor would have said when the task was submitted (the
    cap still goes by the user's estimate), so every policy and every simulation sees predictions,
    and none needs to know. Run times were learned when tasks ended on the real machine (see
    `known_from_us`), not when they end under the policy that is being simulated: the estimates are
    the same for all policies, which keeps comparisons paired.

    What users asked for stays in `Workload.user_requested_us`: a `Scheduler` that replays the
    workload gives that to executors, and predictions to policies.

    Predict first and cut windows afterwards; a window then has the history from before it. Where
    the source has no users' estimates and the run time stands for them (lublin_256, generated
    workloads), there is nothing to predict.

    Args:
        workload: with the users' estimates, or with predictions, which are made anew.
        config: which predictor. With `user-estimate` the workload has the users' estimates.

    Raises:
        ConfigError: the predictor needs a library that is not installed.
        StateError: waits had to be simulated, and a task can never start.
    """
    workload = _with_user_requests(workload)
    if config.kind == "user-estimate":
        return workload
    predictions = predict_online(make_predictor(config), workload)
    features = features_of(workload)
    estimates_s = [
        estimate_s(each, task, config) for each, task in zip(predictions, features, strict=True)
    ]
    tasks = with_estimates(workload.tasks, np.maximum(1, to_us(estimates_s)))
    name = f"{workload.name}{_mark(config.kind)}"
    return replace(workload, name=name, tasks=tasks)


def with_estimates(tasks: Records, estimates_us: Ints) -> Records:
    """A copy of the records with other estimates.

    What the user asked for stays in `limit_us`: rules correct an estimate that a task outlives, up
    to that.

    Args:
        tasks: `(N,)` with the users' requests.
        estimates_us: `(N,)` in us, > 0.
    """
    seen = tasks.copy()
    seen["requested_us"] = estimates_us
    return seen


def _with_user_requests(workload: Workload) -> Workload:
    """The workload before any prediction was made."""
    if workload.user_requested_us is None:
        return workload
    tasks = workload.tasks.copy()
    tasks["requested_us"] = tasks["limit_us"]
    name = workload.name
    for kind in get_args(PredictionConfig.model_fields["kind"].annotation):
        name = name.removesuffix(_mark(kind))
    return replace(workload, name=name, tasks=tasks)


def _mark(kind: str) -> str:
    """What is appended to the name of a workload with predictions."""
    return f"+{kind}"


def predict_online(
    predictor: RunTimePredictor, workload: Workload, known_us: Ints | None = None
) -> list[Prediction]:
    """Let `predictor` predict each task when it is submitted; nothing is capped here.

    It has then observed exactly the tasks that ended before that instant, in order of their ends.

    Args:
        predictor: has observed nothing yet.
        workload: the tasks.
        known_us: `(N,)` when each run time becomes known, in us; None for `known_from_us`.
    """
    told = _told(predictor.observe, workload, to_seconds(workload.run_us), known_us)
    if not isinstance(predictor, DefersAnswers):
        return [predictor.predict(task) for task in told]
    questions: list[Any] = [predictor.ask(task) for task in told]
    return predictor.answer(questions)


def predict_demand_online(
    predictor: DemandQuantiles,
    workload: Workload,
    used: Floats,
    requested: Floats,
    known_us: Ints | None = None,
) -> Floats:
    """The same for what tasks use of something, e.g. memory.

    Args:
        predictor: has observed nothing yet.
        workload: the tasks.
        used: `(N,)` their peaks, NaN where nobody measured it (never observed then).
        requested: `(N,)` what the users asked for, infinity where they did not; in the same unit.
        known_us: `(N,)` when each peak becomes known, in us; None for `known_from_us`.

    Returns:
        Predictions, `(N,)`, <= requested.
    """

    def observe(task: TaskFeatures, peak: float) -> None:
        if not math.isnan(peak):
            predictor.observe(task, peak)

    told = zip(_told(observe, workload, used, known_us), requested.tolist(), strict=True)
    return np.array([predictor.predict(task, limit) for task, limit in told])


def _told(
    observe: Callable[[TaskFeatures, float], None],
    workload: Workload,
    values: Floats,
    known_us: Ints | None,
) -> Iterator[TaskFeatures]:
    """The tasks by submit time, after `observe` was told the values of all that ended before."""
    features, known_values = features_of(workload), values.tolist()
    ends_us = known_from_us(workload) if known_us is None else known_us
    by_end: list[int] = np.argsort(ends_us, kind="stable").tolist()
    before = np.searchsorted(ends_us[by_end], workload.tasks["submit_us"], side="left")
    observed = 0
    for count, task in zip(before.tolist(), features, strict=True):
        for ended in by_end[observed:count]:
            observe(features[ended], known_values[ended])
        observed = count
        yield task


def features_of(workload: Workload) -> list[TaskFeatures]:
    """What is known of each task when it is submitted."""
    tasks, tenants = workload.tasks, workload.tenants
    columns: tuple[Sequence[Any], ...] = (
        [""] * len(workload) if tenants is None else tenants.tolist(),
        tasks["size"].tolist(),
        to_seconds(tasks["requested_us"]).tolist(),
        to_seconds(tasks["submit_us"]).tolist(),
    )
    return [TaskFeatures(*values) for values in zip(*columns, strict=True)]


def known_from_us(workload: Workload) -> Ints:
    """When each task's run time becomes known, `(N,)` in us: when it ends.

    That is submit + recorded wait + run time. Where the source recorded no wait, it is the end in a
    simulated schedule: FCFS with EASY backfilling by the users' estimates on the workload's
    cluster.
    """
    tasks, waits_us = workload.tasks, workload.waits_us
    if waits_us is None:
        waits_us = np.full(len(workload), -1, np.int64)
    recorded: Ints = tasks["submit_us"] + waits_us + workload.run_us
    if (waits_us >= 0).all():
        return recorded
    rule = DispatchRule(order=int(Order.FCFS), backfill=int(Backfill.EASY))
    simulated = replay(tasks, workload.run_us, workload.cluster, rule).end_us
    return np.where(waits_us >= 0, recorded, simulated)
