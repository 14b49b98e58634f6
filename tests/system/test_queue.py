"""TaskQueue and its tables: who is where, and that rows which move take everything with them."""

import numpy as np
import pytest

from lepton_rl.core.errors import ConfigError, InfeasibleTaskError, StateError
from lepton_rl.core.intake import node_table
from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.tables import NO_NODE, NO_TASK, Ints
from lepton_rl.core.tasks import Task, TaskState
from lepton_rl.system.pool import ResourcePool
from lepton_rl.system.queue import TaskQueue
from lepton_rl.system.state import Tables
from tests.builders import batch_job

CLUSTER = Cluster((Node("a", {"cpu": 4}), Node("b", {"cpu": 4})))
S = 1_000_000


class Bench:
    """A queue with its tables and pool, moved by hand."""

    def __init__(self, capacity: int = 256) -> None:
        self.moves: list[list[int]] = []
        self.tables = Tables(node_table(CLUSTER), capacity)
        self.queue = TaskQueue(CLUSTER, self.tables, self._moved)
        self.pool = ResourcePool(CLUSTER, self.tables)

    def _moved(self, moved: Ints) -> None:
        self.moves.append(moved.tolist())

    def arrive(self, *tasks: Task) -> None:
        for task in tasks:
            self.queue.submit(task)
            assert self.queue.receive(10**15) is task

    def run(self, task: Task, *nodes: int) -> None:
        self.arrive(task)
        local = self.queue.local_of(task.id)
        self.pool.allocate(local, nodes)
        self.queue.start(local)

    @property
    def pending(self) -> list[str]:
        return [task.id for task in self.queue.pending]

    @property
    def running(self) -> list[str]:
        return [task.id for task in self.queue.running]


def test_a_task_goes_through_its_life() -> None:
    bench = Bench()
    queue = bench.queue
    task = batch_job("x", 2, 10, submit_s=3)
    queue.submit(task)
    assert queue.state_of("x") is TaskState.SUBMITTED
    assert queue.next_arrival_us() == 3 * S

    assert queue.receive(3 * S - 1) is None
    assert queue.receive(3 * S) is task
    assert queue.state_of("x") is TaskState.PENDING
    assert queue.next_arrival_us() is None
    local = queue.local_of("x")
    assert queue.is_pending(local)
    assert queue.task_at(local) is task

    bench.pool.allocate(local, (0,))
    queue.start(local)
    assert queue.state_of("x") is TaskState.RUNNING
    assert not queue.is_pending(local)
    assert queue.running == (task,)

    queue.finish("x")
    assert queue.state_of("x") is TaskState.COMPLETED
    assert (queue.pending, queue.running, len(queue)) == ((), (), 1)
    assert bench.pool.loads() == {"a": 0, "b": 0}


def test_tasks_arrive_by_submit_time_then_in_order_of_submission() -> None:
    queue = Bench().queue
    for name, submit_s in (("late", 9), ("first", 1), ("tie", 1), ("early", 0)):
        queue.submit(batch_job(name, 1, 1, submit_s))

    arrived = [queue.receive(9 * S) for _ in range(4)]

    assert [task.id for task in arrived if task] == ["early", "first", "tie", "late"]
    assert queue.receive(9 * S) is None
    assert [queue.local_of(task.id) for task in arrived if task] == [0, 1, 2, 3]


def test_a_task_from_the_past_arrives_at_once_and_goes_ahead_of_later_ones() -> None:
    bench = Bench()
    bench.arrive(batch_job("five", 1, 1, 5), batch_job("two", 1, 1, 2))

    assert bench.pending == ["two", "five"]


@pytest.mark.parametrize("state", ["submitted", "pending", "running", "completed"])
def test_an_id_is_taken_once_and_for_all(state: str) -> None:
    bench = Bench()
    task = batch_job("x", 1, 1)
    if state == "submitted":
        bench.queue.submit(task)
    elif state == "pending":
        bench.arrive(task)
    else:
        bench.run(task, 0)
    if state == "completed":
        bench.queue.finish("x")

    with pytest.raises(StateError, match=f"'x' was submitted before and is {state}"):
        bench.queue.submit(task)


def test_what_can_never_run_is_refused_and_leaves_nothing_behind() -> None:
    queue = Bench().queue

    with pytest.raises(InfeasibleTaskError, match="'x' can never start"):
        queue.submit(batch_job("x", 5, 1))
    with pytest.raises(InfeasibleTaskError, match="no node has the kind 'gpu'"):
        queue.submit(Task("x", {"gpu": 1}, 1))
    with pytest.raises(ConfigError, match="below the unit"):
        queue.submit(batch_job("x", 1e-9, 1))

    assert len(queue) == 0
    assert queue.next_arrival_us() is None
    queue.submit(batch_job("x", 4, 1))


