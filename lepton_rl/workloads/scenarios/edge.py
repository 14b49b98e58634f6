"""Edge: small nodes in zones, a cloud behind links, data that must not leave its zone.

Four zones, each of two gateways, a box with a small GPU, and a filter with an FPGA. A task belongs
to the zone whose sensors it reads and runs there, or in the cloud behind the zone's link. What is
private stays in its zone, and so does what needs an FPGA, which the cloud does not have. Zones are
busy at different times: each has bursts of its own (four times the rate, 10 % of the time, 60 s in
the mean). Sizes, rates and deadlines are our choice.

Links: the time to bring the data to the cloud is in the speed there. The cloud's machines are
faster, but a video task, which carries much data, runs there at 0.5 of its speed in the zone,
others at 1.5. Not modelled: tasks that share a link slow each other down, links that fail, and
nodes that leave.

Deadline: 1.2 to 4 times the longest run time of the sort in the zone, uniformly. Policies see the
mean run time of the sort.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.tasks import Task
from lepton_rl.workloads.scenarios.arrivals import by_rate, random_bursts
from lepton_rl.workloads.scenarios.assembly import (
    Draws,
    ScenarioConfig,
    assemble,
    lognormal,
    machines,
    span_of_load,
    template,
)
from lepton_rl.workloads.workload import Workload

__all__ = ["ZONES", "EdgeConfig", "generate_edge"]

ZONES = ("north", "east", "south", "west")
"""Each is a label of its own nodes and of the cloud; `north-private` is of its own nodes alone."""

_SIGMA = 0.5
_BURST_S = 60.0
_BURST_SHARE = 0.1


class EdgeConfig(ScenarioConfig):
    """What to generate.

    Attributes:
        private: share of the tasks whose data must stay in the zone.
        burst_factor: how many times as many arrive in a zone in its bursts.
    """

    load: float = Field(default=0.8, gt=0, le=10)
    private: float = Field(default=0.3, ge=0, le=1)
    burst_factor: float = Field(default=4.0, ge=1, le=100)


def _zone(name: str, scale: int) -> tuple[Node, ...]:
    """Two gateways, a box with a GPU, and a filter with an FPGA."""
    labels = frozenset({name, f"{name}-private"})
    gateway = Node(
        f"{name}-gateway", {"cpu": 4, "memory": 8}, "", labels, idle_watts=5, peak_watts=15
    )
    box = Node(
        f"{name}-box", {"cpu": 8, "memory": 16, "gpu": 1}, "Jetson", labels,
        idle_watts=10, peak_watts=40,
    )  # fmt: skip
    kria = Node(
        f"{name}-filter", {"cpu": 2, "memory": 4, "fpga": 1}, "Kria", labels,
        idle_watts=5, peak_watts=15,
    )  # fmt: skip
    return machines(((gateway, 2), (box, 1), (kria, 1)), scale)


def _cluster(scale: int) -> Cluster:
    """Four zones and, behind their links, two machines of the cloud."""
    cloud = Node(
        "cloud", {"cpu": 16, "memory": 64, "gpu": 1}, "T4", frozenset(ZONES),
        {"": 1.5, "video": 0.5}, idle_watts=120, peak_watts=350,
    )  # fmt: skip
    zones = [node for zone in ZONES for node in _zone(zone, scale)]
    return Cluster((*zones, *machines(((cloud, 2),), scale)))


_SORTS = (
    # what it asks for, its share of the tasks, median run time in s
    (template("sensor", "sensor", cpu=0.5, memory=0.25), 0.35, 0.5),
    (template("filter", "sensor", cpu=0.5, memory=0.25, fpga=0.25), 0.10, 1.0),
    (template("detect", "video", cpu=1, memory=2, gpu=0.25), 0.30, 1.0),
    (template("track", "video", cpu=2, memory=4), 0.10, 2.0),
    (template("learn", "training", cpu=4, memory=4, gpu=0.5), 0.05, 8.0),
    (template("summary", "sensor", cpu=2, memory=2), 0.10, 3.0),
)


def _templates() -> tuple[Task, ...]:
    """Each sort in each zone, then each of them private to its zone."""
    return tuple(
        template(
            f"{task.id}-{label}", task.task_class, **task.demand,
            required_labels=frozenset({label}),
        )
        for suffix in ("", "-private")
        for label in (f"{zone}{suffix}" for zone in ZONES)
        for task, _, _ in _SORTS
    )  # fmt: skip


def _submit_s(
    config: EdgeConfig, span_s: float, zone: NDArray[np.int64], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Arrivals, each zone with bursts of its own; the first of all at 0, the last at the span."""
    submit_s = np.zeros(len(zone))
    for each in range(len(ZONES)):
        rows = np.flatnonzero(zone == each)
        rate = random_bursts(span_s, _BURST_S, _BURST_SHARE, config.burst_factor, rng)
        submit_s[rows] = by_rate(np.sort(rng.random(len(rows))), rate)
    first_s, last_s = submit_s.min(), submit_s.max()
    stretched: NDArray[np.float64] = (submit_s - first_s) * (span_s / (last_s - first_s))
    return stretched


def generate_edge(config: EdgeConfig, rng: np.random.Generator) -> Workload:
    """Draw a workload; the same config and generator state give the same one."""
    _, shares, medians_s = zip(*_SORTS, strict=True)
    cluster, templates, count = _cluster(config.scale), _templates(), config.num_tasks
    sort = rng.choice(len(_SORTS), count, p=shares)
    zone = rng.integers(0, len(ZONES), count)
    is_private = rng.random(count) < config.private
    which = (is_private * len(ZONES) + zone) * len(_SORTS) + sort
    median_s = np.array(medians_s)[sort]
    longest_s = median_s * np.exp(2 * _SIGMA)
    run_s = lognormal(median_s, _SIGMA, longest_s, rng)
    span_s = span_of_load(config.load, cluster, templates, which, run_s)
    draws = Draws(
        template=which,
        submit_s=_submit_s(config, span_s, zone, rng),
        run_s=run_s,
        requested_s=median_s * np.exp(_SIGMA**2 / 2),
        patience_s=longest_s * rng.uniform(1.2, 4, count),
        tenants=np.array(ZONES)[zone],
    )
    return assemble("edge", cluster, templates, draws)
