"""Virtualisation: placing virtual machines on hosts, where neighbours interfere.

Most machines are small and live for minutes to hours, few for up to a day, and users start them in
groups (deployments), as Azure's have it (Cortez et al., "Resource Central", SOSP 2017). The exact
shares, medians and group sizes, and the cut at a day, are our choice. Deployments arrive as a
Poisson process in the daily cycle; all machines of one arrive together, are of one sort, and each
lives for itself. Policies see the mean lifetime of the sort, before that cut.

Interference: hosts of the sort `shared` sell each core twice, and machines that have a job to do
(class `job`) take 1 / 0.7 as long there, whoever the neighbours are; on other hosts, which sell
each core once, they run at full speed. Services live as long as they live. So interference is a
mean slowdown that a placement can avoid; not modelled: that it depends on who the neighbours are,
and on what they do at the time; nor machines that move.

Machines may ask for a zone, one in fifty for a host of its own, some for a share of a GPU or FPGA.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.tasks import Task
from lepton_rl.workloads.scenarios.arrivals import by_rate, daily_cycle, random_fractions
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

__all__ = ["ZONES", "VirtualisationConfig", "generate_virtualisation"]

ZONES = ("zone-a", "zone-b")

_SHORTEST_S = 60.0
_LONGEST_S = 86_400.0
_SIGMA = 1.2


class VirtualisationConfig(ScenarioConfig):
    """What to generate.

    Attributes:
        group_mean: mean number of machines of a deployment (geometric).
        in_zone: share of the deployments that ask for one of two zones.
        daily_depth: how much of the rate of arrivals comes and goes with the day.
    """

    group_mean: float = Field(default=3.0, ge=1, le=1000)
    in_zone: float = Field(default=0.3, ge=0, le=1)
    daily_depth: float = Field(default=0.5, ge=0, lt=1)


def _zone(name: str, scale: int) -> tuple[Node, ...]:
    """Three hosts that share cores, two that do not, one with GPUs and one with FPGAs."""
    label = frozenset({name})
    shared = Node(
        f"{name}-shared", {"cpu": 64, "memory": 256}, "", label, {"job": 0.7},
        idle_watts=120, peak_watts=420,
    )  # fmt: skip
    pinned = Node(
        f"{name}-pinned", {"cpu": 32, "memory": 256}, "", label, idle_watts=120, peak_watts=420
    )
    gpu = Node(
        f"{name}-gpu", {"cpu": 48, "memory": 256, "gpu": 4}, "T4", label,
        idle_watts=200, peak_watts=680,
    )  # fmt: skip
    fpga = Node(
        f"{name}-fpga", {"cpu": 32, "memory": 128, "fpga": 2}, "U250", label,
        idle_watts=180, peak_watts=600,
    )  # fmt: skip
    kinds = ((shared, 3), (pinned, 2), (gpu, 1), (fpga, 1))
    return machines(kinds, scale)


_SORTS = (
    # what it is, its share of the deployments, median lifetime in s
    (template("small", "service", cpu=1, memory=2), 0.30, 3600),
    (template("small-job", "job", cpu=1, memory=2), 0.14, 1200),
    (template("medium", "service", cpu=2, memory=8), 0.18, 5400),
    (template("medium-job", "job", cpu=4, memory=8), 0.14, 1800),
    (template("large", "service", cpu=8, memory=32), 0.07, 7200),
    (template("large-job", "job", cpu=16, memory=32), 0.04, 3600),
    (template("memory", "service", cpu=4, memory=64), 0.05, 7200),
    (template("whole-host", "job", cpu=24, memory=96, exclusive_node=True), 0.02, 3600),
    (template("vgpu", "service", cpu=4, memory=16, gpu=0.25), 0.04, 3600),
    (template("fpga", "job", cpu=4, memory=16, fpga=1), 0.02, 1800),
)


def _templates() -> tuple[Task, ...]:
    """Each sort in any zone, then each in each of the zones."""
    anywhere = [task for task, _, _ in _SORTS]
    in_zones = [
        template(
            f"{task.id}-{zone}", task.task_class, **task.demand,
            exclusive_node=task.exclusive_node, required_labels=frozenset({zone}),
        )
        for zone in ZONES
        for task in anywhere
    ]  # fmt: skip
    return (*anywhere, *in_zones)


def _groups(
    config: VirtualisationConfig, rng: np.random.Generator
) -> tuple[NDArray[np.int64], int]:
    """Deployment of each machine, ascending from 0, and how many deployments there are (>= 2)."""
    starts = rng.random(config.num_tasks) < 1 / config.group_mean
    starts[[0, -1]] = True  # the last stands alone, so that deployments have a span
    group = np.cumsum(starts) - 1
    return group, int(group[-1]) + 1


def generate_virtualisation(config: VirtualisationConfig, rng: np.random.Generator) -> Workload:
    """Draw a workload; the same config and generator state give the same one."""
    _, shares, medians_s = zip(*_SORTS, strict=True)
    cluster = Cluster(tuple(node for zone in ZONES for node in _zone(zone, config.scale)))
    templates = _templates()
    group, num_groups = _groups(config, rng)
    sort = rng.choice(len(_SORTS), num_groups, p=shares)
    zone = np.where(
        rng.random(num_groups) < config.in_zone, rng.integers(1, len(ZONES) + 1, num_groups), 0
    )
    which = (sort + zone * len(_SORTS))[group]
    median_s = np.array(medians_s)[sort][group]
    run_s = np.maximum(_SHORTEST_S, lognormal(median_s, _SIGMA, _LONGEST_S, rng))
    span_s = span_of_load(config.load, cluster, templates, which, run_s)
    rate = daily_cycle(span_s, config.daily_depth)
    draws = Draws(
        template=which,
        submit_s=by_rate(random_fractions(num_groups, rng), rate)[group],
        run_s=run_s,
        requested_s=median_s * np.exp(_SIGMA**2 / 2),
        tenants=np.char.add("user-", rng.integers(1, 41, num_groups).astype(np.str_))[group],
    )
    return assemble("virtualisation", cluster, templates, draws)
