"""Events of one simulation: the heap, what happens first at one instant, and what waiting costs."""

from __future__ import annotations

import heapq

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_rl.core.intake import node_table
from lepton_rl.core.rules.backfill import choose_nodes
from lepton_rl.core.rules.dispatch import DispatchRule
from lepton_rl.sim.events import advance, reset, start_all
from lepton_rl.sim.heap import pop_end, push_end
from lepton_rl.sim.objective import SINGLE, Objective
from lepton_rl.sim.runs import start
from lepton_rl.sim.tables import SimTable, empty_sim
from lepton_rl.workloads.workload import Workload
from tests.episodes import MICRO, cost, frozen, on_pool

MOST = 24
SLOWDOWN = int(Objective.BOUNDED_SLOWDOWN)


def begin(work: Workload) -> SimTable:
    """An episode over all of `work`; nothing has arrived yet."""
    sim = empty_sim(work.tasks, work.run_us, node_table(work.cluster), 1, len(work), DispatchRule())
    reset(sim, 0, 0, len(work))
    return sim


def go(sim: SimTable, one_event: bool = False, objective: int = SLOWDOWN) -> bool:
    return bool(advance(sim, 0, objective, one_event))


def run_now(sim: SimTable, local: int) -> None:
    """Start a pending task that fits."""
    assert choose_nodes(sim.state, sim.scratch, 0, local, 0)
    start(sim, 0, local, SLOWDOWN)


def now_s(sim: SimTable) -> float:
    return float(sim.state.status["now_us"][0]) / MICRO


def pending(sim: SimTable) -> list[int]:
    return sim.state.pending[0, : sim.state.status["num_pending"][0]].tolist()


def running(sim: SimTable) -> list[int]:
    return sim.state.running[0, : sim.state.status["num_running"][0]].tolist()


HEAP = begin(on_pool(1, *[(0, 1, 1)] * MOST))


@settings(deadline=None)
@given(
    ends_us=st.lists(st.integers(0, 6), min_size=MOST, max_size=MOST),
    order=st.permutations(range(MOST)),
    pops=st.lists(st.integers(0, 4), min_size=MOST, max_size=MOST),
)
def test_the_heap_gives_back_what_heapq_does(
    ends_us: list[int], order: list[int], pops: list[int]
) -> None:
    """After each push a few pops; equal ends come out by local index."""
    HEAP.end_us[0] = ends_us
    HEAP.progress["num_ends"][0] = 0
    expected: list[tuple[int, int]] = []
    for local, count in zip(order, pops, strict=True):
        push_end(HEAP, 0, local)
        heapq.heappush(expected, (ends_us[local], local))
        for _ in range(min(count, len(expected))):
            assert pop_end(HEAP, 0) == heapq.heappop(expected)[1]
    while expected:
        assert HEAP.progress["num_ends"][0] == len(expected)
        assert pop_end(HEAP, 0) == heapq.heappop(expected)[1]


def test_the_clock_begins_at_the_first_submit_time_and_nothing_has_arrived() -> None:
    sim = begin(on_pool(4, (7, 1, 10), (9, 1, 10)))

    assert now_s(sim) == 7
    assert pending(sim) == []
    assert go(sim)
    assert (now_s(sim), pending(sim)) == (7, [0])


def arrivals_and_an_end_at_10() -> SimTable:
    """At 10 s two tasks arrive and one ends; the clock stands at 0."""
    sim = begin(on_pool(4, (0, 4, 10), (10, 1, 5), (10, 1, 5), (11, 1, 5)))
    go(sim)
    run_now(sim, 0)
    return sim


def test_everything_of_an_instant_happens_in_one_advance() -> None:
    sim = arrivals_and_an_end_at_10()
    go(sim)

    assert (now_s(sim), pending(sim), running(sim)) == (10, [1, 2], [])
    assert sim.progress["num_ended"][0] == 1


