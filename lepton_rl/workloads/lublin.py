"""The Lublin-Feitelson model: synthetic rigid tasks of a parallel machine.

Source: U. Lublin and D. G. Feitelson, "The workload on parallel supercomputers: modeling the
characteristics of rigid jobs", JPDC 63(11):1105-1122, 2003. The constants are those of the authors'
program, lublin99.c; its names stand in brackets below. For each class of tasks:

    size        1 with probability [SERIAL_PROB], else 2^x, x from two uniform stages: [ULOW, UMED]
                with probability [UPROB], else [UMED, UHI]; x is rounded for the share [POW2_PROB]
                of all tasks; 2^UHI is the machine size or below
    run time    e^x s, x from gamma(A1, B1) with probability p = PA * size + PB cut to [0, 1], else
                from gamma(A2, B2): larger tasks run longer
    arrivals    gaps e^x s, x from gamma(AARR * ARAR, BARR), on a clock that runs through the day at
                the speed of the daily cycle: half hour i weighs the probability that
                gamma(ANUM, BNUM) lies in [i - 0.5, i + 0.5], i = 11..58, taken round the clock

The classes arrive independently of each other. The authors' program rounds the clock down at every
arrival, so that its cycle drifts by some 0.5 s a task; here times are rounded down once. Gaps are
heavy-tailed: over 10,000 tasks the offered load varies by 8 % (WHOLE_SAMPLE) or 14 % (the default
classes) from seed to seed; `LublinConfig.load` fixes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, field_validator, model_validator

from lepton_rl.core.errors import ConfigError
from lepton_rl.core.naming import did_you_mean
from lepton_rl.core.settings import Settings
from lepton_rl.workloads.workload import Workload

__all__ = [
    "BATCH",
    "INTERACTIVE",
    "WHOLE_SAMPLE",
    "ArrivalModel",
    "LublinConfig",
    "RunTimeModel",
    "SizeModel",
    "TaskClass",
    "generate_lublin",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

Probability = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]

BUCKETS = 48
"""Half hours of a day."""
FIRST_BUCKET = 11
"""The daily cycle starts with the half hour from 5:00 [CYCLIC_DAY_START]."""
BUCKET_S = 1800
DAY_S = BUCKETS * BUCKET_S

_MOST_ROUNDS = 1000
_LONGEST_SPAN_S = 1e11


class SizeModel(Settings):
    """Processors of a task: two-stage uniform log2.

    Attributes:
        serial: share of the tasks on one processor [SERIAL_PROB].
        power_of_two: share of the tasks on 2, 4, 8, ... processors [POW2_PROB].
        low: log2 of the smallest parallel size [ULOW].
        below_machine: log2(machine size) - log2(largest size) [7 - UHI, for 128 processors].
        last_stage: width of the second stage [UHI - UMED]; the authors advise 1.5 to 3.5.
        first_stage: share of the parallel tasks in the first stage [UPROB].
    """

    serial: Probability
    power_of_two: Probability
    low: float = Field(ge=0, le=30)
    below_machine: float = Field(default=0.0, ge=0)
    last_stage: float = Field(ge=0)
    first_stage: Probability


class RunTimeModel(Settings):
    """Natural log of the run time in seconds: a mixture of two gammas, by size.

    Attributes:
        short_shape: shape of the first gamma [A1].
        short_scale: its scale [B1].
        long_shape: shape of the second gamma [A2].
        long_scale: its scale [B2].
        slope: change of the first gamma's share per processor, <= 0 in all data sets [PA].
        intercept: the first gamma's share at size 0 [PB].
    """

    short_shape: Positive
    short_scale: Positive
    long_shape: Positive
    long_scale: Positive
    slope: float
    intercept: float


class ArrivalModel(Settings):
    """Gaps between arrivals, and how many arrive at which time of the day.

    Attributes:
        rush_shape: shape of the log gap in the rush hours [AARR].
        rush_to_day: what `rush_shape` is multiplied by to stand for the whole day [ARAR].
        scale: scale of the log gap [BARR].
        cycle_shape: shape of the daily cycle, in half hours [ANUM].
        cycle_scale: its scale [BNUM].
    """

    rush_shape: Positive
    rush_to_day: Positive
    scale: Positive
    cycle_shape: Positive
    cycle_scale: Positive


class TaskClass(Settings):
    """One class of tasks with its own sizes, run times and arrivals."""

    sizes: SizeModel
    run_times: RunTimeModel
    arrivals: ArrivalModel


BATCH = TaskClass(
    sizes=SizeModel(serial=0.2927, power_of_two=0.6686, low=1.2, last_stage=2, first_stage=0.875),
    run_times=RunTimeModel(
        short_shape=6.57,
        short_scale=0.823,
        long_shape=639.1,
        long_scale=0.0156,
        slope=-0.003,
        intercept=0.6986,
    ),
    arrivals=ArrivalModel(
        rush_shape=6.0415, rush_to_day=1.0519, scale=0.8531, cycle_shape=6.1271, cycle_scale=5.274
    ),
)
"""Batch tasks."""

INTERACTIVE = TaskClass(
    sizes=SizeModel(
        serial=0.1541,
        power_of_two=0.625,
        low=1,
        below_machine=1.5,
        last_stage=2.5,
        first_stage=0.705,
    ),
    run_times=RunTimeModel(
        short_shape=3.8351,
        short_scale=0.6605,
        long_shape=7.073,
        long_scale=0.6856,
        slope=-0.0118,
        intercept=0.9156,
    ),
    arrivals=ArrivalModel(
        rush_shape=6.551, rush_to_day=0.9797, scale=0.6621, cycle_shape=8.9186, cycle_scale=3.668
    ),
)
"""Interactive tasks: smaller, shorter, more."""

WHOLE_SAMPLE = TaskClass(
    sizes=SizeModel(serial=0.244, power_of_two=0.576, low=0.8, last_stage=2.5, first_stage=0.86),
    run_times=RunTimeModel(
        short_shape=4.2,
        short_scale=0.94,
        long_shape=312,
        long_scale=0.03,
        slope=-0.0054,
        intercept=0.78,
    ),
    arrivals=ArrivalModel(
        rush_shape=10.2303, rush_to_day=1.0225, scale=0.4871, cycle_shape=8.1737, cycle_scale=3.9631
    ),
)
"""All tasks as one class; the public trace lublin_256 follows it."""

CLASSES = {"batch": BATCH, "interactive": INTERACTIVE, "whole-sample": WHOLE_SAMPLE}


class LublinConfig(Settings):
    """What to generate.

    Attributes:
        processors: machine size; the sizes of the tasks scale with it.
        num_tasks: tasks of all classes together.
        load: offered load, sum(run time x processors) / (span x machine size) with the span from
            the first submit to the last; gaps are stretched by one factor to reach it (and the
            daily cycle with them). None: as the model has it.
        estimate_factor_max: f; requested time = run time x uniform(1, f), rounded up. 1: exact.
        classes: classes of tasks, each a name (batch, interactive, whole-sample) or a `TaskClass`.
        longest_log_run_time: longer run times are drawn again, 12 = 45 h [TOO_MUCH_TIME].
        longest_log_gap: longer gaps are drawn again, 13 = 5 days [TOO_MUCH_ARRIVE_TIME].
    """

    processors: int = Field(default=256, ge=1, le=10**9)
    num_tasks: int = Field(default=10_000, ge=1, le=10**8)
    load: float | None = Field(default=None, gt=0)
    estimate_factor_max: float = Field(default=1.0, ge=1, le=1e6)
    classes: tuple[TaskClass, ...] = Field(default=(BATCH, INTERACTIVE), min_length=1)
    longest_log_run_time: float = Field(default=12.0, gt=0, le=20)
    longest_log_gap: float = Field(default=13.0, gt=0, le=15)

    @field_validator("classes", mode="before")
    @classmethod
    def _resolve_names(cls, value: object) -> object:
        if not isinstance(value, list | tuple):
            return value
        for name in value:
            if isinstance(name, str) and name not in CLASSES:
                raise ValueError(f"unknown class {name!r}, {did_you_mean(name, CLASSES)}")
        return tuple(CLASSES[each] if isinstance(each, str) else each for each in value)

    @model_validator(mode="after")
    def _load_needs_a_span(self) -> LublinConfig:
        if self.load is not None and self.num_tasks < 2:
            raise ValueError("load needs num_tasks >= 2: one task has no span")
        return self


def generate_lublin(config: LublinConfig, rng: np.random.Generator | int) -> Workload:
    """Draw a workload; the same config and seed give the same one.

    Args:
        config: what to generate.
        rng: a seed, or a generator to draw from.

    Returns:
        Tasks "1", "2", ... by submit time, on `Cluster.pool(config.processors)`. Times are whole
        seconds, submit and run times at least 1 s.

    Raises:
        ConfigError: `load` cannot be reached with submit times in whole seconds, or the model's
            limits leave next to nothing of its distributions.
    """
    rng = np.random.default_rng(rng)
    submit_s, task_class = _arrivals(config, rng)
    size = np.ones(config.num_tasks, np.int64)
    run_s = np.ones(config.num_tasks)
    for index, each in enumerate(config.classes):
        rows = np.flatnonzero(task_class == index)
        size[rows] = _sizes(each.sizes, config.processors, len(rows), rng)
        run_s[rows] = _run_times(each.run_times, size[rows], config.longest_log_run_time, rng)
    if config.load is not None:
        work_s = float(run_s @ size) / config.processors
        submit_s = _stretch(submit_s, work_s / config.load)
    factor = rng.uniform(1, config.estimate_factor_max, config.num_tasks)
    return Workload.on_pool(
        f"lublin-{config.processors}",
        config.processors,
        submit_s=submit_s,
        requested_s=np.ceil(run_s * factor),
        run_s=run_s,
        size=size,
        ids=np.arange(1, config.num_tasks + 1).astype(np.str_),
    )


def _arrivals(config: LublinConfig, rng: np.random.Generator) -> tuple[Floats, Ints]:
    """The first `num_tasks` arrivals of all classes: submit times in s, index of the class."""
    count = config.num_tasks
    times = [_class_arrivals(e.arrivals, config, rng) for e in config.classes]
    submit_s = np.concatenate(times)
    first = np.argsort(submit_s, kind="stable")[:count]
    return np.maximum(1.0, np.floor(submit_s[first])), first // count


def _class_arrivals(model: ArrivalModel, config: LublinConfig, rng: np.random.Generator) -> Floats:
    """`num_tasks` arrivals of one class, in s from midnight."""
    shape = model.rush_shape * model.rush_to_day

    def draw(rows: Ints) -> Floats:
        return rng.gamma(shape, model.scale, len(rows))

    log_gaps = _draw_below(config.longest_log_gap, config.num_tasks, draw, "longest_log_gap")
    # "Points" of the authors' program: seconds of a clock that runs fast in busy half hours. A day
    # has as many points as seconds, so only the time within the day is moved.
    days, points = np.divmod(np.cumsum(np.exp(log_gaps)), DAY_S)
    points_before = np.concatenate([[0.0], np.cumsum(_daily_cycle(model) * BUCKET_S)])
    times: Floats = days * DAY_S + np.interp(
        points, points_before, np.arange(BUCKETS + 1) * BUCKET_S
    )
    return times


def _daily_cycle(model: ArrivalModel) -> Floats:
    """Weight of each half hour from midnight, `(48,)`, mean 1."""
    bucket = np.arange(FIRST_BUCKET, FIRST_BUCKET + BUCKETS)
    nodes, node_weights = np.polynomial.legendre.leggauss(8)  # exact to 1e-9 here
    x = bucket[:, None] + nodes / 2
    log_density = (model.cycle_shape - 1) * np.log(x) - x / model.cycle_scale
    weights = np.zeros(BUCKETS)
    weights[(bucket - 1) % BUCKETS] = np.exp(log_density - log_density.max()) @ node_weights
    weights /= weights.mean()
    return weights


def _sizes(model: SizeModel, processors: int, count: int, rng: np.random.Generator) -> Ints:
    """Processors of `count` tasks; stages that a small machine has no room for are cut."""
    high = max(model.low, np.log2(processors) - model.below_machine)
    middle = max(model.low, high - model.last_stage)
    in_first = rng.random(count) < model.first_stage
    log2_size = np.where(
        in_first, rng.uniform(model.low, middle, count), rng.uniform(middle, high, count)
    )
    kind = rng.random(count)
    power_of_two = kind < model.serial + model.power_of_two
    log2_size = np.where(power_of_two, np.floor(log2_size + 0.5), log2_size)
    size = np.where(kind < model.serial, 1.0, np.floor(2**log2_size + 0.5))
    return np.minimum(size, processors).astype(np.int64)


def _run_times(
    model: RunTimeModel, size: Ints, longest_log: float, rng: np.random.Generator
) -> Floats:
    """Run times in whole seconds, >= 1, of tasks of these sizes."""
    share = np.clip(model.slope * size + model.intercept, 0, 1)

    def draw(rows: Ints) -> Floats:
        short = rng.random(len(rows)) < share[rows]
        shape = np.where(short, model.short_shape, model.long_shape)
        return rng.gamma(shape, np.where(short, model.short_scale, model.long_scale))

    log_run_s = _draw_below(longest_log, len(size), draw, "longest_log_run_time")
    return np.floor(np.exp(log_run_s))


def _draw_below(limit: float, count: int, draw: Callable[[Ints], Floats], name: str) -> Floats:
    """`count` values of `draw(rows)`; those above `limit` are drawn again."""
    rows = np.arange(count)
    values = np.zeros(count)
    for _ in range(_MOST_ROUNDS):
        values[rows] = draw(rows)
        rows = rows[values[rows] > limit]
        if len(rows) == 0:
            return values
    raise ConfigError(
        f"lublin: {name} of {limit:g} is below almost everything that the model draws; raise it"
    )


def _stretch(submit_s: Floats, span_s: float) -> Floats:
    """Submit times with the same start whose span is `span_s`, in whole seconds."""
    now_s = submit_s[-1] - submit_s[0]
    if now_s < 1 or not 1 <= span_s <= _LONGEST_SPAN_S:
        raise ConfigError(
            f"lublin: with this load all tasks would arrive within {span_s:g} s; expected 1 to"
            f" {_LONGEST_SPAN_S:g} s and tasks that do not all arrive at once; change load or"
            " num_tasks"
        )
    stretched: Floats = submit_s[0] + np.rint((submit_s - submit_s[0]) * (span_s / now_s))
    return stretched
