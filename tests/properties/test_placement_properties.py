"""Whatever is placed and given back in whatever order, the pool's books balance exactly.

The rules are compared with a reference of a few lines of plain Python, and after each step the pool
is compared with what the running replicas hold by the definition of a demand.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_rl.core.intake import empty_tasks, node_table
from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.resources import CARD
from lepton_rl.core.rules.allocation import give_back, retake, take
from lepton_rl.core.rules.fit import gang_capacity, replica_capacity
from lepton_rl.core.rules.placement import Place, place_gang
from lepton_rl.core.rules.scratch import Scratch, empty_scratch
from lepton_rl.core.tables import (
    NO_NODE,
    NO_TASK,
    NodeTable,
    PoolTable,
    Records,
    View,
    empty_pool,
    empty_view,
)

MAX_GANG = 4
NOW_US = 5
HELD_FROM_US = 100
"""Length of a reservation's head start: tasks of at most this long may use a held node."""
LABELS = ("eu", "trusted")
MODELS = ("A100", "T4")

nodes_drawn = st.builds(
    lambda cpu, memory, gpu, fpga, model, labels, speed: (
        {"cpu": cpu / 4, "memory": memory / 4, "gpu": gpu, "fpga": fpga},
        model,
        frozenset(labels),
        {"training": speed},
    ),
    cpu=st.integers(1, 24),
    memory=st.integers(0, 24),
    gpu=st.integers(0, 4),
    fpga=st.integers(0, 2),
    model=st.sampled_from(("", *MODELS)),
    labels=st.sets(st.sampled_from(LABELS)),
    speed=st.sampled_from((0.5, 1.0, 2.0)),
)
# The first node has every kind, label and model bit in reach, so that shapes and bits are fixed.
clusters = st.lists(nodes_drawn, min_size=0, max_size=4).map(
    lambda drawn: Cluster(
        (
            Node("first", {"cpu": 4, "memory": 4, "gpu": 2, "fpga": 1}, "A100", frozenset(LABELS)),
            Node("second", {"cpu": 4}, "T4", speed_factors={"training": 2.0}),
            *(Node(f"n{i}", *each) for i, each in enumerate(drawn)),
        )
    )
)

divisible = st.sampled_from((0, 250, 333, 1000, 2500))
cards = st.sampled_from((0, 0, 1, 200, 334, 500, 999, 1000, 2000))


@dataclass(frozen=True)
class Ask:
    """One row of the task table."""

    demand: tuple[int, int, int, int]
    replicas: int
    labels: int
    models: int
    exclusive: bool
    requested_us: int
    task_class: int


asks = st.builds(
    Ask,
    demand=st.tuples(divisible, divisible, cards, cards).filter(any),
    replicas=st.integers(1, MAX_GANG),
    labels=st.sampled_from((0, 0, 1, 2, 3)),
    models=st.sampled_from((0, 0, 1, 2, 3)),
    exclusive=st.sampled_from((False, False, False, True)),
    requested_us=st.sampled_from((1, HELD_FROM_US, HELD_FROM_US + 1)),
    task_class=st.sampled_from((0, 1)),
)
# (what to do, which ask or running task, under which placement)
steps = st.lists(
    st.tuples(
        st.sampled_from(("place", "place", "place", "give back", "retake", "hold")),
        st.integers(0, 7),
        st.sampled_from(Place),
    ),
    min_size=1,
    max_size=20,
)


def table_of(rows: list[Ask]) -> Records:
    table = empty_tasks(len(rows), 4)
    for row, ask in enumerate(rows):
        table["demand"][row] = ask.demand
        table["replicas"][row] = ask.replicas
        table["labels"][row] = ask.labels
        table["models"][row] = ask.models
        table["exclusive"][row] = ask.exclusive
        table["requested_us"][row] = ask.requested_us
        table["task_class"][row] = ask.task_class
    return table


