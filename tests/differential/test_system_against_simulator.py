"""The Python system and the compiled simulator make the same schedule of the same work.

The default tests take each order, backfilling and placement at least once; the whole product, and
windows of every trace, are slow ones.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from itertools import product
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.rules.orders import first_in_order
from lepton_rl.core.rules.placement import Place
from lepton_rl.core.schedule import Schedule
from lepton_rl.core.tables import NEVER_US, Records, View
from lepton_rl.policies.registry import ALL_ORDERS, BASELINES, heuristic
from lepton_rl.sim.batch import episode_rule
from lepton_rl.sim.replay import replay, replay_heads
from lepton_rl.system import scheduler
from lepton_rl.system.source import tasks_from
from lepton_rl.system.state import Tables
from lepton_rl.workloads.lublin import LublinConfig, generate_lublin
from lepton_rl.workloads.sources import open_workload
from lepton_rl.workloads.swf import read_swf
from lepton_rl.workloads.workload import Workload
from tests.differential import both_ways
from tests.differential.both_ways import (
    by_simulator,
    compare,
    part_of,
    stretched,
    with_predictions,
    with_preemption,
)

BACKFILLS = ("none", "easy", "conservative")
PLACES = tuple(place.name for place in Place)
STANDARD = [f"{order}+{backfill}" for order, backfill in product(ALL_ORDERS, BACKFILLS)]
REPOSITORY = [
    f"{order}{backfill}+blocking" for order in BASELINES for backfill in ("", "+fixed-shadow")
]
PREEMPTING = ("las", "las+easy", "sjf+preempt", "sjf+preempt+conservative", "edf+preempt+easy")
LOSE_TURN = ("ljf", "lepton", "least-slack", "drf", "max-min")
MAY_PREEMPT = [order for order in ALL_ORDERS if order not in LOSE_TURN]
WINDOWS = (1981, 4022)  # two of the published starts of lublin_256
SEEDS = range(4)
MANY_SEEDS = range(100, 120)

TRACES = {  # file -> settings, where the window begins, and how many nodes go with one
    "swf/lublin_256.swf.gz": ({}, 2756, 1),
    "swf/KTH-SP2-1996.swf.gz": ({}, 9000, 1),
    "swf/HPC2N-2002-first3170.swf.gz": ({}, 1500, 1),
    "swf/ANL-Theta-2022.swf.gz": ({}, 12000, 1),
    "swf/CEA-Curie-2011-sample.swf.gz": ({}, 15000, 1),
    "swf/MetaCentrum-wagap-2013.swf.gz": ({}, 8000, 8),
    "gpu/philly_2017_jobs.csv.gz": ({"nodes": 6}, 50000, 1),
    "gpu/gavel_msr_seed0_0e4a51.trace.gz": ({}, 0, 3),
    "gpu/gavel_msr_seed0_ee9e8c.trace.gz": ({}, 100, 3),
    "gpu/chronus_philly_SLO.csv.gz": ({"nodes": 8}, 500, 1),
    "gpu/chronus_philly_MIX2.csv.gz": ({"nodes": 8}, 500, 1),
    "gpu/hydra_20_ddl.csv.gz": ({}, 0, 1),
    "openb/openb_pod_list_default.csv.gz": ({}, 4000, 100),
    "openb/openb_pod_list_gpuspec33.csv.gz": ({}, 2000, 100),
}
LENGTH = 64


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


scenario = cache(both_ways.scenario)


def require_equal(one: Schedule, other: Schedule) -> None:
    for name in ("submit_us", "start_us", "end_us", "nodes"):
        assert_array_equal(getattr(one, name), getattr(other, name), name)


@pytest.mark.parametrize("spec", STANDARD[::4] + REPOSITORY[::3])
def test_a_window_of_a_trace(lublin_256: Workload, spec: str) -> None:
    compare(lublin_256.window(WINDOWS[0], 256), spec)


@pytest.mark.parametrize("spec", STANDARD[::5] + REPOSITORY[::7])
def test_a_generated_workload(generated: Workload, spec: str) -> None:
    compare(generated, spec)


@pytest.mark.parametrize(("number", "spec"), list(enumerate(STANDARD)))
def test_unlike_nodes_and_tasks_of_every_sort(number: int, spec: str) -> None:
    """Each order with each backfilling, and a placement in turn."""
    for seed in SEEDS:
        compare(scenario(seed), f"{spec}+{PLACES[(number + seed) % len(PLACES)]}")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("backfill", BACKFILLS)
def test_each_placement_with_each_backfilling(place: str, backfill: str) -> None:
    for seed in SEEDS:
        compare(scenario(seed), f"f4+{backfill}+{place}")


@pytest.mark.parametrize("spec", REPOSITORY)
def test_the_same_under_repository_rules(spec: str) -> None:
    for seed in SEEDS:
        compare(scenario(seed), f"{spec}+best-fit")


@pytest.mark.parametrize("spec", PREEMPTING)
@pytest.mark.parametrize("checkpoints", [False, True])
def test_tasks_that_give_way(spec: str, checkpoints: bool) -> None:
    preempted = 0
    for seed in SEEDS:
        work = with_preemption(stretched(scenario(seed), 1000), seed, checkpoints=checkpoints)
        system = compare(work, spec)
        preempted += sum(len(record.interruptions) for record in system.records)
    assert preempted > 0


@pytest.mark.parametrize("spec", ["fcfs+easy", "sjf+conservative", "f4", "las", "edf+preempt+easy"])
def test_predictions_that_tasks_outlive(spec: str) -> None:
    """Expected ends are corrected at the same instants, also where nothing is pending."""
    for seed in SEEDS:
        compare(with_predictions(stretched(scenario(seed), 60), seed), spec)


@pytest.mark.parametrize("spec", ["fcfs+easy", "f4+easy+best-fit"])
def test_predictions_on_a_quiet_cluster(spec: str) -> None:
    """Seldom is anything pending there while the clock moves on."""
    for seed in SEEDS:
        work = both_ways.scenario(seed, 12)
        tasks = work.tasks.copy()
        tasks["submit_us"] *= 20
        tasks["deadline_us"] = NEVER_US
        compare(with_predictions(replace(work, tasks=tasks), seed), spec)


@pytest.mark.parametrize(
    "spec", ["f4+easy", "fcfs+best-fit+fixed-shadow+blocking", "sjf+preempt+easy", "drf"]
)
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
        "deadlines": lambda tasks: tasks["deadline_us"] != NEVER_US,
        "no deadlines": lambda tasks: tasks["deadline_us"] == NEVER_US,
        "tenants": lambda tasks: tasks["tenant"] > 2,
        "classes": lambda tasks: tasks["task_class"] > 1,
        "preemptible": lambda tasks: tasks["preemptible"],
        "checkpoints": lambda tasks: tasks["preemptible"] & (tasks["checkpoint_us"] > 0),
    }
    for what, present in some.items():
        assert any(present(workload.tasks).any() for workload in workloads), what
    for sign in (-1, 0, 1):
        errors = [np.sign(w.tasks["requested_us"] - w.run_us) == sign for w in workloads]
        assert all(each.any() for each in errors), "estimates"


def test_each_part_of_a_spec_matters_in_the_random_scenarios() -> None:
    def outcomes(specs: list[str]) -> int:
        work = stretched(scenario(1), 1000)
        ends = {
            (*found.start_us.tolist(), *found.nodes.ravel().tolist())
            for found in (by_simulator(work, spec).schedule for spec in specs)
        }
        return len(ends)

    assert outcomes(list(ALL_ORDERS)) >= len(ALL_ORDERS) - 2
    assert outcomes([f"fcfs+{backfill}" for backfill in BACKFILLS]) == len(BACKFILLS)
    assert outcomes([f"fcfs+{place}" for place in PLACES]) >= len(PLACES) - 1


def test_reservations_are_made_in_the_random_scenarios_and_matter() -> None:
    matters = []
    for seed in SEEDS:
        workload = scenario(seed)
        tasks = [replace(task, critical=False) for task in tasks_from(workload)]
        plain = Workload.from_tasks("nothing critical", workload.cluster, tasks)
        starts = [by_simulator(each, "f4+easy").schedule.start_us for each in (workload, plain)]
        matters.append(not np.array_equal(*starts))

    assert sum(matters) >= len(matters) / 2


@pytest.mark.slow
@pytest.mark.parametrize("order", ALL_ORDERS)
def test_the_whole_product_on_random_scenarios(order: str) -> None:
    """Each combination on a scenario in turn, every other time with predictions too."""
    for number, (backfill, place) in enumerate(product(BACKFILLS, PLACES)):
        seed = MANY_SEEDS[(number + ALL_ORDERS.index(order)) % len(MANY_SEEDS)]
        compare(scenario(seed), f"{order}+{backfill}+{place}")
        if number % 2:
            compare(with_predictions(scenario(seed), seed), f"{order}+{backfill}+{place}")


@pytest.mark.slow
@pytest.mark.parametrize("order", MAY_PREEMPT)
def test_every_order_with_preemption(order: str) -> None:
    """With and without checkpoints and predictions, in turn."""
    for number, (backfill, place) in enumerate(product(BACKFILLS, PLACES)):
        seed = MANY_SEEDS[(number + ALL_ORDERS.index(order)) % len(MANY_SEEDS)]
        slow = stretched(scenario(seed), 1000)
        work = with_preemption(slow, seed, checkpoints=bool(number % 2))
        if number % 4 > 1:
            work = with_predictions(work, seed)
        compare(work, f"{order}+{backfill}+{place}+preempt")


@pytest.fixture(scope="module", params=TRACES)
def window(trace_dir: Path, request: pytest.FixtureRequest) -> Workload:
    """Work of a trace on a part of its machine, more than that can do in the time."""
    path = trace_dir / request.param
    if not path.is_file():
        pytest.skip(f"no {path}")
    settings, start, every = TRACES[request.param]
    whole = open_workload(path, settings=settings)
    length = min(LENGTH, len(whole) - start)
    return part_of(whole.window(start, length), every, load=2.0)


@pytest.mark.slow
@pytest.mark.parametrize("order", ALL_ORDERS)
def test_every_order_and_backfilling_on_every_trace(window: Workload, order: str) -> None:
    """A third of the placements each, in turn, where there is more than one node."""
    turn = ALL_ORDERS.index(order)
    places = PLACES[turn % 3 :: 3] if len(window.cluster.nodes) > 1 else PLACES[:1]
    for backfill, place in product(BACKFILLS, places):
        compare(window, f"{order}+{backfill}+{place}")
    compare(with_predictions(window, turn), f"{order}+easy+{places[0]}")


@pytest.mark.slow
@pytest.mark.parametrize("checkpoints", [False, True])
def test_preemption_on_every_trace(window: Workload, checkpoints: bool) -> None:
    work = with_preemption(window, 1, checkpoints=checkpoints)
    for spec in (*PREEMPTING, "saf+preempt+fgd", "multifactor+preempt+random+conservative"):
        compare(work, spec)


@pytest.mark.slow
@pytest.mark.parametrize("spec", STANDARD + REPOSITORY)
def test_every_spec_on_whole_published_windows(lublin_256: Workload, spec: str) -> None:
    for start in WINDOWS:
        compare(lublin_256.window(start, 256), spec)
