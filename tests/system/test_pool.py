"""ResourcePool: it takes exactly what it is told to, or says why not and takes nothing."""

import numpy as np
import pytest

from lepton_rl.core.errors import InfeasibleDecisionError
from lepton_rl.core.intake import node_table
from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.tasks import Task
from lepton_rl.system.pool import Refusal, ResourcePool
from lepton_rl.system.queue import TaskQueue
from lepton_rl.system.state import Tables

CLUSTER = Cluster(
    (
        Node("a", {"cpu": 4, "memory": 8, "gpu": 2, "fpga": 1}, "A100", frozenset({"eu"})),
        Node("b", {"cpu": 4, "memory": 8, "gpu": 1}, "T4"),
        Node("c", {"cpu": 8}),
    )
)
A, B, C = range(3)


class Bench:
    """A pool with pending tasks."""

    def __init__(self, *tasks: Task) -> None:
        self.tables = Tables(node_table(CLUSTER))
        self.queue = TaskQueue(CLUSTER, self.tables)
        self.pool = ResourcePool(CLUSTER, self.tables)
        for task in tasks:
            self.queue.submit(task)
            self.queue.receive(0)

    def allocate(self, task_id: str, *nodes: int) -> None:
        self.pool.allocate(self.queue.local_of(task_id), nodes)

    def start(self, task_id: str, *nodes: int) -> None:
        self.allocate(task_id, *nodes)
        self.queue.start(self.queue.local_of(task_id))

    def refusal(self, task_id: str, *nodes: int) -> tuple[str, str]:
        """Cause and message; the pool must be as before."""
        before = [array.copy() for array in self.tables.view.pool]
        with pytest.raises(InfeasibleDecisionError) as caught:
            self.allocate(task_id, *nodes)
        for array, original in zip(self.tables.view.pool, before, strict=True):
            np.testing.assert_array_equal(array, original)
        return caught.value.cause, str(caught.value)

    def held(self, task_id: str) -> list[tuple[int, int]]:
        """Node and card bits of each replica."""
        held = self.tables.view.held[0, self.queue.local_of(task_id)]
        return [(int(m), int(cards)) for m, cards in held if m >= 0]


def task(name: str, replicas: int = 1, requested_s: float = 10, **demand: float) -> Task:
    return Task(name, demand, requested_s, num_replicas=replicas)


def test_loads_are_dominant_shares() -> None:
    bench = Bench(task("x", cpu=1, memory=6), task("y", cpu=2, gpu=0.5), task("z", cpu=4))
    assert bench.pool.loads() == {"a": 0, "b": 0, "c": 0}

    bench.allocate("x", A)
    bench.allocate("y", B)
    bench.allocate("z", C)

    assert bench.pool.loads() == {"a": 0.75, "b": 0.5, "c": 0.5}


def test_free_amounts_are_in_the_users_units() -> None:
    bench = Bench(task("x", cpu=0.5, memory=2.5, gpu=1.0))
    bench.allocate("x", A)

    assert bench.pool.free()["a"] == {"cpu": 3.5, "memory": 5.5, "gpu": 1, "fpga": 1}
    assert bench.pool.free()["c"] == {"cpu": 8, "memory": 0, "gpu": 0, "fpga": 0}
    assert bench.pool.allocated_units().tolist() == [500, 2560, 1000, 0]


def test_a_gang_is_taken_as_named_in_any_order() -> None:
    bench = Bench(task("gang", 4, cpu=2, gpu=0.4))

    bench.allocate("gang", B, A, A, B)

    assert bench.held("gang") == [(B, 0b1), (A, 0b1), (A, 0b1), (B, 0b1)]
    assert bench.pool.free()["a"] == {"cpu": 0, "memory": 8, "gpu": 1.2, "fpga": 1}


def test_undo_gives_back_what_was_allocated() -> None:
    bench = Bench(task("gang", 3, cpu=2, gpu=1.0))
    bench.allocate("gang", A, A, B)

    bench.pool.undo(bench.queue.local_of("gang"))

    assert set(bench.pool.loads().values()) == {0}
    bench.allocate("gang", A, A, B)
    assert bench.held("gang") == [(A, 0b01), (A, 0b10), (B, 0b1)]


def test_the_number_of_nodes_is_the_gang_size() -> None:
    bench = Bench(task("gang", 2, cpu=1))

    for nodes in ((), (A,), (A, A, A)):
        cause, message = bench.refusal("gang", *nodes)
        assert cause is Refusal.WRONG_NUMBER_OF_NODES
        assert message == f"expected 2 nodes, one for each replica, got {len(nodes)}"


