"""Work space follows the views; its handles always are those of what it gave last."""

from __future__ import annotations

import numpy as np

from lepton_rl.core.nodes import Cluster
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.tasks import Task
from lepton_rl.policies.registry import heuristic
from lepton_rl.policies.workspace import Workspace
from lepton_rl.sim.replay import replay
from lepton_rl.system import Scheduler
from lepton_rl.workloads.workload import Workload
from tests.builders import Desk, batch_job


def test_a_plan_that_grows_beside_the_same_view_gets_new_handles() -> None:
    """As in a heuristic, which asks for the work space first and for handles afterwards."""
    desk = Desk(Cluster.pool(1000), [batch_job(str(i), 1, 10) for i in range(300)])
    workspace = Workspace(has_plan=True)
    workspace.fitting(desk.view)
    before = workspace.ready(desk.view)
    desk.run(*desk.ids)

    scratch = workspace.fitting(desk.view)
    seen, work = workspace.ready(desk.view)

    assert seen.tables is desk.view  # type: ignore[attr-defined]
    assert work.tables is scratch  # type: ignore[attr-defined]
    assert work is not before[1]
    assert workspace.ready(desk.view) == (seen, work)


def test_conservative_backfilling_with_more_running_than_the_first_plan_holds() -> None:
    tasks = [
        Task(str(i), {"cpu": 300 if i % 100 == 50 else 1}, 50 + i % 90, 0.1 * i, 40 + i % 90)
        for i in range(600)
    ]
    workload = Workload.from_tasks("narrow and wide", Cluster.pool(300), tasks)
    policy = heuristic("fcfs", backfill=Backfill.CONSERVATIVE)
    system = Scheduler(workload.cluster, policy)
    system.submit_all(workload)
    most_running = 0
    while system.step():
        most_running = max(most_running, int(system.assess().status["num_running"][0]))

    expected = replay(workload.tasks, workload.run_us, workload.cluster, policy.rule)
    assert most_running > 256
    np.testing.assert_array_equal(system.schedule().start_us, expected.start_us)
