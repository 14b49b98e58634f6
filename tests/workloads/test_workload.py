"""Workload: arrays that belong together, and windows of them."""

from __future__ import annotations

import copy
import pickle
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from lepton_rl.core.errors import InfeasibleTaskError, WorkloadError
from lepton_rl.core.intake import Intake
from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.resources import DEFAULT_SCHEMA, ResourceKind, ResourceSchema
from lepton_rl.core.tasks import Task
from lepton_rl.workloads.workload import Workload
from tests.scenarios import random_cluster, random_tasks

TWO_KINDS = Cluster((Node("a", {"cpu": 4, "memory": 8}), Node("b", {"cpu": 2})))
FIVE_KINDS = Cluster(
    (Node("a", {"cpu": 4, "memory": 8, "gpu": 1, "fpga": 1, "network": 10}),),
    ResourceSchema(
        (
            ResourceKind("cpu", "cores", 1000),
            ResourceKind("memory", "GiB", 1024),
            ResourceKind("network", "Gbit/s", 1000),
            *DEFAULT_SCHEMA.kinds[2:],
        )
    ),
)
TWO_DEMANDS = Intake(TWO_KINDS).table(
    [Task(str(i), {"cpu": 1, "memory": 1}, 9.0) for i in range(5)]
)


def pool(count: int = 5, processors: int = 4) -> Workload:
    """One task a second, of 1 to 4 processors, 10 s each."""
    return Workload.on_pool(
        "pool",
        processors,
        submit_s=np.arange(count, dtype=np.float64),
        requested_s=np.full(count, 20.0),
        run_s=np.full(count, 10.0),
        size=1 + np.arange(count) % 4,
        ids=np.array([f"t{i}" for i in range(count)]),
        skipped={"too odd: dropped": 3},
    )


# --- making one ----------------------------------------------------------------------------------


def test_tasks_of_a_pool_ask_for_processors() -> None:
    work = pool()

    assert len(work) == 5
    assert work.tasks["demand"].tolist() == [
        [1000, 0, 0, 0],
        [2000, 0, 0, 0],
        [3000, 0, 0, 0],
        [4000, 0, 0, 0],
        [1000, 0, 0, 0],
    ]
    assert work.tasks["size"].tolist() == [1, 2, 3, 4, 1]
    assert work.run_us.tolist() == [10_000_000] * 5
    assert work.skipped == {"too odd: dropped": 3}


def test_tasks_are_put_in_order_of_arrival() -> None:
    tasks = [
        Task("late", {"cpu": 1}, 10.0, 5.0, 7.0),
        Task("early", {"cpu": 2, "memory": 3}, 10.0, 1.0, 8.0),
        Task("also late", {"cpu": 1}, 10.0, 5.0, 9.0),
    ]
    work = Workload.from_tasks("three", TWO_KINDS, tasks)

    assert work.ids.tolist() == ["early", "late", "also late"]
    assert work.run_us.tolist() == [8_000_000, 7_000_000, 9_000_000]
    assert work.tasks["demand"][0].tolist() == [2000, 3 * 1024, 0, 0]


def test_times_below_a_tick_become_one() -> None:
    work = Workload.from_tasks("short", TWO_KINDS, [Task("t", {"cpu": 1}, 1e-9, 0.0, 1e-9)])

    assert (work.run_us[0], work.tasks["requested_us"][0]) == (1, 1)


def test_a_task_needs_a_run_time_to_be_simulated() -> None:
    with pytest.raises(WorkloadError, match="task 'live' needs run_time_s"):
        Workload.from_tasks("live", TWO_KINDS, [Task("live", {"cpu": 1}, 10.0)])


def test_a_task_that_its_cluster_cannot_hold_is_refused() -> None:
    with pytest.raises(InfeasibleTaskError, match="task 'wide' can never start"):
        Workload.from_tasks("wide", TWO_KINDS, [Task("wide", {"cpu": 5}, 10.0, 0.0, 1.0)])


def test_no_tasks_are_no_workload() -> None:
    with pytest.raises(WorkloadError, match="none: expected at least one task, got none"):
        Workload.from_tasks("none", TWO_KINDS, [])


ARRAYS: dict[str, tuple[dict[str, Any], str]] = {
    "too few ids": ({"ids": np.array(["t0"])}, r"ids must have one entry a task, 5, got .*\(1,\)"),
    "too many run times": ({"run_us": np.ones(6, np.int64)}, r"tasks must have .*6, got .*\(5,\)"),
    "a table of run times": ({"run_us": np.ones((5, 1), np.int64)}, r"run_us .*5, got .*\(5, 1\)"),
    "too few tenants": ({"tenants": np.array(["ann"])}, "tenants must have one entry a task"),
    "too few waits": ({"waits_us": np.ones(4, np.int64)}, "waits_us must have one entry a task"),
    "run times in seconds": ({"run_us": np.ones(5)}, "run_us of int64, got .*float64"),
    "narrow run times": ({"run_us": np.ones(5, np.int32)}, "run_us of int64, got .*int32"),
    "another cluster": ({"cluster": FIVE_KINDS}, "written for its cluster of 5 resource kinds"),
    "a smaller cluster": (
        {"tasks": TWO_DEMANDS},
        "of 1 resource kinds, got some that ask for more",
    ),
    "no run time": ({"run_us": np.array([1, 1, 0, 1, 1])}, "must be > 0"),
}


