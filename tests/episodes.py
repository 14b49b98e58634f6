"""Small workloads, simulators over them, and what a schedule costs in plain Python."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lepton_rl.sim.batch import BatchSimulator, episode_rule
from lepton_rl.sim.objective import Objective
from lepton_rl.sim.tables import SimTable
from lepton_rl.workloads.workload import Workload

MICRO = 1_000_000


def on_pool(processors: int, *tasks: tuple[float, ...]) -> Workload:
    """Rigid tasks, each `(submit_s, size, run_s)` or, with an estimate, `(..., requested_s)`."""
    columns = np.array([(*task, task[2])[:4] for task in tasks], np.float64)
    return Workload.on_pool(
        "by hand",
        processors,
        submit_s=columns[:, 0],
        size=columns[:, 1].astype(np.int64),
        run_s=columns[:, 2],
        requested_s=columns[:, 3],
        ids=np.array([f"t{index}" for index in range(len(tasks))]),
    )


def simulator(
    work: Workload, *, batch: int = 1, length: int | None = None, slots: int = 8, **rule: Any
) -> BatchSimulator:
    """Episodes of `length` tasks, all by default; nothing has begun."""
    return BatchSimulator(
        work.tasks,
        work.run_us,
        work.cluster,
        batch=batch,
        episode_tasks=len(work) if length is None else length,
        slots=slots,
        rule=episode_rule(**rule),
    )


def cost(objective: Objective, wait_s: float, run_s: float, slack_s: float = math.inf) -> float:
    """What one task costs that could wait for `slack_s`, by the definition of the metric."""
    if objective is Objective.DEADLINES:
        return float(wait_s > slack_s)
    if objective is Objective.WAIT:
        return wait_s
    if objective is Objective.TURNAROUND:
        return wait_s + run_s
    return max(1.0, (wait_s + run_s) / max(run_s, 10.0))


def costs_of_starts(work: Workload, starts_us: list[int], objective: Objective) -> list[float]:
    """Cost of each task of `work` that starts at these times, on nodes of speed 1."""
    submit_us, run_us = work.tasks["submit_us"], work.run_us
    slack_us = (work.tasks["deadline_us"] - submit_us - run_us).tolist()
    rows = zip(submit_us.tolist(), starts_us, run_us.tolist(), slack_us, strict=True)
    return [
        cost(objective, (start - sub) / MICRO, run / MICRO, slack / MICRO)
        for sub, start, run, slack in rows
    ]


def starts_us(sim: SimTable, b: int = 0) -> list[int]:
    """Start times of the tasks of an episode that is over."""
    count = int(sim.progress["num_tasks"][b])
    return sim.state.spans["start_us"][b, :count].tolist()


def leaves(value: Any) -> list[np.ndarray]:
    """The arrays in nested tuples."""
    if isinstance(value, tuple):
        return [leaf for item in value for leaf in leaves(item)]
    return [value] if isinstance(value, np.ndarray) else []


def frozen(value: Any) -> list[bytes]:
    """A copy of all arrays in nested tuples, to see whether anything has changed."""
    return [leaf.tobytes() for leaf in leaves(value)]
