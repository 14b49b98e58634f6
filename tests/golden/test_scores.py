"""Each order's score against formulas written independently, from the appendix of the design."""

import math
from collections.abc import Callable
from itertools import permutations

import pytest

from lepton_rl.core.nodes import Cluster
from lepton_rl.core.rules.orders import Order, PriorityWeights
from lepton_rl.core.tasks import Task
from tests.builders import Desk, batch_job
from tests.golden.test_orders_by_concern import BY_CONCERN

WEIGHTS = PriorityWeights(alpha=0.7, beta=30.0, gamma=0.02)
NOW_S = 5_000.0
TASKS = [
    Task("at zero", {"cpu": 4}, 100.0, submit_time_s=0.0, urgency=1.0),  # log(s): s <= 0
    Task("fraction", {"cpu": 1}, 0.25, submit_time_s=50.5, urgency=-2.0),  # log(r) < 0, log2(n) ~ 0
    Task("wide", {"cpu": 96}, 7_200.0, submit_time_s=4_321.0, urgency=9.0),
]


def log10(x: float) -> float:
    return math.log10(x if x > 0 else 0.1)


# r requested time (s), n processors, s submit time (s), w wait (s), e urgency
FORMULAS: dict[Order, Callable[[float, float, float, float, float], float]] = {
    Order.FCFS: lambda r, n, s, w, e: s,
    Order.SJF: lambda r, n, s, w, e: r,
    Order.LJF: lambda r, n, s, w, e: -r,
    Order.SAF: lambda r, n, s, w, e: r * n,
    Order.F1: lambda r, n, s, w, e: log10(r) * n + 870 * log10(s),
    Order.F2: lambda r, n, s, w, e: math.sqrt(r) * n + 25_600 * log10(s),
    Order.F3: lambda r, n, s, w, e: r * n + 6_860_000 * log10(s),
    Order.F4: lambda r, n, s, w, e: r * math.sqrt(n) + 530_000 * log10(s),
    Order.WFP3: lambda r, n, s, w, e: -((w / r) ** 3) * n,
    Order.UNICEP: lambda r, n, s, w, e: -(w + 1e-15) / (math.log2(n + 1e-15) * r),
    Order.LEPTON: lambda r, n, s, w, e: -(0.7 * r + 30.0 * e + 0.02 * w),
}


def expected(order: Order, task: Task, now_s: float = NOW_S) -> float:
    submit = task.submit_time_s
    return FORMULAS[order](
        task.requested_time_s, task.demand["cpu"], submit, now_s - submit, task.urgency
    )


def desk_at(now_s: float, tasks: list[Task]) -> Desk:
    desk = Desk(Cluster.pool(100), tasks)
    desk.at(now_s)
    return desk


def test_every_order_has_a_formula_here_or_an_example_beside() -> None:
    assert set(FORMULAS) | BY_CONCERN == set(Order)


@pytest.mark.parametrize("order", FORMULAS)
@pytest.mark.parametrize("row", range(3))
def test_score(order: Order, row: int) -> None:
    desk = desk_at(NOW_S, TASKS)

    found = desk.score(order, TASKS[row].id, WEIGHTS)

    assert found == pytest.approx(expected(order, TASKS[row]), rel=1e-12, abs=0)


@pytest.mark.parametrize("order", [Order.F1, Order.F2, Order.F3, Order.F4])
def test_a_log_of_zero_is_taken_as_that_of_a_tenth(order: Order) -> None:
    tenth = desk_at(1, [batch_job("s", 4, 100, submit_s=0.1)])
    zero = desk_at(1, [batch_job("s", 4, 100, submit_s=0.0)])

    found = [desk.score(order, "s", WEIGHTS) for desk in (zero, tenth)]

    assert found[0] == pytest.approx(found[1], rel=1e-12)


@pytest.mark.parametrize("order", FORMULAS)
def test_the_lowest_score_goes_first(order: Order) -> None:
    desk = desk_at(NOW_S, TASKS)
    desk.submit(*desk.ids)
    ranking = sorted(TASKS, key=lambda task: expected(order, task))

    for task in ranking:
        assert desk.first(order, WEIGHTS) == task.id
        assert desk.withdraw(task.id)


@pytest.mark.parametrize("order", Order)
def test_an_empty_queue_has_no_first(order: Order) -> None:
    desk = desk_at(NOW_S, TASKS)

    assert desk.first(order, WEIGHTS) is None


@pytest.mark.parametrize("entering", list(permutations(["late", "early", "middle"])))
def test_ties_go_to_the_earlier_submit_time(entering: tuple[str, ...]) -> None:
    desk = desk_at(
        30,
        [
            batch_job("late", 2, 60, submit_s=3),
            batch_job("early", 2, 60, submit_s=1),
            batch_job("middle", 2, 60, submit_s=2),
        ],
    )
    desk.submit(*entering)

    for order in (Order.SJF, Order.LJF, Order.SAF):
        assert desk.first(order, WEIGHTS) == "early"


@pytest.mark.parametrize("order", Order)
def test_full_ties_go_to_the_lower_index(order: Order) -> None:
    desk = desk_at(30, [batch_job(name, 2, 60, submit_s=3) for name in "zyx"])
    desk.submit("z", "y", "x")

    assert desk.first(order, WEIGHTS) == "z"


def test_waits_of_zero_tie() -> None:
    # WFP3 scores both 0 (one of them as -0.0).
    desk = desk_at(3, [batch_job("small", 1, 60, submit_s=3), batch_job("large", 9, 6, submit_s=3)])
    desk.submit("small", "large")

    assert desk.first(Order.WFP3, WEIGHTS) == "small"


def test_the_lepton_order_starts_the_highest_priority_of_the_seed_first() -> None:
    # Priorities 6, 4 and 8 of the seed's example (see test_seed_example).
    tasks = [
        Task("6", {"cpu": 1}, 10.0, urgency=2.0),
        Task("4", {"cpu": 1}, 5.0, urgency=3.0),
        Task("8", {"cpu": 1}, 15.0, urgency=1.0),
    ]
    desk = desk_at(0, tasks)
    desk.submit("6", "4", "8")
    seed_weights = PriorityWeights()

    scores = [desk.score(Order.LEPTON, name, seed_weights) for name in desk.ids]

    assert scores == [-6.0, -4.0, -8.0]
    assert desk.first(Order.LEPTON, seed_weights) == "8"
