"""Stream processing: pipelines that cut their streams into batches by the clock.

As in discretized streams (Zaharia et al., SOSP 2013): a pipeline makes a batch of what came in
each interval, and keeps up as long as batches are done faster than they come. A batch is one task.
Its work is proportional to the records of its interval: the rate of each pipeline is 1 most of the
time and 2.5 in bursts (10 % of the time, 30 s in the mean), and all follow a wave of 20 min. It
should be done within two intervals, which is the delay that users see. Intervals (0.5 to 5 s),
sorts of operators, the strength of the bursts and the deadline are our choice.

Periods are given, so the load is met by the length of the runs: all are multiplied by one factor.
Policies see the work that the records of a batch mean; the true one differs by uniform(0.8, 1.2).

Not modelled: that batches of a pipeline must be done in turn, state, and shuffles over the network.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lepton_rl.core.errors import ConfigError
from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.workloads.scenarios.arrivals import periodic, random_bursts
from lepton_rl.workloads.scenarios.assembly import (
    Draws,
    ScenarioConfig,
    assemble,
    machines,
    span_of_load,
    template,
)
from lepton_rl.workloads.workload import Workload

__all__ = [
    "DEADLINE_INTERVALS",
    "INTERVALS_S",
    "StreamProcessingConfig",
    "generate_stream_processing",
]

INTERVALS_S = (0.5, 1.0, 2.0, 5.0)
"""Length of a batch; pipelines take them in turn."""

DEADLINE_INTERVALS = 2
"""From the end of a batch's interval to its deadline, in intervals."""

_WAVE_S = 1200.0
_WAVE_DEPTH = 0.3
_SPREAD = 0.2
_BURST_S = 30.0
_BURST_SHARE = 0.1


class StreamProcessingConfig(ScenarioConfig):
    """What to generate.

    Attributes:
        load: see `ScenarioConfig`; runs become as long as deadlines at about 0.79 for the default
            number of pipelines.
        pipelines: times `scale`.
        burst_factor: how many times as many records come in a burst.
    """

    load: float = Field(default=0.75, gt=0, le=10)
    pipelines: int = Field(default=64, ge=1, le=10_000)
    burst_factor: float = Field(default=2.5, ge=1, le=100)


def _cluster(scale: int) -> Cluster:
    """Eight CPU workers of two generations, three with a GPU, one with two FPGAs."""
    new = Node("worker-new", {"cpu": 16, "memory": 64}, idle_watts=90, peak_watts=280)
    old = Node(
        "worker-old", {"cpu": 16, "memory": 64}, "", speed_factors={"parse": 0.7, "join": 0.6},
        idle_watts=110, peak_watts=300,
    )  # fmt: skip
    l4 = Node(
        "l4", {"cpu": 8, "memory": 32, "gpu": 1}, "L4", speed_factors={"score": 1.5},
        idle_watts=60, peak_watts=180,
    )  # fmt: skip
    t4 = Node("t4", {"cpu": 8, "memory": 32, "gpu": 1}, "T4", idle_watts=70, peak_watts=200)
    u250 = Node("u250", {"cpu": 8, "memory": 32, "fpga": 2}, "U250", idle_watts=90, peak_watts=300)
    kinds = ((old, 4), (new, 4), (t4, 2), (l4, 1), (u250, 1))
    return Cluster(machines(kinds, scale))


_SORTS = (
    # what it is, work in s for the records of a second at rate 1, before the load is met
    (template("parse", "parse", cpu=2, memory=1), 0.20),
    (template("window", "parse", cpu=4, memory=4), 0.22),
    (template("join", "join", cpu=8, memory=16), 0.20),
    (template("score", "score", cpu=1, memory=4, gpu=0.5), 0.12),
    (template("filter", "filter", cpu=1, memory=1, fpga=0.5), 0.08),
)
_OPERATORS = (0, 1, 0, 2, 3, 0, 1, 4)
"""Sort of each pipeline, in turn."""


def _records(
    config: StreamProcessingConfig,
    submit_s: NDArray[np.float64],
    pipeline: NDArray[np.int64],
    rng: np.random.Generator,
) -> NDArray[np.float64]:
    """Rate of records of each batch, relative to a calm time."""
    wave = 1 + _WAVE_DEPTH * np.sin(2 * np.pi * submit_s / _WAVE_S)
    span_s = float(submit_s.max()) + 1.0
    rates = np.ones(len(submit_s))
    for each in np.unique(pipeline):
        rate = random_bursts(span_s, _BURST_S, _BURST_SHARE, config.burst_factor, rng)
        rows = pipeline == each
        rates[rows] = rate.at(submit_s[rows])
    return rates * wave


def generate_stream_processing(
    config: StreamProcessingConfig, rng: np.random.Generator
) -> Workload:
    """Draw a workload; the same config and generator state give the same one.

    Raises:
        ConfigError: with runs of this load, a deadline could not be met on an idle worker.
    """
    templates = [task for task, _ in _SORTS]
    work_s = [seconds for _, seconds in _SORTS]
    cluster, number = _cluster(config.scale), np.arange(config.pipelines * config.scale)
    sort = np.array(_OPERATORS)[number % len(_OPERATORS)]
    intervals_s = np.array(INTERVALS_S)[number // len(_OPERATORS) % len(INTERVALS_S)]
    submit_s, pipeline = periodic(intervals_s.tolist(), config.num_tasks, 0.0, rng)
    which, interval_s = sort[pipeline], intervals_s[pipeline]
    expected_s = _records(config, submit_s, pipeline, rng) * np.array(work_s)[which] * interval_s
    run_s = expected_s * rng.uniform(1 - _SPREAD, 1 + _SPREAD, config.num_tasks)
    needed_s = span_of_load(config.load, cluster, templates, which, run_s)
    factor = (submit_s.max() - submit_s.min()) / needed_s
    patience_s = DEADLINE_INTERVALS * interval_s
    _require_attainable(config.load, float((run_s * factor / patience_s).max()))
    names = np.char.add("pipeline-", (pipeline + 1).astype(np.str_))
    draws = Draws(which, submit_s, run_s * factor, expected_s * factor, patience_s, names)
    return assemble("stream-processing", cluster, templates, draws)


def _require_attainable(load: float, worst: float) -> None:
    """`worst` is the largest share of its time to the deadline that a run takes."""
    if worst > 1:
        raise ConfigError(
            f"stream-processing: load {load:g} needs batches of {100 * worst:.0f} % of their time"
            f" to the deadline, which nothing can meet; use a load of {load / worst:.2g} or less,"
            " more pipelines, or a smaller burst_factor"
        )