def test_one_event_at_a_time_arrivals_come_before_completions() -> None:
    sim = arrivals_and_an_end_at_10()
    seen = []
    for _ in range(3):
        assert go(sim, one_event=True)
        seen.append((now_s(sim), pending(sim), running(sim)))

    assert seen == [(10, [1], [0]), (10, [1, 2], [0]), (10, [1, 2], [])]
    go(sim, one_event=True)
    assert (now_s(sim), pending(sim)) == (11, [1, 2, 3])


@pytest.mark.parametrize("one_event", [False, True])
def test_when_nothing_is_left_to_happen_nothing_does(one_event: bool) -> None:
    """The last task is pending, and nobody starts it."""
    sim = begin(on_pool(4, (0, 1, 10)))
    go(sim)
    before = frozen(sim)

    assert not go(sim, one_event)
    assert frozen(sim) == before


def test_a_task_ends_after_its_true_run_time_whatever_its_estimate() -> None:
    sim = begin(on_pool(4, (0, 1, 30, 5), (0, 1, 7, 100)))
    go(sim)
    run_now(sim, 0)
    run_now(sim, 1)

    assert running(sim) == [0, 1], "in order of the expected ends"
    assert go(sim)
    assert (now_s(sim), running(sim)) == (7, [0])
    assert go(sim)
    assert (now_s(sim), running(sim)) == (30, [])
    assert not go(sim)


@pytest.mark.parametrize("objective", SINGLE)
def test_costs_accrue_while_tasks_wait_and_only_then(objective: Objective) -> None:
    """Tasks 0 and 1 wait from 0 s, the first until 12 s; others arrive at 5, 12 and 20 s."""
    work = on_pool(4, (0, 1, 8), (0, 1, 40), (5, 1, 2), (12, 1, 1), (20, 1, 1))
    sim = begin(work)
    runs_s = (work.run_us / MICRO).tolist()
    waits_s = [
        {0: 0, 1: 0},
        {0: 5, 1: 5, 2: 0},
        {0: 12, 1: 12, 2: 7, 3: 0},
        {0: 12, 1: 20, 2: 15, 3: 8, 4: 0},
    ]
    for step, waits in enumerate(waits_s):
        if step == 3:
            run_now(sim, 0)  # it ends at 20 s, at the instant of the last arrival
        assert go(sim, objective=int(objective))
        expected = sum(cost(objective, wait, runs_s[local]) for local, wait in waits.items())
        assert sim.progress["cost"][0] == pytest.approx(expected, rel=1e-12)


def test_reset_leaves_nothing_of_the_episode_before() -> None:
    work = on_pool(4, (0, 3, 10), (1, 3, 10), (2, 1, 10), (3, 2, 10), (4, 1, 10))
    used, fresh = begin(work), begin(work)
    for sim, steps in ((used, 4), (fresh, 0)):
        for _ in range(steps):
            start_all(sim, 0, DispatchRule(), 0)
            go(sim)
        reset(sim, 0, 2, 3)

    assert running(used) == pending(used) == []
    for name in ("status", "pool"):
        assert frozen((getattr(used.state, name),)) == frozen((getattr(fresh.state, name),))
    assert frozen((used.progress,)) == frozen((fresh.progress,))
    assert go(used)
    assert (now_s(used), pending(used)) == (2, [0]), "local indices count from the first row"


def test_a_heuristic_starts_tasks_until_its_first_is_blocked() -> None:
    """FCFS on four processors: 2 and 1 start, 3 blocks, so the last 1 waits behind it."""
    sim = begin(on_pool(4, (0, 2, 9), (0, 1, 9), (0, 3, 9), (0, 1, 9)))
    go(sim)
    start_all(sim, 0, DispatchRule(), 0)

    assert running(sim) == [0, 1]
    assert pending(sim) == [2, 3]
    assert sim.state.pool.rows["free"][0, 0, 0] == 1000
    assert sim.state.spans["start_us"][0, :2].tolist() == [0, 0]
