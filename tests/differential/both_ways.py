"""One workload under one heuristic, through the Python system and through the simulator."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import patch

import numpy as np
from numpy.testing import assert_array_equal

from lepton_rl.core.errors import InfeasibleTaskError
from lepton_rl.core.intake import Intake, node_table
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.schedule import Schedule
from lepton_rl.core.tables import View
from lepton_rl.core.tasks import Task
from lepton_rl.core.typical import typical_tasks
from lepton_rl.policies.registry import heuristic
from lepton_rl.sim import replay as replay_module
from lepton_rl.sim.replay import replay
from lepton_rl.sim.tables import SimTable, empty_sim
from lepton_rl.system import Scheduler
from lepton_rl.system.source import tasks_from
from lepton_rl.workloads.sources import offered_load
from lepton_rl.workloads.workload import Workload
from tests.scenarios import random_cluster, random_tasks

TIMES = ("submit_us", "requested_us", "limit_us", "checkpoint_us")


@dataclass(frozen=True)
class Replayed:
    """What the simulator made of a workload, and the tables it ended with."""

    schedule: Schedule
    sim: SimTable


def by_system(workload: Workload, spec: str) -> Scheduler:
    system = Scheduler(
        workload.cluster,
        heuristic(spec),
        event_batching="single" if "blocking" in spec else "instant",
        typical=typical_tasks(workload.tasks, node_table(workload.cluster)),
    )
    system.submit_all(workload)
    system.run()
    return system


def by_simulator(workload: Workload, spec: str) -> Replayed:
    made: list[SimTable] = []

    def kept(*args: Any) -> SimTable:
        made.append(empty_sim(*args))
        return made[-1]

    with patch.object(replay_module, "empty_sim", kept):
        schedule = replay(workload.tasks, workload.run_us, workload.cluster, heuristic(spec).rule)
    return Replayed(schedule, made[-1])


def compare(workload: Workload, spec: str) -> Scheduler:
    """Demand the same of both: times, nodes, service, signals and the tenants' records."""
    system, replayed = by_system(workload, spec), by_simulator(workload, spec)
    require_same_runs(system, replayed)
    require_same_memory(system.assess(), replayed.sim.state, workload)
    assert not system.monitor.incidents
    return system


def require_same_runs(system: Scheduler, replayed: Replayed) -> None:
    """When each task first started, its last run, and the time that all its runs took."""
    schedule, view = replayed.schedule, replayed.sim.state
    spans = [(record.submit_us, record.first_start_us, record.end_us) for record in system.records]
    columns = (schedule.submit_us, schedule.start_us, schedule.end_us)
    assert_array_equal(np.array(spans), np.column_stack(columns), "submit, start, end")
    assert_array_equal(system.schedule().nodes, schedule.nodes, "nodes")
    last_us = [record.start_us for record in system.records]
    assert_array_equal(last_us, view.spans["start_us"][0], "last start")
    served_us = [record.on_nodes_us for record in system.records]
    assert_array_equal(served_us, view.spans["served_us"][0], "service")


def require_same_memory(system: View, simulator: View, workload: Workload) -> None:
    """What is remembered of the past: signals, and what each tenant has used.

    The simulator counts nothing for a tenant that is alone.
    """
    assert system.status["now_us"][0] == simulator.status["now_us"][0]
    for name in simulator.signals.dtype.names:
        assert system.signals[name][0] == simulator.signals[name][0], name
    count = int(workload.tasks["tenant"].max()) + 1
    assert simulator.tenants.shape == (1, count)
    if count > 1:
        for name in simulator.tenants.dtype.names:
            assert_array_equal(system.tenants[name][0, :count], simulator.tenants[name][0], name)


def scenario(seed: int, count: int = 60) -> Workload:
    """Random tasks of every sort on a random cluster."""
    rng = np.random.default_rng(seed)
    cluster = random_cluster(rng)
    return Workload.from_tasks(f"random {seed}", cluster, random_tasks(rng, cluster, count))


def with_predictions(workload: Workload, seed: int) -> Workload:
    """The same tasks, most of them with predictions below what their users asked for."""
    rng, tasks = np.random.default_rng(seed), workload.tasks.copy()
    factor = rng.choice((1.0, 0.5, 0.1, 0.01), len(tasks))
    tasks["requested_us"] = np.maximum(1, tasks["limit_us"] * factor)
    return replace(workload, tasks=tasks)


def stretched(workload: Workload, factor: int) -> Workload:
    """The same in slow motion, so that tasks reach the service classes of `las`."""
    tasks = workload.tasks.copy()
    for name in TIMES:
        tasks[name] *= factor
    has_deadline = tasks["deadline_us"] != np.iinfo(np.int64).max
    tasks["deadline_us"][has_deadline] *= factor
    return replace(workload, tasks=tasks, run_us=workload.run_us * factor)


def with_preemption(workload: Workload, seed: int, *, checkpoints: bool) -> Workload:
    """The same tasks; three in four may be stopped, and save their work or do not."""
    rng, tasks = np.random.default_rng(seed), workload.tasks.copy()
    tasks["preemptible"] = rng.random(len(tasks)) < 0.75
    interval_us = np.maximum(1, workload.run_us // rng.integers(1, 6, len(tasks)))
    tasks["checkpoint_us"] = interval_us if checkpoints else 0
    return replace(workload, tasks=tasks)


def part_of(workload: Workload, every: int, load: float) -> Workload:
    """Every so many nodes, the tasks they can hold, and arrivals as dense as makes `load`."""
    cluster = Cluster(workload.cluster.nodes[::every])
    tasks = [task for task in tasks_from(workload) if _fits(cluster, task)]
    smaller = Workload.from_tasks(workload.name, cluster, tasks)
    submit_us = smaller.tasks["submit_us"]
    sparseness = max(1.0, load / max(offered_load(smaller), 1e-9))
    records = smaller.tasks.copy()
    since_us = submit_us - submit_us[0]
    records["submit_us"] = submit_us[0] + (since_us / sparseness).astype(np.int64)
    return replace(smaller, tasks=records)


def _fits(cluster: Cluster, task: Task) -> bool:
    try:
        Intake(cluster).table([task])
    except InfeasibleTaskError:
        return False
    return True
