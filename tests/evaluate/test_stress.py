"""Failures, bursts and larger copies."""

from __future__ import annotations

import numpy as np
import pytest

from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.tasks import Task
from lepton_rl.evaluate import HeuristicContender
from lepton_rl.evaluate.learned import LearnedContender
from lepton_rl.evaluate.stress import (
    SCALES,
    burst,
    measure_scaling,
    measure_stability,
    node_failures,
    scaled,
)
from lepton_rl.policies.learned import load_policy
from lepton_rl.policies.registry import rule_of
from lepton_rl.workloads.workload import Workload
from tests.evaluate.small import busy_windows, pool_workload
from tests.trained import random_policy_file

FCFS = HeuristicContender("fcfs", rule_of("fcfs"))


def on_nodes(count: int = 40) -> Workload:
    nodes = tuple(Node(f"n{i}", {"cpu": 4, "gpu": 2}) for i in range(count))
    tasks = [
        Task(f"t{i}", {"cpu": 1, "gpu": 1}, 50, run_time_s=50, submit_time_s=i, deadline_s=i + 90)
        for i in range(30)
    ]
    return Workload.from_tasks("nodes", Cluster(nodes), tasks)


def test_a_twentieth_of_the_nodes_fails_for_a_twentieth_of_the_time() -> None:
    work = on_nodes()
    events = node_failures(work, work.cluster).node_events
    assert len(events) == 4
    assert len(set(events["node"].tolist())) == 2
    first = events[events["node"] == events["node"][0]]["time_us"]
    assert first[1] - first[0] == pytest.approx(0.05 * 29e6, abs=1)
    pool = pool_workload([(0, 5, 1), (100, 5, 1)])
    assert len(node_failures(pool, pool.cluster).node_events) == 2  # the machine itself


def test_the_middle_third_of_a_burst_arrives_at_once() -> None:
    work = on_nodes()
    crowded = burst(work)
    submit_s = (crowded.tasks["submit_us"] // 1_000_000).tolist()
    assert submit_s == [*range(10), *[10] * 10, *range(20, 30)]
    slack = crowded.tasks["deadline_us"] - crowded.tasks["submit_us"]
    assert (slack == 90_000_000).all()
    assert len(burst(pool_workload([(0, 1, 1)]))) == 1


def test_larger_copies_have_as_much_to_do_on_each_node() -> None:
    work = on_nodes(3)
    larger = scaled(work, 4)
    assert (len(larger), len(larger.cluster.nodes)) == (120, 12)
    assert len(set(larger.ids.tolist())) == 120
    pool = scaled(pool_workload([(0, 5, 1), (100, 5, 1)]), 8)
    assert [dict(node.capacity) for node in pool.cluster.nodes] == [{"cpu": 32}]
    assert scaled(work, 1) is work


def test_failures_and_bursts_make_things_worse() -> None:
    windows = busy_windows(2, 48)
    learned = LearnedContender("net", load_policy(random_policy_file()))
    for found in measure_stability([FCFS, learned], windows, Backfill.NONE):
        assert 1 <= found.calm < found.failures
        assert found.burst >= 1


def test_scaling_measures_every_size_for_everybody() -> None:
    (window,) = busy_windows(1, 32)
    sjf = HeuristicContender("sjf", rule_of("sjf"))
    found = list(measure_scaling([FCFS, sjf], window, Backfill.EASY))
    assert [(e.scale, e.name) for e in found] == [(s, n) for s in SCALES for n in ("fcfs", "sjf")]
    assert all(each.decision_us > 0 for each in found)
    calm = FCFS.schedule(window, window.cluster, Backfill.EASY)
    assert np.isfinite(calm.end_us).all()
