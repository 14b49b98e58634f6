from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from lepton_rl.core.errors import WorkloadError
from lepton_rl.core.intake import Intake
from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.tasks import Task
from lepton_rl.workloads.task_columns import TaskColumns, build_workload, count
from lepton_rl.workloads.workload import Workload

CLUSTER = Cluster(
    (
        Node("a", {"cpu": 4, "memory": 8}, labels=frozenset({"x", "y"})),
        Node("b", {"cpu": 8, "memory": 8, "gpu": 2}, "T4", labels=frozenset({"y"})),
    )
)


def columns(**changes: object) -> TaskColumns:
    base = TaskColumns(
        ids=np.array(["late", "first", "second"]),
        submit_s=np.array([9.0, 1.0, 1.0]),
        run_s=np.array([3.0, 2.0, 1.5]),
        requested_s=np.array([4.0, 2.0, 2.0]),
        demand={"cpu": np.array([1000, 2500, 8000]), "gpu": np.array([1000, 0, 300])},
        replicas=np.array([2, 1, 1]),
        labels=np.array(["y", "x|y", ""]),
        models=np.array(["T4|A100", "", "T4"]),
        exclusive=np.array([False, True, False]),
        urgency=np.array([0.0, 0.5, 2.0]),
        tenants=np.array(["ann", "bob", ""]),
        task_classes=np.array(["p", "q", "q"]),
        deadlines_s=np.array([20.0, np.inf, 30.0]),
        waits_s=np.array([np.nan, 0.0, 2.5]),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def test_the_same_records_as_described_tasks() -> None:
    workload = build_workload("w", CLUSTER, columns())
    tasks = [
        Task("first", {"cpu": 2.5}, 2.0, 1.0, 2.0, urgency=0.5, exclusive_node=True,
             required_labels=frozenset({"x", "y"})),
        Task("second", {"cpu": 8, "gpu": 0.3}, 2.0, 1.0, 1.5, urgency=2.0,
             device_models=frozenset({"T4"})),
        Task("late", {"cpu": 1, "gpu": 1}, 4.0, 9.0, 3.0, num_replicas=2,
             required_labels=frozenset({"y"}), device_models=frozenset({"T4", "A100"})),
    ]  # fmt: skip
    expected = Workload.from_tasks("w", CLUSTER, tasks)

    assert workload.ids.tolist() == expected.ids.tolist()
    assert workload.run_us.tolist() == expected.run_us.tolist()
    for name in ("submit_us", "requested_us", "demand", "replicas", "size", "urgency", "labels",
                 "models", "exclusive"):  # fmt: skip
        assert workload.tasks[name].tolist() == expected.tasks[name].tolist(), name


def test_names_and_times_follow_their_tasks() -> None:
    workload = build_workload("w", CLUSTER, columns())
    for name, expected in {
        "tenants": ["bob", "", "ann"],
        "task_classes": ["q", "q", "p"],
        "deadlines_us": [-1, 30_000_000, 20_000_000],
        "waits_us": [0, 2_500_000, -1],
    }.items():
        values = getattr(workload, name)
        assert values is not None
        assert values.tolist() == expected, name


def test_what_cannot_run_is_left_out_and_counted() -> None:
    demand = {"cpu": np.array([1000, 9000, 1000]), "fpga": np.array([0, 0, 1000])}
    workload = build_workload("w", CLUSTER, columns(demand=demand), {"before": 7})
    assert workload.ids.tolist() == ["late"]
    assert dict(workload.skipped) == {
        "before": 7,
        "no node has fpga: dropped": 1,
        "larger than the cluster: dropped": 1,
    }
    labels = np.array(["z", "", ""])
    assert build_workload("w", CLUSTER, columns(labels=labels)).ids.tolist() == ["first", "second"]


def test_a_gang_larger_than_the_cluster_is_left_out() -> None:
    workload = build_workload("w", CLUSTER, columns(replicas=np.array([3, 1, 1])))
    assert "late" not in workload.ids.tolist()


def test_a_divisible_kind_that_no_node_states_is_left_away() -> None:
    bare = Cluster((Node("n", {"gpu": 2}, "T4", labels=frozenset({"x", "y"})),))
    workload = build_workload("w", bare, columns())
    assert len(workload) == 3
    assert workload.skipped["no node says its cpu: demand left away"] == 3
    Intake(bare).require_all_feasible(workload.tasks, workload.ids)


def test_times_that_are_not_positive() -> None:
    changed = columns(run_s=np.array([0.0, -1.0, 5.0]), requested_s=np.array([0.0, 3.0, 6.0]))
    workload = build_workload("w", CLUSTER, changed, shortest_run_s=0.5)
    assert workload.run_us.tolist() == [500_000, 5_000_000, 500_000]
    assert workload.tasks["requested_us"].tolist() == [3_000_000, 6_000_000, 500_000]
    assert workload.skipped["run time <= 0: 0.5 s taken"] == 2
    assert workload.skipped["requested time <= 0: run time taken"] == 1


def test_times_that_no_clock_holds() -> None:
    workload = build_workload("w", CLUSTER, columns(run_s=np.array([2e11, 1.0, 1.0])))
    assert workload.ids.tolist() == ["first", "second"]
    assert workload.skipped["a time beyond 1e+11 s: dropped"] == 1


def test_nothing_left() -> None:
    with pytest.raises(WorkloadError, match=r"w: none of its rows is a task \(why: 3\)"):
        build_workload("w", CLUSTER, columns().take(np.zeros(3, np.bool_)), {"why": 3})
    huge = columns(demand={"cpu": np.array([9000, 9000, 9000])})
    with pytest.raises(WorkloadError, match=r"none of its 3 tasks can run on 2 nodes .larger than"):
        build_workload("w", CLUSTER, huge)


def test_counting() -> None:
    skipped = {"a": 1}
    count(skipped, "a", np.array([True, False, True]))
    count(skipped, "b", np.array([False]))
    assert skipped == {"a": 3}


def test_names_that_come_twice() -> None:
    workload = build_workload("w", CLUSTER, columns(ids=np.array(["a", "b", "b"])))
    assert workload.ids.tolist() == ["b", "a"]
    assert workload.tenants is not None
    assert workload.tenants[0] == "bob"
    assert workload.skipped["name seen before: dropped"] == 1
