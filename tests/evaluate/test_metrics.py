from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_rl.core.clock import to_us
from lepton_rl.core.errors import ConfigError, StateError
from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.rules.dispatch import DispatchRule
from lepton_rl.core.tasks import Task
from lepton_rl.evaluate import METRICS, Metrics, measure
from lepton_rl.evaluate.metrics import (
    bounded_slowdowns,
    metric_info,
    slowdowns,
    turnarounds_s,
    utilisation,
    waits_s,
)
from lepton_rl.sim.objective import BOUND_S
from lepton_rl.sim.replay import replay
from lepton_rl.workloads.workload import Workload
from tests.evaluate.small import busy_windows, pool_workload, schedule_from

# Three tasks on 4 processors, written by hand:
#   task  submit  start  run  end  processors   wait  turnaround  slowdown  bounded
#   t0      0       0     20   20      2           0        20        1        1
#   t1      5      20    100  120      3          15       115        1.15     1.15
#   t2     10      20      2   22      1          10        12        6        1.2
THREE = pool_workload([(0, 20, 2), (5, 100, 3), (10, 2, 1)])
STARTS_S = [0, 20, 20]


def test_figures_of_each_task_by_hand() -> None:
    schedule = schedule_from(THREE, STARTS_S)
    assert waits_s(schedule).tolist() == [0, 15, 10]
    assert turnarounds_s(schedule).tolist() == [20, 115, 12]
    assert slowdowns(schedule).tolist() == [1, 1.15, 6]
    assert bounded_slowdowns(schedule).tolist() == [1, 1.15, 1.2]
    assert bounded_slowdowns(schedule, bound_s=4).tolist() == [1, 1.15, 3]


def test_summary_by_hand() -> None:
    metrics = measure(schedule_from(THREE, STARTS_S), THREE, THREE.cluster)
    assert dataclasses.asdict(metrics) == pytest.approx(
        {
            "mean_wait_s": 25 / 3,
            "p95_wait_s": 14.5,  # 0, 10, 15: position 0.95 x 2 = 1.9
            "max_wait_s": 15,
            "mean_turnaround_s": 49,
            "p95_turnaround_s": 105.5,  # 12, 20, 115
            "mean_slowdown": 8.15 / 3,
            "mean_bounded_slowdown": 3.35 / 3,
            "p95_bounded_slowdown": 1.195,  # 1, 1.15, 1.2
            "makespan_s": 120,
            "utilisation": (2 * 20 + 3 * 100 + 1 * 2) / (4 * 120),
            "device_utilisation": math.nan,  # no devices, deadlines or watts
            # Of 32 moments, 5 have 2 free (of no use to t1), 1 none, 26 have 1 (only for t2).
            "fragmentation": (5 * 2 * 1 / 3 + 26 * 1 * 2 / 3) / (5 * 2 + 26),
            "deadline_misses": math.nan,
            "jain_fairness": 3.35**2 / (3 * (1 + 1.15**2 + 1.2**2)),
            "energy_kwh": math.nan,
            "preemptions": 0,
        },
        nan_ok=True,
    )


def test_a_bounded_slowdown_is_never_below_one() -> None:
    one = pool_workload([(0, 0.5, 1)])
    assert bounded_slowdowns(schedule_from(one, [0])).tolist() == [1]
    assert bounded_slowdowns(schedule_from(one, [20])).tolist() == [2.05]


def test_utilisation_is_that_of_the_busiest_kind_and_counts_replicas() -> None:
    nodes = (Node("a", {"cpu": 8, "gpu": 2}, "T4"), Node("b", {"cpu": 8, "gpu": 2}, "T4"))
    cluster = Cluster(nodes)
    tasks = [
        Task("gang", {"cpu": 1, "gpu": 1}, 50, run_time_s=50, num_replicas=3),
        Task("cores", {"cpu": 2}, 100, run_time_s=100),
    ]
    workload = Workload.from_tasks("gpu", cluster, tasks)
    share = utilisation(schedule_from(workload, [0, 0]), workload, cluster)
    assert share == pytest.approx(max((3 * 50 + 2 * 100) / (16 * 100), 3 * 50 / (4 * 100)))


def gpu_workload() -> Workload:
    """Two nodes of 2 GPUs; t0 takes both of a, t1 one of b, with deadlines; a draws power."""
    nodes = (
        Node("a", {"cpu": 4, "gpu": 2}, idle_watts=100, peak_watts=300),
        Node("b", {"cpu": 4, "gpu": 2}, idle_watts=50, peak_watts=50),
    )
    tasks = [
        Task("t0", {"gpu": 2}, 3600, run_time_s=3600, deadline_s=3600, tenant="x"),
        Task("t1", {"cpu": 1, "gpu": 1}, 1800, run_time_s=1800, deadline_s=1000, tenant="x"),
        Task("t2", {"gpu": 1}, 1800, run_time_s=1800, tenant="y"),
    ]
    return Workload.from_tasks("gpu", Cluster(nodes), tasks)


def test_figures_of_the_cluster_by_hand() -> None:
    work = gpu_workload()
    schedule = dataclasses.replace(
        schedule_from(work, [0, 0, 1800]), nodes=np.array([[0], [1], [1]]), num_preemptions=2
    )
    metrics = measure(schedule, work, work.cluster)
    assert metrics.device_utilisation == pytest.approx((2 + 0.5 + 0.5) / 4)
    assert metrics.deadline_misses == pytest.approx(1 / 2)
    # a: 100 W + 200 W at load 1 for 1 h, b: 50 W
    assert metrics.energy_kwh == pytest.approx(0.35)
    # x: mean of 1 and 1, y: 2
    assert metrics.jain_fairness == pytest.approx(3**2 / (2 * (1 + 4)))
    # One GPU of b is idle all the time; t0 (of three typical tasks) cannot use it.
    assert metrics.fragmentation == pytest.approx(1 / 3)
    assert metrics.preemptions == 2