@dataclass
class Books:
    """The pool under test and, beside it, who holds what."""

    rows: list[Ask]
    nodes: NodeTable
    tasks: Records = field(init=False)
    pool: PoolTable = field(init=False)
    held: list[tuple[int, list[int], list[int]]] = field(default_factory=list)
    view: View = field(init=False)
    scratch: Scratch = field(init=False)

    def __post_init__(self) -> None:
        self.tasks = table_of(self.rows)
        self.view = empty_view(self.tasks, self.nodes, 1, len(self.rows), MAX_GANG)
        self.pool = self.view.pool
        self.scratch = empty_scratch(self.nodes, 1, MAX_GANG)

    @property
    def choice(self) -> Records:
        return self.scratch.choice

    @property
    def num_nodes(self) -> int:
        return len(self.nodes.rows["capacity"])

    def place(self, row: int, place: Place) -> bool:
        placed = place_gang(self.view, 0, self.pool, 0, row, NOW_US, int(place), self.scratch)
        if placed:
            gang = self.rows[row].replicas
            self.held.append(
                (
                    row,
                    self.choice["node"][0, :gang].tolist(),
                    self.choice["cards"][0, :gang].tolist(),
                )
            )
        return bool(placed)

    def give_back(self, position: int) -> tuple[int, list[int], list[int]]:
        row, on, sets = self.held.pop(position)
        for m, bits in zip(on, sets, strict=True):
            give_back(self.tasks, self.nodes, self.pool, 0, row, m, bits)
        return row, on, sets

    def retake(self, holding: tuple[int, list[int], list[int]]) -> None:
        row, on, sets = holding
        for m, bits in zip(on, sets, strict=True):
            retake(self.tasks, self.nodes, self.pool, 0, row, m, bits)
        self.held.append(holding)

    def check(self) -> None:
        """Capacity = free + held, for every kind and card of every node."""
        free, card_free = self.nodes.rows["capacity"].copy(), self.nodes.cards.copy()
        replicas_on = np.zeros(self.num_nodes, np.int64)
        for row, on, sets in self.held:
            for m, bits in zip(on, sets, strict=True):
                replicas_on[m] += 1
                used, used_cards = held_by_replica(self.nodes, self.rows[row], m, bits)
                free[m] -= used
                card_free[m] -= used_cards
        assert np.array_equal(self.pool.rows["free"][0], free)
        assert np.array_equal(self.pool.card_free[0], card_free)
        assert np.array_equal(self.pool.rows["replicas_on"][0], replicas_on)
        assert np.all((free >= 0) & (free <= self.nodes.rows["capacity"]))
        assert np.all((card_free >= 0) & (card_free <= self.nodes.cards))
        for device in range(2):
            columns = slice(*self.nodes.card_start[device : device + 2])
            assert np.array_equal(card_free[:, columns].sum(axis=1), free[:, 2 + device])