def test_questions_about_unknown_and_absent_tasks() -> None:
    bench = Bench()
    bench.queue.submit(batch_job("waits", 1, 1, 5))
    bench.run(batch_job("ended", 1, 1), 0)
    bench.queue.finish("ended")
    bench.arrive(batch_job("pends", 1, 1))

    with pytest.raises(StateError, match="no task 'other' was submitted"):
        bench.queue.state_of("other")
    with pytest.raises(StateError, match="no task 'other' was submitted"):
        bench.queue.local_of("other")
    with pytest.raises(StateError, match="'waits': submitted"):
        bench.queue.local_of("waits")
    with pytest.raises(StateError, match="'ended': completed"):
        bench.queue.finish("ended")
    with pytest.raises(StateError, match="'pends', which is pending"):
        bench.queue.finish("pends")
    assert [bench.queue.is_pending(local) for local in (-1, 0, 1, 2)] == [
        False, False, True, False,
    ]  # fmt: skip


def test_finished_rows_are_dropped_when_the_table_is_full_and_the_order_is_kept() -> None:
    bench = Bench(capacity=4)
    for name, node in (("a", 0), ("b", 0), ("c", 1), ("d", 1)):
        bench.run(batch_job(name, 1, 10), node)
    bench.queue.finish("b")
    bench.queue.finish("d")
    assert bench.moves == []

    bench.arrive(batch_job("e", 1, 10))

    assert bench.moves == [[0, NO_TASK, 1, NO_TASK]]
    assert bench.tables.capacity == 4
    assert [bench.queue.local_of(name) for name in "ace"] == [0, 1, 2]
    assert bench.running == ["a", "c"]
    assert bench.pending == ["e"]
    assert bench.pool.loads() == {"a": 0.25, "b": 0.25}
    bench.queue.finish("c")
    assert bench.pool.loads() == {"a": 0.25, "b": 0}


def test_a_table_that_stays_more_than_half_full_doubles() -> None:
    bench = Bench(capacity=2)
    for index in range(9):
        bench.arrive(batch_job(f"t{index}", 1, 1))

    assert bench.tables.capacity == 16
    assert bench.pending == [f"t{index}" for index in range(9)]
    assert bench.moves == [[*range(2)], [*range(4)], [*range(8)]]


def test_one_row_is_enough_for_one_task_at_a_time() -> None:
    bench = Bench(capacity=1)
    for index in range(5):
        bench.run(batch_job(f"t{index}", 1, 1), 0)
        bench.queue.finish(f"t{index}")

    assert bench.tables.capacity == 1


def test_gangs_make_room_for_themselves() -> None:
    bench = Bench()
    bench.run(batch_job("single", 1, 1), 1)
    bench.run(Task("gang", {"cpu": 1}, 1, num_replicas=3), 0, 1, 1)
    assert bench.tables.largest_gang == 4
    assert bench.moves == [[0]]

    assert bench.tables.view.held["node"][0, :2].tolist() == [
        [1, NO_NODE, NO_NODE, NO_NODE],
        [0, 1, 1, NO_NODE],
    ]
    bench.queue.finish("gang")
    assert bench.pool.loads() == {"a": 0, "b": 0.25}


def test_everything_that_names_a_task_moves_with_it() -> None:
    """Spans, order of ends, holders of nodes."""
    bench = Bench(capacity=4)
    bench.run(batch_job("gone", 1, 1), 0)
    bench.run(batch_job("long", 4, 50), 1)
    bench.run(batch_job("short", 3, 20), 0)
    bench.queue.finish("gone")
    bench.arrive(Task("critical", {"cpu": 4}, 5, critical=True))
    bench.pool.reserve()
    assert bench.pool.holders() == {"a": 3}
    rows = bench.tables.view.pool.rows
    held_from_us = rows["held_from_us"].copy()

    bench.arrive(batch_job("new", 1, 1))

    assert bench.moves == [[NO_TASK, 0, 1, 2]]
    assert bench.pool.holders() == {"a": 2}
    np.testing.assert_array_equal(rows["held_from_us"], held_from_us)
    assert bench.running == ["short", "long"]
    assert bench.pending == ["critical", "new"]
    view = bench.tables.view
    assert view.spans["expected_end_us"][0, :2].tolist() == [50 * S, 20 * S]
    assert view.status["num_critical"][0] == 1
    assert view.pool.rows is rows


def test_adding_without_room_is_our_own_mistake() -> None:
    tables = Tables(node_table(CLUSTER), 1)
    record = tables.view.tasks[:1].copy()
    tables.add(record)

    with pytest.raises(AssertionError):
        tables.add(record)
