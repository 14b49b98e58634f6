"""From what a scenario draws to its workload."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lepton_rl.core.clock import to_us
from lepton_rl.core.intake import Intake
from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.settings import Settings
from lepton_rl.core.tables import NEVER_US
from lepton_rl.core.tasks import Task
from lepton_rl.workloads.record_codes import write_codes
from lepton_rl.workloads.workload import Workload

__all__ = [
    "Draws",
    "ScenarioConfig",
    "assemble",
    "lognormal",
    "machines",
    "span_of_load",
    "template",
]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class ScenarioConfig(Settings):
    """What every scenario can be asked for.

    Attributes:
        num_tasks: tasks in all.
        load: offered load of the scarcest kind of resource (`sources.offered_load`), met exactly
            but for the rounding to microseconds; counted in run times on nodes of speed 1.
        scale: how many times the cluster of docs/scenarios.md; the load stays.
    """

    num_tasks: int = Field(default=20_000, ge=2, le=10**7)
    load: float = Field(default=0.8, gt=0, le=10)
    scale: int = Field(default=1, ge=1, le=1000)


@dataclass(frozen=True, slots=True)
class Draws:
    """What tells the tasks of a scenario apart, one entry a task.

    Attributes:
        template: `(N,)` which of the scenario's templates it follows.
        submit_s: `(N,)` submit times in s, in any order.
        run_s: `(N,)` true run times in s on a node of speed 1.
        requested_s: `(N,)` what policies see of them.
        patience_s: `(N,)` from submit time to deadline in s; None for no deadlines.
        tenants: `(N,)` names; None for none.
    """

    template: Ints
    submit_s: Floats
    run_s: Floats
    requested_s: Floats
    patience_s: Floats | None = None
    tenants: NDArray[np.str_] | None = None


def assemble(name: str, cluster: Cluster, templates: Sequence[Task], draws: Draws) -> Workload:
    """The workload: each task is its template with its own times.

    Raises:
        InfeasibleTaskError: a template that the empty cluster cannot hold.
    """
    order = np.argsort(draws.submit_s, kind="stable")
    which = draws.template[order]
    tasks = Intake(cluster).table(templates)[which]
    tasks["submit_us"] = to_us(draws.submit_s[order])
    tasks["requested_us"] = tasks["limit_us"] = np.maximum(1, to_us(draws.requested_s[order]))
    tasks["deadline_us"] = NEVER_US
    if draws.patience_s is not None:
        tasks["deadline_us"] = tasks["submit_us"] + np.maximum(1, to_us(draws.patience_s[order]))
    tenants = None if draws.tenants is None else draws.tenants[order]
    task_classes = np.array([each.task_class for each in templates], np.str_)[which]
    write_codes(tasks, cluster, tenants, task_classes)
    names = np.array([f"{each.id}-" for each in templates], np.str_)[which]
    return Workload(
        name,
        cluster,
        tasks,
        np.maximum(1, to_us(draws.run_s[order])),
        np.char.add(names, np.arange(1, len(order) + 1).astype(np.str_)),
        tenants=tenants,
        task_classes=task_classes,
    )


def span_of_load(
    load: float, cluster: Cluster, templates: Sequence[Task], template: Ints, run_s: Floats
) -> float:
    """Seconds over which this work is the offered load `load` of the scarcest kind of resource.

    Args:
        load: above 0.
        cluster: with its whole capacity.
        templates: what tasks ask for.
        template: `(n,)` which of them each task is.
        run_s: `(n,)` run times in s.
    """
    intake = Intake(cluster)
    table = intake.table(templates)
    held = table["demand"][:, : len(cluster.schema.kinds)] * table["replicas"][:, None]
    work = np.bincount(template, run_s, len(templates)) @ held  # (K,) unit seconds
    return float((work / intake.nodes.total).max() / load)


def template(name: str, task_class: str, **traits: object) -> Task:
    """What tasks of one sort have in common: a `Task` whose times are filled in later."""
    demand = {k: traits.pop(k) for k in ("cpu", "memory", "gpu", "fpga") if k in traits}
    return Task(name, demand, 1.0, task_class=task_class, **traits)  # type: ignore[arg-type]


def machines(kinds: Iterable[tuple[Node, int]], scale: int) -> tuple[Node, ...]:
    """Of each kind so many machines, `scale` times as many in all; names get a number.

    Args:
        kinds: a machine and how many there are like it.
        scale: >= 1.
    """
    return tuple(
        replace(node, name=f"{node.name}-{number}")
        for node, count in kinds
        for number in range(count * scale)
    )


def lognormal(
    median_s: Floats, sigma: Floats | float, longest_s: Floats | float, rng: np.random.Generator
) -> Floats:
    """Lognormal times in s, one for each median, cut at `longest_s`."""
    drawn: Floats = np.minimum(median_s * np.exp(sigma * rng.normal(size=len(median_s))), longest_s)
    return drawn