@pytest.mark.parametrize("node", [-1, 3, 10**30, "a", None, 1.0])
def test_nodes_are_indices(node: object) -> None:
    cause, message = Bench(task("x", cpu=1)).refusal("x", node)  # type: ignore[arg-type]

    assert cause is Refusal.UNKNOWN_NODE
    assert message == f"expected indices of nodes in 0..2, got {node!r}"


def test_a_gang_that_does_not_fit_altogether_takes_nothing() -> None:
    bench = Bench(task("gang", 3, cpu=3))

    cause, message = bench.refusal("gang", A, B, A)

    assert cause is Refusal.DOES_NOT_FIT
    # The amounts are those before the gang: it took nothing.
    assert message.startswith("node 'a' has no room for it, or is not allowed for it; free there:")
    assert "'cpu': 4.0" in message


@pytest.mark.parametrize(
    ("wanted", "node"),
    [
        (task("x", cpu=5), B),
        (task("x", gpu=2), B),
        (task("x", memory=1), C),
        (Task("x", {"cpu": 1}, 1, required_labels=frozenset({"eu"})), B),
        (Task("x", {"gpu": 1}, 1, device_models=frozenset({"A100"})), B),
    ],
)
def test_nodes_that_are_too_small_or_not_allowed(wanted: Task, node: int) -> None:
    assert Bench(wanted).refusal("x", node)[0] is Refusal.DOES_NOT_FIT


def test_shares_do_not_add_up_over_cards() -> None:
    bench = Bench(task("p", cpu=1, gpu=0.6), task("q", cpu=1, gpu=0.6), task("r", cpu=1, gpu=0.5))
    bench.allocate("p", A)
    bench.allocate("q", A)

    assert bench.pool.free()["a"]["gpu"] == 0.8
    assert bench.refusal("r", A)[0] is Refusal.DOES_NOT_FIT


def test_an_exclusive_task_needs_an_empty_node_and_keeps_it_empty() -> None:
    alone = Task("alone", {"cpu": 1}, 10, exclusive_node=True)
    bench = Bench(task("x", cpu=1), alone, task("y", cpu=1))
    bench.allocate("x", A)

    assert bench.refusal("alone", A)[0] is Refusal.DOES_NOT_FIT
    bench.allocate("alone", B)
    assert bench.pool.loads()["b"] == 1
    assert bench.refusal("y", B)[0] is Refusal.DOES_NOT_FIT


def held_bench() -> Bench:
    """Node c is held for `critical` from 20 s on, when `long` ends there."""
    bench = Bench(
        task("long", cpu=5, requested_s=20),
        Task("critical", {"cpu": 8}, 5, critical=True),
        task("short", cpu=1, requested_s=20),
        task("longer", cpu=1, requested_s=20.000001),
    )
    bench.start("long", C)
    bench.pool.reserve()
    return bench


def test_a_held_node_is_for_its_holder_and_for_who_ends_in_time() -> None:
    bench = held_bench()
    assert bench.pool.holders() == {"c": bench.queue.local_of("critical")}

    cause, message = bench.refusal("longer", C)
    assert cause is Refusal.NODE_HELD
    assert message.startswith("node 'c' is held for a critical task")
    bench.allocate("longer", A)
    bench.allocate("short", C)
    bench.queue.finish("long")
    bench.pool.undo(bench.queue.local_of("short"))
    bench.start("critical", C)
    assert bench.pool.holders() == {}
    assert bench.tables.view.status["num_critical"][0] == 0


def test_balancing_finds_the_least_loaded_nodes_and_takes_nothing() -> None:
    bench = Bench(task("x", cpu=1), task("gang", 3, cpu=2))
    bench.allocate("x", A)
    before = bench.pool.free()

    # Loads a 1/4, b 0, c 0: b; then b 2/4: c with 0; then c 2/8 ties with a: the lower index.
    assert bench.pool.least_loaded(bench.queue.local_of("gang")) == (B, C, A)
    assert bench.pool.free() == before


def test_balancing_leaves_held_nodes_alone() -> None:
    bench = held_bench()

    assert bench.pool.least_loaded(bench.queue.local_of("longer")) == (A,)


def test_balancing_what_does_not_fit() -> None:
    bench = Bench(task("x", cpu=8), task("y", cpu=6))
    bench.allocate("x", C)

    with pytest.raises(InfeasibleDecisionError, match="no room") as caught:
        bench.pool.least_loaded(bench.queue.local_of("y"))
    assert caught.value.cause is Refusal.DOES_NOT_FIT


def test_without_critical_tasks_nothing_is_held() -> None:
    bench = Bench(task("x", cpu=8), task("y", cpu=6))
    bench.start("x", C)
    bench.pool.reserve()

    assert bench.pool.holders() == {}