def test_an_interrupted_task_counts_with_its_true_run_time() -> None:
    work = pool_workload([(0, 100, 2)])
    work.tasks["preemptible"] = True
    schedule = dataclasses.replace(
        schedule_from(work, [0]), end_us=to_us([300.0]), num_preemptions=1
    )
    metrics = measure(schedule, work, work.cluster)
    assert metrics.mean_bounded_slowdown == metrics.mean_slowdown == 3
    assert metrics.utilisation == pytest.approx(2 * 100 / (4 * 300))


def test_every_metric_is_described() -> None:
    assert set(METRICS) == {field.name for field in dataclasses.fields(Metrics)}
    for name, info in METRICS.items():
        assert info.title
        assert info.unit in {"s", "share", "kWh", ""}
        assert name.endswith("_s") == (info.unit == "s")
        assert info.over_windows in {"mean", "max"}
    higher = [name for name, info in METRICS.items() if not info.lower_is_better]
    assert higher == ["utilisation", "device_utilisation", "jain_fairness"]
    with pytest.raises(ConfigError, match="unknown metric 'makespan'; did you mean 'makespan_s'"):
        metric_info("makespan")


TASKS = st.lists(
    st.tuples(
        st.integers(0, 500),  # submit
        st.integers(1, 300),  # run
        st.integers(1, 4),  # processors
    ),
    min_size=1,
    max_size=30,
)


def quantile(values: list[float], q: float) -> float:
    """Linear interpolation between order statistics, written out."""
    ordered = sorted(values)
    position = q * (len(ordered) - 1)
    below = int(position)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


@settings(deadline=None)  # the first example may compile the rules
@given(rows=TASKS, order=st.integers(0, 9))
def test_agrees_with_slow_formulas(rows: list[tuple[int, int, int]], order: int) -> None:
    workload = pool_workload(sorted(rows))
    schedule = replay(workload.tasks, workload.run_us, workload.cluster, DispatchRule(order))
    metrics = measure(schedule, workload, workload.cluster)
    waits, turnarounds, plain, bounded, work = [], [], [], [], 0.0
    for row, (submit, run, size) in enumerate(sorted(rows)):
        start = float(schedule.start_us[row]) / 1e6
        waits.append(start - submit)
        turnarounds.append(start + run - submit)
        plain.append((start + run - submit) / run)
        bounded.append(max(1.0, (start - submit + run) / max(run, 10)))
        work += run * size
    first, last = (
        min(r[0] for r in rows),
        max(
            float(schedule.start_us[row]) / 1e6 + run
            for row, (_, run, _) in enumerate(sorted(rows))
        ),
    )
    count = len(rows)
    expected = {
        "mean_wait_s": sum(waits) / count,
        "p95_wait_s": quantile(waits, 0.95),
        "max_wait_s": max(waits),
        "mean_turnaround_s": sum(turnarounds) / count,
        "p95_turnaround_s": quantile(turnarounds, 0.95),
        "mean_slowdown": sum(plain) / count,
        "mean_bounded_slowdown": sum(bounded) / count,
        "p95_bounded_slowdown": quantile(bounded, 0.95),
        "makespan_s": last - first,
        "utilisation": work / (4 * (last - first)),
    }
    found = dataclasses.asdict(metrics)
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert 0 < metrics.utilisation <= 1


def test_bound_is_the_simulators() -> None:
    window = busy_windows(1)[0]
    schedule = replay(window.tasks, window.run_us, window.cluster, DispatchRule())
    assert np.array_equal(bounded_slowdowns(schedule), bounded_slowdowns(schedule, BOUND_S))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"start_us": np.array([-1, 20, 20]) * 10**6}, "'t0' starts before it is submitted"),
        ({"end_us": np.array([20, 119, 22]) * 10**6}, "'t1' does not run its true time"),
        ({"submit_us": np.array([0, 5, 9]) * 10**6}, "'t2' has another submit time"),
        (
            {"end_us": np.array([20, 120])},
            r"expected a schedule of 3 tasks, got \[\(2,\), \(3,\)\]",
        ),
    ],
)
def test_a_schedule_of_other_work_is_refused(change: dict[str, np.ndarray], message: str) -> None:
    schedule = dataclasses.replace(schedule_from(THREE, STARTS_S), **change)
    with pytest.raises(StateError, match=message):
        measure(schedule, THREE, THREE.cluster)


def test_a_schedule_beyond_the_capacity_is_refused() -> None:
    measure(schedule_from(THREE, [0, 20, 119]), THREE, THREE.cluster)  # 3 + 1 processors
    with pytest.raises(StateError, match="gives out 5 cores of cpu at once; the cluster has 4"):
        measure(schedule_from(THREE, [0, 19.999999, 120]), THREE, THREE.cluster)


def test_a_cluster_of_other_kinds_or_labels_is_refused() -> None:
    other = Cluster((Node("a", {"cpu": 4, "memory": 8}),))
    with pytest.raises(ConfigError, match="measured in cpu but the cluster has cpu, memory"):
        measure(schedule_from(THREE, STARTS_S), THREE, other)
    zoned = Cluster((Node("a", {"cpu": 4}, labels=frozenset({"eu"})),))
    task = Task("a", {"cpu": 1}, 5, run_time_s=5, required_labels=frozenset({"eu"}))
    private = Workload.from_tasks("zones", zoned, [task])
    measure(schedule_from(private, [0]), private, zoned)
    with pytest.raises(ConfigError, match="tasks ask for labels or device models"):
        measure(schedule_from(private, [0]), private, Cluster.pool(4))
