"""ML platform: training, notebooks, data preparation and inference tests of several teams.

Cards a job asks for, from a share of one to two whole nodes, follow the skew of Philly (Jeon et
al., "Analysis of large-scale multi-tenant GPU clusters for DNN training workloads", ATC'19): most
ask for one, few for eight or more, and run times are heavy-tailed. The shares of the sorts of work,
the medians and the speeds of the cards are our choice, in the order of what that paper and the
throughput matrix of Gavel (OSDI'20) report.

Arrivals: Poisson, in the daily cycle. Users ask for 1 to 3 times the run time, uniformly. Training
saves its work each 10 min and may be stopped.

Not modelled: jobs that fail, pipelines of jobs that need each other, network between nodes.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
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

__all__ = ["MLPlatformConfig", "generate_ml_platform"]

_LONGEST_S = 2 * 86_400.0
_CHECKPOINT_S = 600.0
_LARGE = frozenset({"A100", "V100"})


class MLPlatformConfig(ScenarioConfig):
    """What to generate.

    Attributes:
        teams: tenants; team i submits in proportion to 1 / i (Zipf).
        daily_depth: how much of the rate of arrivals comes and goes with the day.
    """

    teams: int = Field(default=8, ge=1, le=1000)
    daily_depth: float = Field(default=0.6, ge=0, lt=1)


def _cluster(scale: int) -> Cluster:
    """56 GPUs of three models, four FPGAs and two nodes without devices, times `scale`."""
    a100 = Node(
        "a100", {"cpu": 96, "memory": 768, "gpu": 8}, "A100",
        speed_factors={"training": 2.0, "interactive": 1.5}, idle_watts=800, peak_watts=4200,
    )  # fmt: skip
    v100 = Node(
        "v100", {"cpu": 64, "memory": 512, "gpu": 8}, "V100", idle_watts=600, peak_watts=3200
    )
    t4 = Node(
        "t4", {"cpu": 48, "memory": 192, "gpu": 4}, "T4",
        speed_factors={"training": 0.4, "interactive": 0.7}, idle_watts=200, peak_watts=600,
    )  # fmt: skip
    u250 = Node(
        "u250", {"cpu": 32, "memory": 128, "fpga": 4}, "U250", idle_watts=250, peak_watts=1000
    )
    plain = Node("cpu", {"cpu": 64, "memory": 256}, idle_watts=120, peak_watts=500)
    kinds = ((a100, 2), (v100, 3), (t4, 4), (u250, 1), (plain, 2))
    return Cluster(machines(kinds, scale))


def _training(name: str, cards: float, replicas: int = 1) -> Task:
    large = cards >= 4
    return template(
        name, "training", cpu=4 * max(1, int(cards)), memory=24 * max(1, int(cards)), gpu=cards,
        num_replicas=replicas, device_models=_LARGE if large else frozenset(), preemptible=True,
        checkpoint_interval_s=_CHECKPOINT_S,
    )  # fmt: skip


_SORTS: Sequence[tuple[Task, float, float, float]] = (
    # what it is, its share of the tasks, median run time in s, sigma of its logarithm
    (_training("train-1", 1), 0.34, 1200, 1.5),
    (_training("train-2", 2), 0.07, 1800, 1.4),
    (_training("train-4", 4), 0.06, 2700, 1.3),
    (_training("train-8", 8), 0.04, 3600, 1.2),
    (_training("train-16", 8, replicas=2), 0.01, 5400, 1.0),
    (template("notebook", "interactive", cpu=2, memory=8, gpu=0.25), 0.14, 1500, 1.0),
    (template("experiment", "interactive", cpu=4, memory=16, gpu=0.5), 0.12, 600, 1.2),
    (template("prepare", "data", cpu=8, memory=32), 0.16, 300, 1.2),
    (template("fpga-test", "fpga", cpu=4, memory=8, fpga=0.5), 0.06, 400, 0.8),
)


def generate_ml_platform(config: MLPlatformConfig, rng: np.random.Generator) -> Workload:
    """Draw a workload; the same config and generator state give the same one."""
    templates, shares, medians_s, sigmas = zip(*_SORTS, strict=True)
    cluster = _cluster(config.scale)
    which = rng.choice(len(templates), config.num_tasks, p=shares)
    run_s = lognormal(np.array(medians_s)[which], np.array(sigmas)[which], _LONGEST_S, rng)
    run_s = np.maximum(1.0, run_s)
    span_s = span_of_load(config.load, cluster, templates, which, run_s)
    rate = daily_cycle(span_s, config.daily_depth)
    weights = 1 / np.arange(1, config.teams + 1)
    team = rng.choice(config.teams, config.num_tasks, p=weights / weights.sum())
    draws = Draws(
        template=which,
        submit_s=by_rate(random_fractions(config.num_tasks, rng), rate),
        run_s=run_s,
        requested_s=run_s * rng.uniform(1, 3, config.num_tasks),
        tenants=np.char.add("team-", (team + 1).astype(np.str_)),
    )
    return assemble("ml-platform", cluster, templates, draws)
