"""Demand predicted from measured peaks, and what it saves."""

from __future__ import annotations

import math

import pytest

from lepton_rl.core.errors import ConfigError
from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.settings import load_settings
from lepton_rl.core.tasks import Task
from lepton_rl.policies.registry import heuristic
from lepton_rl.prediction import (
    DemandAccuracy,
    DemandConfig,
    DemandEstimates,
    PredictionConfig,
    demand_accuracy_of,
)
from lepton_rl.system import Scheduler

LEAST_ONE = DemandConfig(least=1)


def asking(name: str, memory_gib: float | None = 8, tenant: str = "ada") -> Task:
    demand = {"cpu": 1.0} if memory_gib is None else {"cpu": 1.0, "memory": memory_gib}
    return Task(name, demand, 100, tenant=tenant, run_time_s=100)


def having_seen(*peaks: float, config: DemandConfig = LEAST_ONE) -> DemandEstimates:
    demands = DemandEstimates(config)
    for number, peak in enumerate(peaks):
        demands.submitted(asking(f"seen-{number}"))
        assert demands.ended(f"seen-{number}", peak)
    return demands


def test_before_anything_is_known_it_is_the_task_itself() -> None:
    task = asking("x")
    assert DemandEstimates().submitted(task) is task


def test_a_task_asks_for_what_others_needed() -> None:
    task = having_seen(1, 2).submitted(asking("x"))

    assert task.demand == {"cpu": 1, "memory": 2}
    assert task.requested_time_s == 100


def test_never_for_more_than_its_user_did() -> None:
    assert having_seen(9).submitted(asking("x", 4)).demand["memory"] == 4


def test_a_user_who_asked_for_nothing_gets_what_is_needed() -> None:
    assert having_seen(3).submitted(asking("x", None)).demand["memory"] == 3


def test_margin_and_whole_units() -> None:
    """A third of a GiB is 341.3 MiB; what is given must not be less."""
    demands = having_seen(1 / 3, config=DemandConfig(least=1, margin=1.5))
    assert demands.submitted(asking("x")).demand["memory"] == 0.5

    assert having_seen(1 / 3).submitted(asking("x")).demand["memory"] == 342 / 1024


def test_only_measured_peaks_of_known_tasks_teach_and_each_once() -> None:
    demands = DemandEstimates(LEAST_ONE)
    demands.submitted(asking("x"))

    assert not demands.ended("stranger", 1)
    assert not demands.ended("x", None)
    assert not demands.ended("x", 1), "it has ended before"
    assert demands.submitted(asking("y")).demand["memory"] == 8


@pytest.mark.parametrize("peak", [0.0, -1.0, math.nan, math.inf])
def test_a_peak_is_an_amount(peak: float) -> None:
    demands = DemandEstimates()
    demands.submitted(asking("x"))
    with pytest.raises(ConfigError, match="task 'x': expected a finite peak > 0"):
        demands.ended("x", peak)


def test_devices_are_not_predicted() -> None:
    with pytest.raises(ConfigError, match="'gpu' is a device"):
        DemandEstimates(DemandConfig(resource="gpu"))
    with pytest.raises(ConfigError, match="did you mean 'memory'"):
        DemandEstimates(DemandConfig(resource="memroy"))


def test_settings() -> None:
    config = load_settings(PredictionConfig, {"demand": {"quantile": 0.99, "margin": 1.2}}, "p")
    assert (config.demand.quantile, config.demand.margin) == (0.99, 1.2)
    with pytest.raises(ConfigError, match=r"demand\.margin: .*greater than or equal to 1"):
        load_settings(PredictionConfig, {"demand": {"margin": 0.5}}, "p")


def test_more_tasks_run_side_by_side() -> None:
    """Eight tasks ask for 8 of 16 GiB and use 2: two fit as asked, all of them as predicted."""
    cluster = Cluster((Node("n", {"cpu": 8, "memory": 16}),))

    def running(tasks: list[Task]) -> int:
        system = Scheduler(cluster, heuristic("fcfs"))
        system.submit_all(tasks)
        system.step()
        return len(system.queue.running)

    demands = DemandEstimates(LEAST_ONE, cluster.schema)
    demands.submitted(asking("earlier"))
    demands.ended("earlier", 2)
    tasks = [asking(f"task-{number}") for number in range(8)]

    assert running(tasks) == 2
    assert running([demands.submitted(task) for task in tasks]) == 8


def test_accuracy_by_hand() -> None:
    used = [1.0, 2.0, 4.0, math.nan, 8.0]
    predicted = [2.0, 2.0, 2.0, 7.0, math.inf]

    assert demand_accuracy_of(used, predicted) == DemandAccuracy(
        tasks=3,
        mean_accuracy=pytest.approx((1 / 2 + 1 + 1 / 2) / 3),
        underestimated=pytest.approx(1 / 3),
        median_factor=1,
        mean_factor=pytest.approx((2 + 1 + 1 / 2) / 3),
        total_factor=pytest.approx(6 / 7),
    )


@pytest.mark.parametrize(
    ("used", "predicted", "message"),
    [
        ([1.0], [1.0, 2.0], "two lists of one length"),
        ([math.nan], [1.0], "at least one task"),
        ([0.0], [1.0], "both > 0"),
    ],
)
def test_what_cannot_be_compared(used: list, predicted: list, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        demand_accuracy_of(used, predicted)
