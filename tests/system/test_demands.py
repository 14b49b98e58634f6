"""A scheduler learns what tasks usually ask for."""

from __future__ import annotations

import numpy as np

from lepton_rl.core.intake import Intake
from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.tasks import Task
from lepton_rl.core.typical import typical_tasks
from lepton_rl.policies.registry import heuristic
from lepton_rl.system import Scheduler
from lepton_rl.system import demands as demands_module
from lepton_rl.system.demands import Demands

CLUSTER = Cluster((Node("a", {"cpu": 8, "gpu": 4}),))


def task(index: int, gpu: float) -> Task:
    return Task(str(index), {"cpu": 1.0, "gpu": gpu}, 1.0, run_time_s=1.0)


def tasks(count: int) -> list[Task]:
    return [task(index, (0.5, 0.5, 1.0, 0.25)[index % 4]) for index in range(count)]


def test_the_table_is_that_of_all_tasks_so_far() -> None:
    intake, learned = Intake(CLUSTER), Demands()
    table = intake.table(tasks(40))
    renewed = [learned.add(table[row : row + 1]) for row in range(40)]
    np.testing.assert_array_equal(learned.typical(intake.nodes), typical_tasks(table, intake.nodes))
    assert renewed[0]
    assert sum(renewed) < 20, "seldom, once there are many"


def test_policies_see_it_in_the_view() -> None:
    system = Scheduler(CLUSTER, heuristic("fcfs+fgd"))
    assert len(system.assess().typical) == 0
    system.submit_all(tasks(64))
    seen = system.assess().typical
    assert seen["demand"][0, 1] == 500
    assert abs(seen["weight"].sum() - 1) < 1e-12
    system.run()


def test_rare_demands_are_forgotten_before_there_are_too_many(monkeypatch) -> None:
    monkeypatch.setattr(demands_module, "_MOST_SPECS", 8)
    intake, learned = Intake(CLUSTER), Demands()
    table = intake.table([task(index, 0.5) for index in range(50)])
    for row in range(50):
        learned.add(table[row : row + 1])
    rare = intake.table([task(index, 0.001 * (index + 1)) for index in range(100)])
    for row in range(100):
        learned.add(rare[row : row + 1])
    assert len(learned._counts) <= 8
    assert learned.typical(intake.nodes)["demand"][0, 1] == 500


def test_a_given_table_stays() -> None:
    intake = Intake(CLUSTER)
    given = typical_tasks(intake.table(tasks(4)), intake.nodes)
    system = Scheduler(CLUSTER, heuristic("fcfs"), typical=given)
    system.submit(task(0, 2.0))
    assert system.assess().typical is given
