from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.tasks import Task
from lepton_rl.evaluate.report.gantt import draw_up
from lepton_rl.policies.registry import rule_of
from lepton_rl.sim.replay import replay
from lepton_rl.workloads.workload import Workload
from tests.evaluate.small import busy_windows, pool_workload, schedule_from


def test_boxes_by_hand() -> None:
    # 4 processors: t0 takes 0-1, t1 2; t2 needs 3 and gets 0-1 and 3 when t0 has ended
    work = pool_workload([(0, 10, 2), (0, 30, 1), (5, 5, 3)])
    drawn = draw_up(schedule_from(work, [0, 0, 10]), work)
    assert drawn.nodes == ("pool (4 cpu)",)
    assert drawn.hidden_nodes == 0
    found = [(b.low, b.high, b.start_s, b.end_s) for b in drawn.boxes]
    assert found == [(0, 0.5, 0, 10), (0.5, 0.75, 0, 30), (0, 0.5, 10, 15), (0.75, 1, 10, 15)]
    assert drawn.boxes[2].title == ("task t2: size 3, waited 5 s, ran 5 s, bounded slowdown 1.0")


def test_devices_are_the_rows_of_a_node_that_has_them() -> None:
    nodes = (Node("a", {"cpu": 8, "gpu": 2}), Node("b", {"cpu": 8, "gpu": 2}))
    tasks = [
        Task("gang", {"cpu": 1, "gpu": 1}, 50, run_time_s=50, num_replicas=2),
        Task("half", {"gpu": 0.5}, 50, run_time_s=50),
        Task("cores", {"cpu": 2}, 100, run_time_s=100),
    ]
    work = Workload.from_tasks("gpu", Cluster(nodes), tasks)
    where = np.array([[0, 1], [1, -1], [0, -1]])
    drawn = draw_up(dataclasses.replace(schedule_from(work, [0, 0, 0]), nodes=where), work)
    assert drawn.units == (2, 2)
    found = [(b.node, b.low, b.high) for b in drawn.boxes]
    assert found == [(0, 0, 0.5), (1, 0, 0.5), (1, 0.5, 0.75)]


def test_of_many_nodes_those_that_worked_most_are_shown() -> None:
    nodes = tuple(Node(f"n{i}", {"cpu": 1}) for i in range(20))
    tasks = [Task(f"t{i}", {"cpu": 1}, 5, run_time_s=5) for i in range(18)]
    work = Workload.from_tasks("many", Cluster(nodes), tasks)
    schedule = replay(work.tasks, work.run_us, work.cluster, rule_of("fcfs"))
    drawn = draw_up(schedule, work)
    assert len(drawn.nodes) == 16
    assert drawn.hidden_nodes == 4


@pytest.mark.parametrize("spec", ["fcfs", "sjf+easy"])
def test_boxes_never_overlap_and_have_the_area_of_the_work(spec: str) -> None:
    (work,) = busy_windows(1)
    schedule = replay(work.tasks, work.run_us, work.cluster, rule_of(spec))
    boxes = draw_up(schedule, work).boxes
    area = sum((b.high - b.low) * (b.end_s - b.start_s) for b in boxes)
    assert area == pytest.approx((work.tasks["size"] / 32 * work.run_us).sum() / 1e6)
    for one in boxes:
        for other in boxes:
            if one is not other:
                apart = (
                    one.high <= other.low + 1e-12
                    or other.high <= one.low + 1e-12
                    or one.end_s <= other.start_s + 1e-9
                    or other.end_s <= one.start_s + 1e-9
                )
                assert apart, (one, other)