def held_by_replica(nodes: NodeTable, ask: Ask, m: int, bits: int) -> tuple[np.ndarray, np.ndarray]:
    """What one replica holds on node `m`, by definition: `(K,)` amounts and `(C,)` milli-cards."""
    if ask.exclusive:
        return nodes.rows["capacity"][m], nodes.cards[m]
    used = np.zeros(nodes.cards.shape[1], np.int64)
    for device, wanted in enumerate(ask.demand[2:]):
        columns = range(nodes.card_start[device], nodes.card_start[device + 1])
        mine = [column for column in columns if bits >> column & 1]
        assert len(mine) == (max(1, wanted // CARD) if wanted else 0)
        used[mine] = min(wanted, CARD)
    return np.array(ask.demand), used


def fits(nodes: NodeTable, pool: PoolTable, ask: Ask, m: int) -> bool:
    """Whether one replica fits on node `m` now: the reference for `replica_capacity` > 0."""
    if ask.labels & ~int(nodes.rows["labels"][m]) or (
        ask.models and not ask.models & int(nodes.rows["model"][m])
    ):
        return False
    if ask.exclusive and pool.rows["replicas_on"][0, m] > 0:
        return False
    if any(pool.rows["free"][0, m, k] < ask.demand[k] for k in range(2)):
        return False
    for device, wanted in enumerate(ask.demand[2:]):
        columns = slice(*nodes.card_start[device : device + 2])
        free = pool.card_free[0, m, columns]
        if 0 < wanted < CARD and not np.any(free >= wanted):
            return False
        if wanted >= CARD and np.sum(free == CARD) * CARD < wanted:
            return False
    return True


def may_use(nodes: NodeTable, pool: PoolTable, m: int, row: int, ask: Ask) -> bool:
    """Whether node `m` is free of reservations for others that begin before the task would end."""
    runs_us = max(1, round(ask.requested_us / nodes.speed[m, ask.task_class]))
    ends_in_time = NOW_US + runs_us <= pool.rows["held_from_us"][0, m]
    return pool.rows["held_by"][0, m] in (NO_TASK, row) or ends_in_time


TOLD = (Place.FIRST_FIT, Place.LEAST_LOADED, Place.BEST_FIT, Place.FASTEST)
"""Places that a reference of a few lines tells; the others have examples in tests/core/rules."""


def best_node(books: Books, row: int, place: Place) -> int:
    """The reference: of the feasible nodes the one of least score, then of lowest index."""
    nodes, pool, ask = books.nodes, books.pool, books.rows[row]
    feasible = [
        m
        for m in range(books.num_nodes)
        if may_use(nodes, pool, m, row, ask) and fits(nodes, pool, ask, m)
    ]
    if not feasible:
        return NO_NODE

    def load(m: int) -> float:
        kinds = [k for k in range(4) if nodes.rows["capacity"][m, k]]
        return max(1 - pool.rows["free"][0, m, k] / nodes.rows["capacity"][m, k] for k in kinds)

    def left_over(m: int) -> float:
        """Of cores and devices: memory is not counted."""
        free, largest = pool.rows["free"][0, m], nodes.rows["capacity"].max(axis=0)
        return sum((free[k] - ask.demand[k]) / largest[k] for k in (0, 2, 3))

    # Loads are compared as they round to 12 digits: 1 - free / capacity is not used / capacity.
    scores: dict[Place, Callable[[int], tuple[float, ...]]] = {
        Place.FIRST_FIT: lambda _: (),
        Place.LEAST_LOADED: lambda m: (round(load(m), 12),),
        Place.BEST_FIT: lambda m: (left_over(m),),
        Place.FASTEST: lambda m: (-nodes.speed[m, ask.task_class], left_over(m)),
    }
    return min(feasible, key=lambda m: (*scores[place](m), m))


def copy(pool: PoolTable) -> PoolTable:
    return PoolTable(*(array.copy() for array in pool))


def equal(one: PoolTable, other: PoolTable) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(one, other, strict=True))


def play(books: Books, script: list[tuple[str, int, Place]]) -> None:
    """Run a script, checking the books after each step."""
    for what, number, place in script:
        row = number % len(books.rows)
        if what == "place":
            before = copy(books.pool)
            if not books.place(row, place):
                assert equal(books.pool, before)
        elif what == "hold":
            m = number % books.num_nodes
            books.pool.rows["held_by"][0, m] = (
                NO_TASK if books.pool.rows["held_by"][0, m] == row else row
            )
            books.pool.rows["held_from_us"][0, m] = NOW_US + HELD_FROM_US * (number % 2)
        elif books.held:
            holding = books.give_back(number % len(books.held))
            if what == "retake":
                books.check()
                books.retake(holding)
        books.check()


scenes = st.builds(
    lambda cluster, rows: Books(rows, node_table(cluster)),
    clusters,
    st.lists(asks, min_size=1, max_size=6),
)


@settings(max_examples=200, deadline=None)
@given(scenes, steps)
def test_the_books_balance_and_everything_comes_back(
    books: Books, script: list[tuple[str, int, Place]]
) -> None:
    play(books, script)
    while books.held:
        books.give_back(len(books.held) // 2)
        books.check()

    books.pool.rows["held_by"][:], books.pool.rows["held_from_us"][:] = NO_TASK, 0
    assert equal(books.pool, empty_pool(books.nodes, 1))


@settings(max_examples=200, deadline=None)
@given(scenes, steps)
def test_capacity_is_how_often_a_replica_can_be_taken(
    books: Books, script: list[tuple[str, int, Place]]
) -> None:
    play(books, script)
    for row, ask in enumerate(books.rows):
        total = 0
        for m in range(books.num_nodes):
            pool, count = copy(books.pool), 0
            capacity = replica_capacity(books.tasks, books.nodes, pool, 0, row, m)
            while count <= MAX_GANG and fits(books.nodes, pool, ask, m):
                take(books.tasks, books.nodes, pool, 0, row, m)
                count += 1
            assert min(capacity, MAX_GANG + 1) == count
            total += capacity
        found = gang_capacity(books.tasks, books.nodes, books.pool, 0, row)
        assert found == min(total, ask.replicas)


@settings(max_examples=200, deadline=None)
@given(scenes, steps, st.sampled_from(TOLD))
def test_a_gang_gets_the_nodes_of_the_reference_or_nothing(
    books: Books, script: list[tuple[str, int, Place]], place: Place
) -> None:
    play(books, script)
    for row, ask in enumerate(books.rows):
        before, after = copy(books.pool), copy(books.pool)
        expected: list[int] = []
        for _ in range(ask.replicas):
            m = best_node(books, row, place)
            if m == NO_NODE:
                break
            take(books.tasks, books.nodes, books.pool, 0, row, m)
            expected.append(m)
        after = copy(books.pool)
        for table, original in zip(books.pool, before, strict=True):
            table[...] = original

        if books.place(row, place):
            assert books.choice["node"][0].tolist() == expected + [NO_NODE] * (
                MAX_GANG - len(expected)
            )
            assert len(expected) == ask.replicas
            assert equal(books.pool, after)
        else:
            assert len(expected) < ask.replicas
            assert equal(books.pool, before)
            assert np.all(books.choice["node"][0] == NO_NODE)
        books.check()
