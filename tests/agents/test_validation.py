"""Validation schedules fixed windows of one split, as the exported policy will."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from lepton_rl.agents.networks import PriorityNetwork
from lepton_rl.agents.validation import Validator
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.tables import View
from lepton_rl.encoding.observation import empty_observation, encode
from lepton_rl.encoding.workspace import encoder_workspace
from lepton_rl.envs.config import EnvironmentConfig
from lepton_rl.envs.episodes import Episodes
from lepton_rl.evaluate import measure
from lepton_rl.sim.batch import episode_rule
from lepton_rl.sim.replay import replay_heads
from tests.trained import ENVIRONMENT, network

LENGTH, SLOTS = ENVIRONMENT["episode_tasks"], 32


def validator(num_windows: int = 5, **settings: object) -> Validator:
    config = EnvironmentConfig.model_validate(
        {**ENVIRONMENT, "slots": SLOTS, "split": "validation", **settings}
    )
    return Validator(config, Episodes.of(config), num_windows)


def heads(model: PriorityNetwork, slots: int = SLOTS) -> Callable[[View], int]:
    """What the network names first, one window at a time."""

    def head(view: View) -> int:
        obs = empty_observation(1, slots, len(view.nodes.rows))
        encode(view, 0, False, obs, encoder_workspace(view.nodes, 1, slots))
        inputs = (torch.as_tensor(each) for each in (obs.tasks, obs.nodes, obs.cluster))
        with torch.no_grad():
            logits = model(*inputs)[0].numpy()
        return int(obs.window[0, np.where(obs.action_mask[0], logits, -np.inf).argmax()])

    return head


@pytest.mark.parametrize("backfill", ["none", "easy"])
def test_metrics_are_those_of_scheduling_each_window_by_itself(backfill: str) -> None:
    model = network()
    check = validator(backfill=backfill)
    workload = check.episodes.workload

    metric, _ = check.run(model)

    assert metric.shape == (5,)
    for first_row, ours in zip(check.starts().tolist(), metric, strict=True):
        window = workload.window(first_row, LENGTH)
        rule = episode_rule(backfill=Backfill[backfill.upper()])
        schedule = replay_heads(window.tasks, window.run_us, window.cluster, heads(model), rule)
        theirs = measure(schedule, window, window.cluster).mean_bounded_slowdown
        assert ours == pytest.approx(theirs, rel=1e-9)
    assert len(set(metric.tolist())) > 1


def test_windows_lie_in_the_validation_split() -> None:
    check = validator()
    split, starts = check.episodes.split, check.starts()

    assert split.name == "validation"
    assert starts[0] == split.first
    assert starts[-1] + LENGTH - 1 == split.last
    assert (np.diff(starts) > 0).all()


def test_a_short_split_gives_fewer_windows() -> None:
    check = validator(num_windows=10_000)

    starts = check.starts()

    assert len(starts) == len(check.episodes.split) - LENGTH + 1
    assert len(set(starts.tolist())) == len(starts)


@pytest.mark.parametrize("settings", [{"may_wait": True}, {"slots": 2}, {"episode_tasks": 1}])
def test_other_settings(settings: dict[str, object]) -> None:
    metric, observations = validator(num_windows=3, **settings).run(network())

    assert np.isfinite(metric).all()
    assert (metric >= 1).all()
    assert len(observations["tasks"]) >= 3


def test_running_twice_gives_the_same_and_changes_no_weight() -> None:
    model, check = network(), validator()
    before = [p.clone() for p in model.parameters()]

    first, _ = check.run(model)
    second, _ = check.run(model)

    np.testing.assert_array_equal(first, second)
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


def test_observations_are_of_the_first_decision_and_of_one_in_the_middle() -> None:
    _, observations = validator(num_windows=4).run(network())

    assert {name: values.shape[0] for name, values in observations.items()} == dict.fromkeys(
        ("tasks", "nodes", "cluster", "action_mask"), 8
    )
    assert observations["action_mask"].any(axis=1).all()
    assert not np.array_equal(observations["tasks"][:4], observations["tasks"][4:])
