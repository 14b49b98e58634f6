"""Load balancing: short requests of several services over servers of unlike speed.

Which server takes a request matters more than which request is first. Service times are lognormal,
those of files Pareto with a tail index of 1.2 (Crovella and Bestavros, "Self-similarity in World
Wide Web traffic", ToN 1997), cut at 2 s. Arrivals are bursty: a two-state modulated Poisson
process, three times the rate for 10 % of the time, 2 s in the mean. Medians, shares and the speeds
of the servers are our choice. Policies see the mean service time of the service, not the request's.

Not modelled: connections, sessions that stick to a server, requests that give up, network.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.workloads.scenarios.arrivals import by_rate, random_bursts, random_fractions
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

__all__ = ["PARETO_INDEX", "LoadBalancingConfig", "generate_load_balancing"]

PARETO_INDEX = 1.2

_SHORTEST_S = 0.001
_LONGEST_S = 2.0
_SIGMA = 0.7


class LoadBalancingConfig(ScenarioConfig):
    """What to generate.

    Attributes:
        burst_factor: how many times as many arrive in a burst.
        burst_share: share of the time that is one.
        burst_s: mean length of a burst in s.
    """

    burst_factor: float = Field(default=3.0, ge=1, le=1000)
    burst_share: float = Field(default=0.1, gt=0, lt=1)
    burst_s: float = Field(default=2.0, gt=0, le=1e6)


def _cluster(scale: int) -> Cluster:
    """Eight CPU servers of two generations, five with GPUs of two models, one with FPGAs."""
    new = Node("web-new", {"cpu": 8, "memory": 32}, idle_watts=60, peak_watts=200)
    old = Node(
        "web-old", {"cpu": 8, "memory": 32}, "", speed_factors={"web": 0.5, "render": 0.6},
        idle_watts=80, peak_watts=220,
    )  # fmt: skip
    a10 = Node(
        "a10", {"cpu": 8, "memory": 64, "gpu": 1}, "A10", speed_factors={"model": 2.0},
        idle_watts=90, peak_watts=350,
    )  # fmt: skip
    t4 = Node("t4", {"cpu": 8, "memory": 64, "gpu": 1}, "T4", idle_watts=70, peak_watts=210)
    u50 = Node("u50", {"cpu": 4, "memory": 16, "fpga": 1}, "U50", idle_watts=50, peak_watts=140)
    kinds = ((old, 4), (new, 4), (t4, 3), (a10, 2), (u50, 1))
    return Cluster(machines(kinds, scale))


_SORTS = (
    # what it is, its share of the requests, median service time in s
    (template("page", "web", cpu=1, memory=0.25), 0.42, 0.080),
    (template("file", "web", cpu=1, memory=0.25), 0.25, 0.0),  # Pareto
    (template("render", "render", cpu=4, memory=1), 0.10, 0.150),
    (template("classify", "model", cpu=0.5, memory=1, gpu=0.25), 0.15, 0.060),
    (template("generate", "model", cpu=1, memory=4, gpu=1), 0.02, 0.200),
    (template("compress", "stream", cpu=0.5, memory=0.5, fpga=0.25), 0.06, 0.030),
)
_FILE = 1


def _file_s(count: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Pareto service times from 20 ms on."""
    drawn: NDArray[np.float64] = np.minimum(
        0.020 * (1 + rng.pareto(PARETO_INDEX, count)), _LONGEST_S
    )
    return drawn


def generate_load_balancing(config: LoadBalancingConfig, rng: np.random.Generator) -> Workload:
    """Draw a workload; the same config and generator state give the same one."""
    templates, shares, medians_s = zip(*_SORTS, strict=True)
    cluster = _cluster(config.scale)
    which = rng.choice(len(templates), config.num_tasks, p=shares)
    run_s = lognormal(np.array(medians_s)[which], _SIGMA, _LONGEST_S, rng)
    files = which == _FILE
    run_s[files] = _file_s(int(files.sum()), rng)
    run_s = np.maximum(_SHORTEST_S, run_s)
    span_s = span_of_load(config.load, cluster, templates, which, run_s)
    rate = random_bursts(span_s, config.burst_s, config.burst_share, config.burst_factor, rng)
    means_s = np.bincount(which, run_s, len(templates)) / np.maximum(1, np.bincount(which))
    draws = Draws(
        template=which,
        submit_s=by_rate(random_fractions(config.num_tasks, rng), rate),
        run_s=run_s,
        requested_s=means_s[which],
    )
    return assemble("load-balancing", cluster, templates, draws)
