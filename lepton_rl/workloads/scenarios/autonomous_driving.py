"""Autonomous driving: the computers of a vehicle, sensors on a clock, hard deadlines.

Sensors and rates are those of the nuScenes vehicle (Caesar et al., CVPR 2020): six cameras at
12 Hz, one lidar at 20 Hz, five radars at 13 Hz. Every release has to be done before the next one
of its source (implicit deadlines, Liu and Layland, JACM 1973), and within 100 ms (Lin et al., "The
architectural implications of autonomous driving", ASPLOS 2018). Rates of what follows the sensors,
the shares of the cards and the ratios of the run times are our choice.

Periods are given, so the load is met by the length of the runs: all are multiplied by one factor.
A run takes its usual time x uniform(0.7, 1.3), for what is on the road; policies see the longest.
A release is late by up to 2 % of its period.

A missed deadline is counted; the run goes on to its end. Not modelled: runs that are dropped when
late, and that a fusion needs the results of its sensors (each release stands alone).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from pydantic import Field

from lepton_rl.core.errors import ConfigError
from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.tasks import Task
from lepton_rl.workloads.scenarios.arrivals import periodic
from lepton_rl.workloads.scenarios.assembly import (
    Draws,
    ScenarioConfig,
    assemble,
    span_of_load,
    template,
)
from lepton_rl.workloads.workload import Workload

__all__ = ["LONGEST_DEADLINE_S", "AutonomousDrivingConfig", "generate_autonomous_driving"]

LONGEST_DEADLINE_S = 0.1
"""From a release to its deadline, where the period is longer."""

_JITTER = 0.02
_SPREAD = 0.3


class AutonomousDrivingConfig(ScenarioConfig):
    """What to generate.

    Attributes:
        load: see `ScenarioConfig`; at most about 0.8, where runs become as long as deadlines.
        scale: vehicles; work stays in its vehicle.
    """

    load: float = Field(default=0.75, gt=0, le=10)
    scale: int = Field(default=1, ge=1, le=50)


class _Source(NamedTuple):
    """Something in the vehicle that releases work by its own clock."""

    task: Task
    number: int
    rate_hz: float
    usual_s: float  # run time before the load is met

    @property
    def period_s(self) -> float:
        return 1 / self.rate_hz


_SAFE = frozenset({"lockstep"})
_SOURCES = (
    _Source(template("camera", "vision", cpu=1, memory=0.5, gpu=0.5), 6, 12, 0.015),
    _Source(template("segment", "vision", cpu=1, memory=1, gpu=0.5), 1, 12, 0.020),
    _Source(template("lidar", "points", cpu=1, memory=1, gpu=0.5), 1, 20, 0.012),
    _Source(template("radar", "signal", cpu=0.5, memory=0.25, fpga=0.25), 5, 13, 0.008),
    _Source(template("localise", "plan", cpu=1, memory=0.5), 1, 50, 0.004),
    _Source(template("fuse", "plan", cpu=2, memory=1), 1, 20, 0.010),
    _Source(template("plan", "plan", cpu=2, memory=1, required_labels=_SAFE), 1, 10, 0.020),
    _Source(template("control", "plan", cpu=1, memory=0.25, required_labels=_SAFE), 1, 100, 0.001),
    _Source(template("log", "plan", cpu=1, memory=0.5), 2, 5, 0.015),
)


def _vehicle(number: int) -> tuple[Node, ...]:
    """Two new and one older system on chip, a radar front end, two controllers in lockstep."""
    label = frozenset({f"vehicle-{number}"})
    chip = {"cpu": 8, "memory": 16, "gpu": 1}
    slow = {"vision": 0.7, "points": 0.75}
    controller = {"cpu": 4, "memory": 4}
    return (
        Node(f"orin-{number}-0", chip, "Orin", label, idle_watts=15, peak_watts=60),
        Node(f"orin-{number}-1", chip, "Orin", label, idle_watts=15, peak_watts=60),
        Node(f"xavier-{number}", chip, "Xavier", label, slow, idle_watts=10, peak_watts=30),
        Node(
            f"radar-{number}", {"cpu": 4, "memory": 4, "fpga": 1}, "Versal", label,
            idle_watts=8, peak_watts=25,
        ),
        Node(f"safe-{number}-0", controller, "", label | _SAFE, idle_watts=3, peak_watts=10),
        Node(f"safe-{number}-1", controller, "", label | _SAFE, idle_watts=3, peak_watts=10),
    )  # fmt: skip


def _in_vehicle(task: Task, number: int) -> Task:
    labels = task.required_labels | {f"vehicle-{number}"}
    return template(task.id, task.task_class, **task.demand, required_labels=labels)


def generate_autonomous_driving(
    config: AutonomousDrivingConfig, rng: np.random.Generator
) -> Workload:
    """Draw a workload; the same config and generator state give the same one.

    Raises:
        ConfigError: with runs of this load, a deadline could not be met on an idle computer.
    """
    vehicles = range(config.scale)
    cluster = Cluster(tuple(node for v in vehicles for node in _vehicle(v)))
    sources = [each for _ in vehicles for s in _SOURCES for each in [s] * s.number]
    templates = [
        _in_vehicle(s.task, v) for v in vehicles for s in _SOURCES for _ in range(s.number)
    ]
    periods_s = [each.period_s for each in sources]
    submit_s, which = periodic(periods_s, config.num_tasks, _JITTER, rng)
    usual_s = np.array([each.usual_s for each in sources])[which]
    run_s = usual_s * rng.uniform(1 - _SPREAD, 1 + _SPREAD, config.num_tasks)
    needed_s = span_of_load(config.load, cluster, templates, which, run_s)
    factor = (submit_s.max() - submit_s.min()) / needed_s
    patience_s = np.minimum(np.array(periods_s)[which], LONGEST_DEADLINE_S)
    longest_s = usual_s * (1 + _SPREAD) * factor
    _require_attainable(config.load, float((longest_s / patience_s).max()))
    draws = Draws(which, submit_s, run_s * factor, longest_s, patience_s)
    return assemble("autonomous-driving", cluster, templates, draws)


def _require_attainable(load: float, worst: float) -> None:
    """`worst` is the largest share of its time to the deadline that a run can take."""
    if worst > 1:
        raise ConfigError(
            f"autonomous-driving: load {load:g} needs runs of up to {100 * worst:.0f} % of their"
            f" time to the deadline, which nothing can meet; use a load of {load / worst:.2g} or"
            " less"
        )
