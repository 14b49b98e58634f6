"""Dependencies, failures, lost nodes and preemption: the system and the simulator agree."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pytest

from lepton_rl.core.intake import node_table
from lepton_rl.core.nodes import Cluster, NodeState
from lepton_rl.core.schedule import Schedule
from lepton_rl.core.tasks import Task
from lepton_rl.core.typical import typical_tasks
from lepton_rl.policies.registry import heuristic
from lepton_rl.sim.replay import replay
from lepton_rl.sim.world import NodeEvent, World, make_world
from lepton_rl.system import Failures, Scheduler, SimulatedExecutor
from lepton_rl.workloads.workload import Workload
from tests.scenarios import random_cluster, random_tasks

S = 1_000_000
COUNT = 60
SPECS = ("fcfs", "sjf+easy", "f4+conservative+best-fit", "las", "sjf+preempt", "edf+fgd")
SEEDS = range(4)


@dataclass(frozen=True)
class Case:
    """One workload with everything that happens to it, described for both."""

    cluster: Cluster
    tasks: list[Task]
    script: dict[str, list[float]]
    events: list[NodeEvent]
    world: World


@cache
def case(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    cluster = random_cluster(rng)
    tasks = random_tasks(rng, cluster, COUNT)
    script: dict[str, list[float]] = {}
    needs, retries = [], np.zeros(COUNT, np.int64)
    fails_after_us = np.zeros((COUNT, 3), np.int64)
    for row, task in enumerate(tasks):
        changes: dict[str, object] = {"preemptible": bool(rng.random() < 0.5)}
        if row > 0 and rng.random() < 0.3:
            needed = int(rng.integers(max(0, row - 10), row))
            needs.append((row, needed))
            changes["depends_on"] = (tasks[needed].id,)
        if rng.random() < 0.3:
            after_s = rng.integers(1, 15, int(rng.integers(1, 4)))
            script[task.id] = after_s.astype(float).tolist()
            fails_after_us[row, : len(after_s)] = after_s * S
        retries[row] = rng.integers(0, 3)
        every_s = float(rng.choice((2, 3))) if rng.random() < 0.5 else None
        tasks[row] = replace(
            task, max_retries=int(retries[row]), checkpoint_interval_s=every_s, **changes
        )
    events = node_events(rng, cluster, int(tasks[-1].submit_time_s))
    world = make_world(COUNT, np.array(needs), retries, fails_after_us, events)
    return Case(cluster, tasks, script, events, world)


def node_events(rng: np.random.Generator, cluster: Cluster, last_s: int) -> list[NodeEvent]:
    """Most nodes fail or are drained once, and return; the clock stands on whole seconds."""
    events = []
    for m in range(len(cluster.nodes)):
        if rng.random() < 0.7:
            at_s = int(rng.integers(0, last_s))
            state = NodeState.DOWN if rng.random() < 0.6 else NodeState.DRAINING
            events.append(NodeEvent(at_s * S, m, state))
            events.append(NodeEvent((at_s + int(rng.integers(1, 20))) * S, m, NodeState.UP))
    return sorted(events)


def by_system(this: Case, spec: str) -> Scheduler:
    executor = SimulatedExecutor(Failures(after_s=this.script))
    work = Workload.from_tasks("w", this.cluster, this.tasks)
    system = Scheduler(this.cluster, heuristic(spec), executor, typical=typical_of(work))
    system.submit_all(this.tasks)
    change = {
        NodeState.DOWN: system.fail_node,
        NodeState.DRAINING: system.drain,
        NodeState.UP: system.resume,
    }
    at: dict[int, list[NodeEvent]] = defaultdict(list)
    for event in this.events:
        at[event.time_us].append(event)
    for time_us, events in at.items():
        system.run_until(time_us / S)
        for event in events:
            change[event.state](this.cluster.nodes[event.node].name)
    system.run()
    return system


def typical_of(work: Workload) -> np.ndarray:
    return typical_tasks(work.tasks, node_table(work.cluster))


def by_simulator(this: Case, spec: str) -> Schedule:
    work = Workload.from_tasks("w", this.cluster, this.tasks)
    return replay(work.tasks, work.run_us, this.cluster, heuristic(spec).rule, world=this.world)


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("seed", SEEDS)
def test_equal_schedules(seed: int, spec: str) -> None:
    this = case(seed)
    system, simulated = by_system(this, spec), by_simulator(this, spec)
    schedule = system.schedule()

    np.testing.assert_array_equal(schedule.start_us, simulated.start_us)
    np.testing.assert_array_equal(schedule.end_us, simulated.end_us)
    started, gang = schedule.start_us >= 0, schedule.nodes.shape[1]
    np.testing.assert_array_equal(schedule.nodes[started], simulated.nodes[started, :gang])
    assert (simulated.nodes[started, gang:] == -1).all()


def test_the_cases_are_not_empty() -> None:
    outcomes, interruptions = Counter[str](), Counter[str]()
    for seed in SEEDS:
        system = by_system(case(seed), "sjf+preempt")
        outcomes.update(system.monitor.outcomes)
        interruptions.update(system.monitor.interruptions)
    assert outcomes["completed"] > 150
    assert min(outcomes["failed"], outcomes["cancelled"]) >= 5
    assert min(interruptions[why] for why in ("failed", "node-lost", "preempt")) >= 5
