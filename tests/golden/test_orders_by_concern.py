"""Orders by deadline, tenant and service so far, worked by hand on small queues."""

from __future__ import annotations

import math

import pytest

from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.rules.orders import Order, PriorityWeights
from lepton_rl.core.tasks import Task
from tests.builders import Desk

BY_CONCERN = {
    Order.EDF, Order.LEAST_SLACK, Order.MULTIFACTOR, Order.DRF, Order.MAX_MIN, Order.LAS
}  # fmt: skip
WEIGHTS = PriorityWeights()
CLUSTER = Cluster((Node("n", {"cpu": 20, "memory": 100, "gpu": 4}),))


def task(name: str, submit_s: float = 0.0, requested_s: float = 100.0, **more: object) -> Task:
    demand = more.pop("demand", {"cpu": 1.0})
    return Task(name, demand, requested_s, submit_time_s=submit_s, **more)  # type: ignore[arg-type]


def ranking(desk: Desk, order: Order) -> list[str]:
    """The pending tasks, first to last."""
    found = []
    while (first := desk.first(order, WEIGHTS)) is not None:
        found.append(first)
        desk.withdraw(first)
    return found


class TestDeadlines:
    def desk(self) -> Desk:
        tasks = [
            task("none", 0),
            task("long", 1, requested_s=90, deadline_s=120),  # slack at 10: 120 - 10 - 90 = 20
            task("short", 2, requested_s=10, deadline_s=100),  # slack at 10: 100 - 10 - 10 = 80
        ]
        desk = Desk(CLUSTER, tasks)
        desk.submit(*desk.ids)
        desk.at(10)
        return desk

    def test_the_earliest_deadline(self) -> None:
        desk = self.desk()
        assert [desk.score(Order.EDF, name, WEIGHTS) for name in desk.ids] == [math.inf, 120, 100]
        assert ranking(desk, Order.EDF) == ["short", "long", "none"]

    def test_the_least_slack(self) -> None:
        desk = self.desk()
        scores = [desk.score(Order.LEAST_SLACK, name, WEIGHTS) for name in desk.ids]
        assert scores == [math.inf, 20, 80]
        assert ranking(desk, Order.LEAST_SLACK) == ["long", "short", "none"]

    def test_slack_turns_negative(self) -> None:
        desk = self.desk()
        desk.at(200)
        assert desk.score(Order.LEAST_SLACK, "long", WEIGHTS) == -170


class TestTenants:
    """Ghodsi et al. (NSDI'11): A's tasks are heavy in memory, B's in cores."""

    def desk(self) -> Desk:
        a, b = {"cpu": 1.0, "memory": 30.0}, {"cpu": 5.0, "memory": 1.0}
        tasks = [
            task("a1", 0, demand=a, tenant="A"),  # 1/20 of the cores, 30/100 of the memory
            task("b1", 1, demand=b, tenant="B"),  # 5/20 of the cores, 1/100 of the memory
            task("a2", 2, demand=a, tenant="A"),
            task("b2", 3, demand=b, tenant="B"),
            task("c", 4, demand=b, tenant="C"),
        ]
        desk = Desk(CLUSTER, tasks)
        desk.run("a1", "b1")
        desk.submit("a2", "b2", "c")
        return desk

    def test_dominant_shares(self) -> None:
        desk = self.desk()
        scores = [desk.score(Order.DRF, name, WEIGHTS) for name in ("a2", "b2", "c")]
        assert scores == pytest.approx([0.30, 0.25, 0])
        assert ranking(desk, Order.DRF) == ["c", "b2", "a2"]

    def test_max_min_looks_at_devices_where_there_are_any(self) -> None:
        desk = self.desk()
        assert [desk.score(Order.MAX_MIN, name, WEIGHTS) for name in ("a2", "b2")] == [0, 0]
        assert ranking(desk, Order.MAX_MIN) == ["a2", "b2", "c"]

    def test_max_min_looks_at_cores_elsewhere(self) -> None:
        tasks = [task("a1", 0, tenant="A"), task("a2", 1, tenant="A"), task("b", 2, tenant="B")]
        desk = Desk(Cluster.pool(10), tasks)
        desk.run("a1")
        desk.submit("a2", "b")
        assert desk.score(Order.MAX_MIN, "a2", WEIGHTS) == pytest.approx(0.1)
        assert ranking(desk, Order.MAX_MIN) == ["b", "a2"]

    def test_what_has_ended_counts_no_more(self) -> None:
        desk = self.desk()
        desk.finish("a1")
        assert desk.score(Order.DRF, "a2", WEIGHTS) == 0


class TestMultifactor:
    def test_age_size_and_urgency(self) -> None:
        week = 7 * 86_400
        tasks = [
            task("old", 0),
            task("wide", week, demand={"cpu": 1.0, "gpu": 4}),
            task("urgent", week, urgency=0.5),
        ]
        desk = Desk(CLUSTER, tasks)
        desk.submit(*desk.ids)
        desk.at(week)
        scores = [desk.score(Order.MULTIFACTOR, name, WEIGHTS) for name in desk.ids]
        assert scores == [-1, -1, -0.5]
        desk.at(3 * week)
        assert desk.score(Order.MULTIFACTOR, "old", WEIGHTS) == -1  # age counts no more

    def test_who_has_used_more_comes_later(self) -> None:
        tasks = [
            task("a1", 0, tenant="A", demand={"cpu": 9.0}),
            task("b1", 0, tenant="B"),
            task("a2", 1, tenant="A"),
            task("b2", 2, tenant="B"),
        ]
        desk = Desk(CLUSTER, tasks)
        desk.run("a1", "b1")
        desk.submit("a2", "b2")
        desk.at(1000)
        assert desk.first(Order.MULTIFACTOR, WEIGHTS) == "b2"


class TestService:
    def test_classes_of_service_and_first_come_within(self) -> None:
        tasks = [task("a", 0, demand={"gpu": 4}, preemptible=True), task("b", 5), task("c", 6)]
        desk = Desk(CLUSTER, tasks)
        desk.run("a")
        desk.submit("b", "c")
        desk.at(900)  # 4 cards x 900 s is one card-hour
        assert desk.score(Order.LAS, "a", WEIGHTS) == 1
        assert ranking(desk, Order.LAS) == ["b", "c"]
        desk.at(9000)
        assert desk.score(Order.LAS, "a", WEIGHTS) == 2

    def test_service_of_earlier_runs_counts(self) -> None:
        desk = Desk(CLUSTER, [task("a", 0, demand={"gpu": 4}), task("b", 5)])
        desk.run("a")
        desk.at(900)
        desk.finish("a")
        desk.enter_again("a")
        desk.submit("b")
        assert ranking(desk, Order.LAS) == ["b", "a"]