@pytest.mark.parametrize(("arrays", "message"), ARRAYS.values(), ids=ARRAYS)
def test_arrays_must_belong_together(arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(WorkloadError, match=f"^pool: .*{message}"):
        replace(pool(), **arrays)


@pytest.mark.parametrize(
    ("field", "message"),
    [("requested_us", "must be > 0"), ("submit_us", "in order of their submit times")],
)
def test_times_are_positive_and_in_order(field: str, message: str) -> None:
    tasks = pool().tasks.copy()
    tasks[field][3] = 0

    with pytest.raises(WorkloadError, match=message):
        replace(pool(), tasks=tasks)


def test_a_workload_is_equal_to_itself_only() -> None:
    work = pool()

    assert work == work
    assert work != pool()
    assert len({work, work}) == 1


def test_what_was_skipped_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        pool().skipped["another"] = 1  # type: ignore[index]


@pytest.mark.parametrize(
    "copied", [lambda work: pickle.loads(pickle.dumps(work)), copy.deepcopy, copy.copy]
)
def test_it_can_be_sent_to_another_process(copied: Any) -> None:
    work = replace(pool(), tenants=np.array(["ann", "bob", "", "ann", "eve"]))
    other = copied(work)

    assert (other.name, other.cluster, other.skipped) == (work.name, work.cluster, work.skipped)
    for name in ("tasks", "run_us", "ids", "tenants"):
        np.testing.assert_array_equal(getattr(other, name), getattr(work, name))
    assert other.waits_us is None
    other.check_feasible()


# --- what can start ------------------------------------------------------------------------------


def test_tasks_that_can_start_pass() -> None:
    pool().check_feasible()
    rng = np.random.default_rng(0)
    cluster = random_cluster(rng)
    Workload.from_tasks("random", cluster, random_tasks(rng, cluster, 50)).check_feasible()


def test_the_first_that_cannot_is_named() -> None:
    work = pool()
    work.tasks["demand"][2:4, 0] = 4001

    with pytest.raises(
        InfeasibleTaskError, match=r"'t2' can never start: .*\(cpu 4\.001\).*\(cpu 4\)"
    ):
        work.check_feasible()


@pytest.mark.parametrize(
    ("field", "impossible"),
    [("replicas", 3), ("labels", 1), ("models", 1), ("demand", [4000, 0, 2000, 0])],
)
def test_gangs_labels_models_and_cards_count(field: str, impossible: Any) -> None:
    """A gang of two fills two nodes, of which one has the label, the model, or two cards."""
    nodes = (
        Node("a", {"cpu": 4, "memory": 4, "gpu": 2, "fpga": 1}, "A100", frozenset({"eu"})),
        Node("b", {"cpu": 4, "gpu": 1}, "T4"),
    )
    gang = Task("gang", {"cpu": 4}, 10.0, 0.0, 1.0, num_replicas=2)
    work = Workload.from_tasks("gang", Cluster(nodes), [gang])
    work.check_feasible()
    work.tasks[field][0] = impossible

    with pytest.raises(InfeasibleTaskError, match="'gang' can never start"):
        work.check_feasible()


def test_a_hundred_thousand_tasks_are_checked_in_no_time() -> None:
    """It takes 0.02 s of one core; row by row from Python it took 0.34 s."""
    work = pool(100_000)
    work.check_feasible()
    began = time.process_time()
    work.check_feasible()

    assert time.process_time() - began < 0.2


# --- windows -------------------------------------------------------------------------------------


def test_a_window_keeps_names_and_submit_times() -> None:
    work = replace(pool(), tenants=np.array(list("abcde")), waits_us=np.arange(5))
    window = work.window(1, 3)

    assert window.name == "pool[1:4]"
    assert window.ids.tolist() == ["t1", "t2", "t3"]
    assert window.tasks["submit_us"].tolist() == [1_000_000, 2_000_000, 3_000_000]
    assert window.tenants is not None
    assert window.tenants.tolist() == ["b", "c", "d"]
    assert window.waits_us is not None
    assert window.waits_us.tolist() == [1, 2, 3]
    assert window.skipped == {}
    assert len(work) == 5


def test_all_of_it_is_a_window_too() -> None:
    assert len(pool().window(np.int64(0), np.int64(5))) == 5  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("start", "length"),
    [(0, 6), (5, 1), (-1, 2), (0, 0), (2, -1), ("0", 1), (0, "1"), (0.0, 1), (0, 2.0), (None, 1),
     (True, 1), (np.nan, 1)],
)  # fmt: skip
def test_a_window_lies_within(start: Any, length: Any) -> None:
    with pytest.raises(WorkloadError, match=r"expected a window within its 5 tasks .*got start"):
        pool().window(start, length)
