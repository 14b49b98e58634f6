"""An agent that chooses the nodes a placement rule would choose schedules as that rule does."""

from __future__ import annotations

import numpy as np
import pytest

from lepton_rl.core.intake import Intake
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.rules.dispatch import DispatchRule
from lepton_rl.core.rules.placement import Place, may_use
from lepton_rl.core.tables import NO_TASK, View
from lepton_rl.encoding.features import CANDIDATE_FEATURES
from lepton_rl.policies.registry import heuristic
from lepton_rl.sim.batch import BatchSimulator, episode_rule
from lepton_rl.sim.reference import heuristic_actions
from lepton_rl.sim.replay import replay, replay_heads
from tests.episodes import starts_us
from tests.scenarios import random_cluster, random_tasks

PLACES = [place for place in Place if place is not Place.RANDOM]
SLOTS = 40


class Scene:
    """A random cluster of unlike nodes, with gangs, cards and shares."""

    def __init__(self, seed: int) -> None:
        rng = np.random.default_rng(seed)
        self.cluster = random_cluster(rng)
        tasks = sorted(random_tasks(rng, self.cluster, SLOTS), key=lambda task: task.submit_time_s)
        self.tasks = Intake(self.cluster).table(tasks)
        self.tasks["critical"] = False  # reservations start tasks without asking
        self.run_us = np.array([round((task.run_time_s or 1) * 1e6) for task in tasks], np.int64)

    def simulator(self, place: Place, backfill: Backfill, **more: bool) -> BatchSimulator:
        rule = episode_rule(place, backfill, choose_nodes=True, **more)
        return BatchSimulator(
            self.tasks, self.run_us, self.cluster,
            batch=1, episode_tasks=SLOTS, slots=SLOTS, rule=rule,
        )  # fmt: skip


def drive(sim: BatchSimulator, rule: DispatchRule) -> int:
    """Do what `rule` would to the end; how often a node was asked for."""
    sim.reset(0, 0)
    actions, asked = np.zeros(1, np.int64), 0
    while not sim.terminated[0]:
        heuristic_actions(sim.sim, sim.obs, rule, actions)
        asked += int(actions[0] > SLOTS)
        sim.step(actions)
    return asked


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("backfill", [Backfill.NONE, Backfill.EASY])
@pytest.mark.parametrize("skip_forced", [True, False])
def test_starts_are_those_of_the_rule(place: Place, backfill: Backfill, skip_forced: bool) -> None:
    asked = 0
    for seed in range(3):
        scene = Scene(seed)
        rule = heuristic("f1", place=place, backfill=backfill).rule
        sim = scene.simulator(place, backfill, skip_forced=skip_forced)
        asked += drive(sim, rule)

        expected = replay(scene.tasks, scene.run_us, scene.cluster, rule)
        assert starts_us(sim.sim) == expected.start_us.tolist()
        assert np.array_equal(sim.sim.state.held["node"][0], expected.nodes)
    assert asked > 0


def test_rewards_still_add_up_to_the_metric() -> None:
    scene = Scene(1)
    sim = scene.simulator(Place.FGD, Backfill.NONE)
    rule = heuristic("fcfs", place="fgd").rule
    sim.reset(0, 0)
    actions, total = np.zeros(1, np.int64), 0.0
    while not sim.terminated[0]:
        heuristic_actions(sim.sim, sim.obs, rule, actions)
        sim.step(actions)
        total += float(sim.rewards[0])

    assert total == pytest.approx(-sim.mean_cost(0), rel=1e-9)


def test_only_nodes_are_offered_while_a_node_is_chosen() -> None:
    """And only those with room; their features are 0 elsewhere, and while a task is chosen."""
    scene = Scene(2)
    sim = scene.simulator(Place.FIRST_FIT, Backfill.NONE)
    rng = np.random.default_rng(0)
    sim.reset(0, 0)
    seen = {"task": 0, "node": 0}
    while not sim.terminated[0]:
        mask, candidates = sim.obs.action_mask[0], sim.obs.candidates[0]
        placing = sim.sim.progress["placing"][0] != NO_TASK
        seen["node" if placing else "task"] += 1
        assert mask[: SLOTS + 1].any() != placing
        assert mask[SLOTS + 1 :].any() == placing
        assert candidates.any(axis=1).tolist() == mask[SLOTS + 1 :].tolist()
        sim.step([int(rng.choice(np.flatnonzero(mask)))])

    assert min(seen.values()) > 10


def test_features_say_what_the_rules_go_by() -> None:
    """The node that a rule likes best has the extreme feature among those offered."""
    kinds = {
        Place.BEST_FIT: ("left_over", min),
        Place.TETRIS: ("tetris", max),
        Place.GPU_PACKING: ("packing", min),
        Place.FGD: ("relief", max),
        Place.FASTEST: ("speed", max),
    }
    for place, (name, best) in kinds.items():
        scene, column = Scene(3), CANDIDATE_FEATURES.index(name)
        rule = heuristic("fcfs", place=place).rule
        sim = scene.simulator(place, Backfill.NONE)
        sim.reset(0, 0)
        actions, compared = np.zeros(1, np.int64), 0
        while not sim.terminated[0]:
            heuristic_actions(sim.sim, sim.obs, rule, actions)
            if actions[0] > SLOTS:
                offered = sim.obs.candidates[0, sim.obs.action_mask[0, SLOTS + 1 :], column]
                chosen = sim.obs.candidates[0, actions[0] - SLOTS - 1, column]
                allowed = 0.01 if place is Place.FGD else 1e-6  # FGD compares whole per cent
                assert chosen == pytest.approx(best(offered.tolist()), abs=allowed)
                compared += 1
            sim.step(actions)
        assert compared > 5


def last_with_room(view: View, local: int, _replica: int) -> int:
    row, now_us = local, int(view.status["now_us"][0])
    nodes = range(len(view.nodes.rows))
    return [m for m in nodes if may_use(view, 0, view.pool, 0, local, row, now_us, m)][-1]


def test_a_schedule_by_heads_asks_for_nodes_too() -> None:
    """The oldest task on the last nodes that have room, in the environment and by replay."""
    scene = Scene(4)
    sim = scene.simulator(Place.FIRST_FIT, Backfill.NONE, skip_forced=False)
    sim.reset(0, 0)
    while not sim.terminated[0]:
        allowed = np.flatnonzero(sim.obs.action_mask[0])
        sim.step([int(allowed[-1] if allowed[0] > SLOTS else allowed[0])])

    rule = episode_rule(Place.FIRST_FIT, choose_nodes=True, skip_forced=False)
    found = replay_heads(
        scene.tasks, scene.run_us, scene.cluster,
        lambda view: int(view.pending[0, 0]), rule, last_with_room,
    )  # fmt: skip
    first_fit = replay(scene.tasks, scene.run_us, scene.cluster, heuristic("fcfs").rule)
    assert found.start_us.tolist() == starts_us(sim.sim)
    assert not np.array_equal(found.nodes, first_fit.nodes)
