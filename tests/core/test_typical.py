"""Typical tasks: the most frequent demands that make up 95 % of the tasks."""

from __future__ import annotations

import numpy as np
import pytest

from lepton_rl.core.intake import Intake
from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.tasks import Task
from lepton_rl.core.typical import typical_tasks

CLUSTER = Cluster(
    (
        Node("a", {"cpu": 8, "memory": 64, "gpu": 4}, "T4"),
        Node("b", {"cpu": 8, "memory": 64, "gpu": 4}, "A100"),
    )
)
HALF, WHOLE, CORES = {"cpu": 1.0, "gpu": 0.5}, {"cpu": 2.0, "gpu": 1.0}, {"cpu": 3.0}


def table_of(**counts: tuple[dict[str, float], int]) -> tuple[np.ndarray, Intake]:
    intake = Intake(CLUSTER)
    tasks = [
        Task(f"{name}{index}", demand, 1.0)
        for name, (demand, count) in counts.items()
        for index in range(count)
    ]
    return intake.table(tasks), intake


def test_the_most_frequent_come_first_and_their_shares_sum_to_one() -> None:
    table, intake = table_of(half=(HALF, 30), whole=(WHOLE, 60), cores=(CORES, 10))
    found = typical_tasks(table, intake.nodes)
    assert found["demand"][:, :3].tolist() == [[2000, 0, 1000], [1000, 0, 500], [3000, 0, 0]]
    assert found["weight"].tolist() == pytest.approx([0.6, 0.3, 0.1])


def test_what_is_beyond_95_per_cent_is_left_out() -> None:
    table, intake = table_of(half=(HALF, 36), whole=(WHOLE, 60), cores=(CORES, 4))
    found = typical_tasks(table, intake.nodes)
    assert found["weight"].tolist() == pytest.approx([60 / 96, 36 / 96])


def test_memory_does_not_count_and_models_do() -> None:
    intake = Intake(CLUSTER)
    plain = [Task(f"m{i}", {**WHOLE, "memory": 1.0 + i}, 1.0) for i in range(3)]
    picky = Task("picky", WHOLE, 1.0, device_models=frozenset({"T4"}))
    found = typical_tasks(intake.table([*plain, picky]), intake.nodes)
    assert found["demand"][:, 1].tolist() == [0, 0]
    assert found["weight"].tolist() == [0.75, 0.25]
    assert found["models"].tolist() == [0, 2]


def test_records_may_stand_for_many_tasks() -> None:
    table, intake = table_of(half=(HALF, 1), whole=(WHOLE, 1))
    found = typical_tasks(table, intake.nodes, np.array([3, 1]))
    assert found["weight"].tolist() == [0.75, 0.25]
