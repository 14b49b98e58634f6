"""Costs against the metrics of the finished schedule: deadlines, unlike nodes, preemption."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_rl.core.intake import node_table
from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.tasks import Task
from lepton_rl.evaluate.metrics import measure
from lepton_rl.policies.registry import rule_of
from lepton_rl.sim.batch import BatchSimulator, episode_rule
from lepton_rl.sim.events import reset
from lepton_rl.sim.objective import Objective
from lepton_rl.sim.replay import run_to_end, schedule_of
from lepton_rl.sim.tables import empty_sim
from lepton_rl.workloads.workload import Workload

FIGURES = {Objective.DEADLINES: "deadline_misses", Objective.TURNAROUND: "mean_turnaround_s"}
CLUSTER = Cluster(
    (
        Node("plain", {"cpu": 2}),
        Node("fast", {"cpu": 2}, speed_factors={"a": 3.0, "b": 1.7}),
        Node("slow", {"cpu": 4}, speed_factors={"a": 0.3, "b": 0.9}),
    )
)
LENGTH = 20

seeds = st.integers(0, 2**32 - 1)
objectives = st.sampled_from(sorted(FIGURES))


def unlike_work(rng: np.random.Generator, *, preemptible: bool = False) -> Workload:
    """A busy quarter of a minute; some deadlines cannot be met at all."""
    tasks = []
    for number in range(LENGTH):
        submit_s, run_s = float(rng.uniform(0, 15)), float(rng.uniform(0.5, 9))
        tasks.append(
            Task(
                f"t{number}",
                {"cpu": int(rng.integers(1, 3))},
                run_s,
                submit_s,
                run_s,
                deadline_s=submit_s + run_s * float(rng.uniform(0.4, 3)),
                task_class=str(rng.choice(["a", "b", "c"])),
                preemptible=preemptible,
                checkpoint_interval_s=1.0,
            )
        )
    return Workload.from_tasks("unlike", CLUSTER, tasks)


@settings(deadline=None, max_examples=60)
@given(seeds, objectives, st.booleans())
def test_rewards_add_up_to_the_metric_on_unlike_nodes(
    seed: int, objective: Objective, choose_nodes: bool
) -> None:
    rng = np.random.default_rng(seed)
    work = unlike_work(rng)
    rule = episode_rule(objective=objective, choose_nodes=choose_nodes, may_wait=True)
    sim = BatchSimulator(
        work.tasks, work.run_us, CLUSTER, batch=1, episode_tasks=LENGTH, slots=6, rule=rule
    )
    sim.reset(0, 0)
    total, over = 0.0, False
    while not over:
        sim.step([int(rng.choice(np.flatnonzero(sim.obs.action_mask[0])))])
        total += float(sim.rewards[0])
        over = bool(sim.terminated[0])
    metrics = measure(schedule_of(sim.sim), work, CLUSTER)
    assert -total == pytest.approx(getattr(metrics, FIGURES[objective]), rel=1e-9, abs=1e-9)


@settings(deadline=None, max_examples=40)
@given(seeds, st.tuples(*[st.floats(0, 50)] * 4), st.booleans())
def test_a_weighted_sum_is_the_sum_of_the_reported_metrics(
    seed: int, weights: tuple[float, ...], choose_nodes: bool
) -> None:
    rng = np.random.default_rng(seed)
    work = unlike_work(rng)
    sim = BatchSimulator(
        work.tasks, work.run_us, CLUSTER, batch=1, episode_tasks=LENGTH, slots=6, weights=weights,
        rule=episode_rule(objective=Objective.WEIGHTED_SUM, choose_nodes=choose_nodes),
    )  # fmt: skip
    sim.reset(0, 0)
    total, over = 0.0, False
    while not over:
        sim.step([int(rng.choice(np.flatnonzero(sim.obs.action_mask[0])))])
        total += float(sim.rewards[0])
        over = bool(sim.terminated[0])
    schedule = schedule_of(sim.sim)
    metrics = measure(schedule, work, CLUSTER)
    waits_s = (schedule.start_us - schedule.submit_us) / 1e6
    runs_s = work.run_us / 1e6  # the speed of nodes is left out of slowdowns here
    slowdown = np.maximum(1, (waits_s + runs_s) / np.maximum(runs_s, 10)).mean()
    parts = slowdown, metrics.mean_wait_s, metrics.mean_turnaround_s, metrics.deadline_misses
    assert -total == pytest.approx(np.dot(weights, parts), rel=1e-9, abs=1e-9)


@settings(deadline=None, max_examples=40)
@given(seeds, objectives)
def test_work_that_was_cut_off_is_counted_once(seed: int, objective: Objective) -> None:
    """Shorter tasks stop longer ones; one that had met its deadline may then miss it."""
    work = unlike_work(np.random.default_rng(seed), preemptible=True)
    work = replace(work, run_us=work.run_us * 4)  # users underestimate
    rule = rule_of("sjf+preempt")
    sim = empty_sim(work.tasks, work.run_us, node_table(CLUSTER), 1, LENGTH, rule)
    reset(sim, 0, 0, LENGTH)
    assert run_to_end(sim, 0, rule, int(objective))
    schedule = schedule_of(sim)
    late = schedule.end_us > work.tasks["deadline_us"]
    turnarounds_s = (schedule.end_us - schedule.submit_us) / 1e6
    expected = late.sum() if objective is Objective.DEADLINES else turnarounds_s.sum()
    rests_s = schedule.num_preemptions * 1e-6  # a stopped task is pending again 1 us later
    assert sim.progress["cost"][0] == pytest.approx(expected, rel=1e-9, abs=rests_s + 1e-9)


def test_a_task_without_a_deadline_misses_none() -> None:
    tasks = [Task(f"t{n}", {"cpu": 4}, 5, 0.0, 5.0) for n in range(5)]
    work = Workload.from_tasks("late", Cluster((Node("n", {"cpu": 4}),)), tasks)
    sim = BatchSimulator(
        work.tasks, work.run_us, work.cluster, batch=1, episode_tasks=5, slots=4,
        rule=episode_rule(objective=Objective.DEADLINES),
    )  # fmt: skip
    sim.reset(0, 0)
    while not sim.terminated[0]:
        sim.step([int(np.flatnonzero(sim.obs.action_mask[0])[0])])
    assert sim.mean_cost(0) == 0.0
