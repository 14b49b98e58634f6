"""What no schedule can beat, and what was found with full knowledge."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_rl.core.errors import ConfigError
from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.tasks import Task
from lepton_rl.evaluate import HeuristicContender, compare, measure
from lepton_rl.evaluate.bounds import _feasible_duals, proven_bounds
from lepton_rl.evaluate.hindsight import SEARCHED, Hindsight, HindsightContender
from lepton_rl.policies.registry import rule_of
from lepton_rl.sim.replay import replay
from lepton_rl.workloads.workload import Workload
from tests.evaluate.small import HEURISTICS, busy_windows, pool_workload, schedule_from

LOWER = (*SEARCHED, "mean_slowdown", "makespan_s")
ROWS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 60), st.integers(1, 4)), min_size=1, max_size=5
)


def starts_in_order(rows: list[tuple[int, int, int]], order: tuple[int, ...]) -> list[float]:
    """Each task in turn at the first second from which 4 processors hold it to its end."""
    used = np.zeros(1000, int)
    starts = [0.0] * len(rows)
    for task in order:
        submit, run, size = rows[task]
        fits = (t for t in range(submit, 1000) if (used[t : t + run] + size <= 4).all())
        start = next(fits)
        used[start : start + run] += size
        starts[task] = start
    return starts


@settings(deadline=None, max_examples=40)
@given(rows=ROWS)
def test_bound_is_below_the_optimum_of_toy_instances(rows: list[tuple[int, int, int]]) -> None:
    rows = sorted(rows)
    work = pool_workload(rows)
    bound = proven_bounds(work, work.cluster)
    orders = itertools.permutations(range(len(rows)))
    all_metrics = [
        measure(schedule_from(work, starts_in_order(rows, order)), work, work.cluster)
        for order in orders
    ]
    for name in LOWER:
        assert getattr(bound, name) <= min(getattr(m, name) for m in all_metrics), name
    assert bound.utilisation >= max(m.utilisation for m in all_metrics)


def test_bound_is_met_where_the_relaxation_is_exact() -> None:
    work = pool_workload(
        [(0, 30, 4), (0, 10, 4), (0, 20, 4)]
    )  # one after the other: shortest first
    bound = proven_bounds(work, work.cluster)
    assert bound.mean_wait_s == pytest.approx((0 + 10 + 30) / 3)
    assert bound.makespan_s == pytest.approx(60)
    assert bound.utilisation == pytest.approx(1)
    assert bound.mean_turnaround_s == pytest.approx((10 + 30 + 60) / 3)


def test_tasks_that_cannot_run_side_by_side_are_bounded_so() -> None:
    """3 of 4 processors each: their areas would fit together, they do not."""
    work = pool_workload([(0, 40, 3), (0, 40, 3), (0, 40, 3)])
    bound = proven_bounds(work, work.cluster)
    assert bound.mean_wait_s == pytest.approx((0 + 40 + 80) / 3)
    assert bound.makespan_s == pytest.approx(120)
    assert bound.utilisation == pytest.approx(3 / 4)
    assert bound.mean_bounded_slowdown == pytest.approx((1 + 2 + 3) / 3)


@given(
    total=st.integers(1, 60),
    parts=st.lists(st.integers(1, 60), min_size=1, max_size=12),
)
def test_what_fits_together_fits_as_its_duals_too(total: int, parts: list[int]) -> None:
    """The property that the proof rests on; tasks are taken while they fit."""
    side_by_side: list[int] = []
    for part in parts:
        if sum(side_by_side) + part <= total:
            side_by_side.append(part)
    duals = list(_feasible_duals(np.array([side_by_side], np.int64), np.array([[total]])))
    assert len(duals) == 10
    for dual in duals:
        assert dual.sum() <= 1 + 1e-12


def test_no_bound_where_run_times_depend_on_the_node() -> None:
    cluster = Cluster((Node("a", {"cpu": 1}, speed_factors={"": 2.0}), Node("b", {"cpu": 1})))
    work = Workload.from_tasks("fast", cluster, [Task("t", {"cpu": 1}, 1, run_time_s=1)])
    assert math.isnan(proven_bounds(work, cluster).mean_wait_s)


def test_no_bound_of_waits_where_tasks_may_be_stopped() -> None:
    work = pool_workload([(0, 30, 4), (0, 10, 4)])
    work.tasks["preemptible"] = True
    bound = proven_bounds(work, work.cluster)
    assert math.isnan(bound.mean_wait_s)
    assert bound.mean_turnaround_s > 0


@settings(deadline=None, max_examples=15)
@given(
    rows=st.lists(
        st.tuples(st.integers(0, 500), st.integers(1, 300), st.integers(1, 4)),
        min_size=2,
        max_size=25,
    ),
    metric=st.sampled_from(sorted(SEARCHED)),
    backfill=st.sampled_from([Backfill.NONE, Backfill.EASY]),
)
def test_bound_below_found_below_everybody(
    rows: list[tuple[int, int, int]], metric: str, backfill: Backfill
) -> None:
    work = pool_workload(sorted(rows))
    contenders = [HeuristicContender(name, rule) for name, rule in HEURISTICS.items()]
    result = compare(
        contenders, [work], backfill=backfill, headline=metric, hindsight=Hindsight(30, 1)
    )
    found, bound = result.limits
    assert bound.figure(metric) <= found.figure(metric)
    assert all(found.figure(metric) <= each.figure(metric) for each in result.results)


def test_the_optimum_of_a_toy_instance_is_found() -> None:
    rows = [(0, 50, 3), (0, 10, 2), (0, 10, 2), (0, 5, 4)]
    work = pool_workload(rows)
    best = min(
        measure(schedule_from(work, starts_in_order(rows, order)), work, work.cluster).mean_wait_s
        for order in itertools.permutations(range(4))
    )
    fcfs = HeuristicContender("fcfs", rule_of("fcfs"))
    search = HindsightContender(fcfs, "mean_wait_s", Hindsight(400, 0))
    found = search.schedule(work, work.cluster, Backfill.NONE)
    assert measure(found, work, work.cluster).mean_wait_s == best


def test_search_is_the_same_with_the_same_seed_and_goes_further_with_more_replays() -> None:
    (work,) = busy_windows(1)
    fcfs = HeuristicContender("fcfs", rule_of("fcfs"))

    def figure(evaluations: int, seed: int = 3) -> float:
        search = HindsightContender(fcfs, "mean_bounded_slowdown", Hindsight(evaluations, seed))
        schedule = search.schedule(work, work.cluster, Backfill.EASY)
        return measure(schedule, work, work.cluster).mean_bounded_slowdown

    base = replay(work.tasks, work.run_us, work.cluster, rule_of("fcfs+easy"))
    assert figure(60) == figure(60)
    assert figure(300) <= figure(20) <= measure(base, work, work.cluster).mean_bounded_slowdown


@pytest.mark.parametrize(
    ("settings_", "message"),
    [({"evaluations": 0}, "hindsight: evaluations"), ({"seed": -1}, "hindsight: seed")],
)
def test_bad_searches_are_refused(settings_: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Hindsight(**settings_)


def test_only_known_metrics_can_be_searched_for() -> None:
    with pytest.raises(ConfigError, match="expected one of mean_bounded_slowdown"):
        HindsightContender(HeuristicContender("f", rule_of("fcfs")), "energy_kwh", Hindsight())
