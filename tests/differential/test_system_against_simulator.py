"""The Python system and the compiled simulator make the same schedule of the same work."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import pytest

from lepton_rl.core.intake import node_table
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.rules.orders import first_in_order
from lepton_rl.core.rules.placement import Place
from lepton_rl.core.schedule import Schedule
from lepton_rl.core.tables import Records, View
from lepton_rl.core.typical import typical_tasks
from lepton_rl.policies.registry import BASELINES, heuristic
from lepton_rl.sim.batch import episode_rule
from lepton_rl.sim.replay import replay, replay_heads
from lepton_rl.system import Scheduler, scheduler
from lepton_rl.system.source import tasks_from
from lepton_rl.system.state import Tables
from lepton_rl.workloads.lublin import LublinConfig, generate_lublin
from lepton_rl.workloads.swf import read_swf
from lepton_rl.workloads.workload import Workload
from tests.scenarios import random_cluster, random_tasks

STANDARD = [
    f"{order}{backfill}" for order in BASELINES for backfill in ("", "+easy", "+conservative")
]
REPOSITORY = [
    f"{order}{backfill}+blocking" for order in BASELINES for backfill in ("", "+fixed-shadow")
]
WINDOWS = (1981, 4022)  # two of the published starts of lublin_256
SEEDS = range(4)


@pytest.fixture(scope="module")
def lublin_256(trace_dir: Path) -> Workload:
    path = trace_dir / "swf" / "lublin_256.swf.gz"
    if not path.is_file():
        pytest.skip(f"no {path}")
    return read_swf(path)


@pytest.fixture(scope="module")
def generated() -> Workload:
    """More tasks than the system's tables begin with, so their rows move."""
    return generate_lublin(
        LublinConfig(processors=64, num_tasks=300, load=0.9, estimate_factor_max=5), 7
    )


@cache
def scenario(seed: int) -> Workload:
    rng = np.random.default_rng(seed)
    cluster = random_cluster(rng)
    return Workload.from_tasks(f"random {seed}", cluster, random_tasks(rng, cluster, 60))


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


def by_simulator(workload: Workload, spec: str) -> Schedule:
    rule = heuristic(spec).rule
    return replay(workload.tasks, workload.run_us, workload.cluster, rule)


def require_equal(system: Schedule, simulator: Schedule) -> None:
    for name in ("submit_us", "start_us", "end_us", "nodes"):
        np.testing.assert_array_equal(getattr(system, name), getattr(simulator, name), name)


def compare(workload: Workload, spec: str) -> None:
    require_equal(by_system(workload, spec).schedule(), by_simulator(workload, spec))


@pytest.mark.parametrize("start", WINDOWS)
@pytest.mark.parametrize("spec", STANDARD + REPOSITORY)
def test_windows_of_a_trace(lublin_256: Workload, spec: str, start: int) -> None:
    compare(lublin_256.window(start, 256), spec)


@pytest.mark.parametrize("spec", STANDARD + REPOSITORY)
def test_a_generated_workload(generated: Workload, spec: str) -> None:
    compare(generated, spec)


@pytest.mark.parametrize("place", Place)
@pytest.mark.parametrize("spec", STANDARD)
def test_unlike_nodes_and_tasks_of_every_sort(spec: str, place: Place) -> None:
    for seed in SEEDS:
        compare(scenario(seed), f"{spec}+{place.name}")


@pytest.mark.parametrize("spec", REPOSITORY)
def test_the_same_under_repository_rules(spec: str) -> None:
    for seed in SEEDS:
        compare(scenario(seed), f"{spec}+best-fit")


@pytest.mark.parametrize("spec", ["f4+easy", "fcfs+best-fit+fixed-shadow+blocking"])
@pytest.mark.parametrize("seed", SEEDS)
def test_rows_that_move_all_the_time_change_nothing(
    spec: str, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "Tables", partial(Tables, capacity=2))

    compare(scenario(seed), spec)


@pytest.mark.parametrize("place", Place)
@pytest.mark.parametrize("backfill", [Backfill.NONE, Backfill.EASY])
def test_episodes_make_the_same_schedule_as_replays(place: Place, backfill: Backfill) -> None:
    """A learner that always names the task which the heuristic puts first."""
    rule = heuristic("f4", place=place, backfill=backfill).rule

    def head(view: View) -> int:
        return int(first_in_order(view, 0, rule.order, rule.weights))

    for seed in SEEDS:
        work = scenario(seed)
        episode = replay_heads(
            work.tasks, work.run_us, work.cluster, head, episode_rule(place, backfill)
        )
        require_equal(episode, replay(work.tasks, work.run_us, work.cluster, rule))


def test_the_random_scenarios_have_everything_in_them() -> None:
    """What would make the comparison above an empty one."""
    workloads = [scenario(seed) for seed in SEEDS]
    some: dict[str, Callable[[Records], Records]] = {
        "gangs": lambda tasks: tasks["replicas"] > 1,
        "labels": lambda tasks: tasks["labels"] > 0,
        "models": lambda tasks: tasks["models"] > 0,
        "exclusive": lambda tasks: tasks["exclusive"],
        "critical": lambda tasks: tasks["critical"],
        "shares": lambda tasks: tasks["demand"][:, 2] % 1000 > 0,
        "cards": lambda tasks: tasks["demand"][:, 2] >= 1000,
        "fpga": lambda tasks: tasks["demand"][:, 3] > 0,
    }
    for what, present in some.items():
        assert any(present(workload.tasks).any() for workload in workloads), what
    for sign in (-1, 0, 1):
        errors = [np.sign(w.tasks["requested_us"] - w.run_us) == sign for w in workloads]
        assert all(each.any() for each in errors), "estimates"


def test_reservations_are_made_in_the_random_scenarios_and_matter() -> None:
    matters = []
    for seed in SEEDS:
        workload = scenario(seed)
        tasks = [replace(task, critical=False) for task in tasks_from(workload)]
        plain = Workload.from_tasks("nothing critical", workload.cluster, tasks)
        starts = [by_simulator(each, "f4+easy").start_us for each in (workload, plain)]
        matters.append(not np.array_equal(*starts))

    assert sum(matters) >= len(matters) / 2
