"""Features of small views, computed by hand.

The three nodes have 18 cores, 28 GiB, 3 GPUs and 1 FPGA together:

    big    8 cores  16 GiB  2 GPUs  1 FPGA
    plain  6 cores   8 GiB
    small  4 cores   4 GiB  1 GPU
"""

from __future__ import annotations

import string
from math import log10
from typing import Any

import pytest

from lepton_rl.core.nodes import Cluster
from lepton_rl.core.tasks import Task
from lepton_rl.encoding.features import (
    CLUSTER_FEATURES,
    FEATURE_LIMIT,
    NODE_FEATURES,
    TASK_FEATURES,
)
from tests.builders import Desk
from tests.encoding.views import cluster_features, hold, look, node_features, task_features
from tests.scenarios import FIXED_NODES

CLUSTER = Cluster(FIXED_NODES)
BIG, PLAIN, SMALL = range(3)

HALF_CARD = Task("half", {"cpu": 4, "memory": 4, "gpu": 0.5}, 100.0)
GANG = Task("gang", {"cpu": 2, "gpu": 1}, 50.0, 10.0, num_replicas=2, urgency=4.0)
CORES = Task("cores", {"cpu": 6}, 200.0, 20.0)


def close(expected: dict[str, float]) -> Any:
    """Equal to the precision of float32."""
    return pytest.approx(expected, rel=1e-6, abs=1e-6)


def desk(*tasks: Task) -> Desk:
    return Desk(CLUSTER, tasks)


def one_running_two_pending() -> Desk:
    """At 40 s `half` runs on the big node; `gang` has waited 30 s and `cores` 20 s."""
    small = desk(HALF_CARD, GANG, CORES)
    small.run("half")
    small.at(40)
    small.submit("gang", "cores")
    return small


def test_a_gang_that_asks_for_cards() -> None:
    """It asks for 2 of 3 GPUs, its dominant share, and 4 of 18 cores.

    Of the cores 4 are in use, so 14/18 of the cluster are free, of the scarcest kind.
    """
    view = one_running_two_pending()

    assert task_features(view, look(view), "gang") == close(
        {
            "requested_time": log10(1 + 50) / 6,
            "share": 2 / 3,
            "share_log": 1 + log10(2 / 3) / 4,
            "area": log10(1 + 50 * 2 / 3) / 6,
            "wait": log10(1 + 30) / 6,
            "stretch": log10(1 + 30 / 50) / 4,
            "fits": 1,  # on the whole card of the big node and on the small one
            "share_left": 14 / 18 - 2 / 3,
            "rank": 0,
            "requested_time_to_mean": log10(50 / 125) / 4,
            "area_to_mean": log10((50 * 2 / 3) / ((50 * 2 / 3 + 200 * 6 / 18) / 2)) / 4,
            "urgency": 0.4,
            "critical": 0,
            "device_share": 2 / 3,
            "replicas": log10(2) / 3,
            "deadline": 0,
            "delays_smallest": 0,
            "delays_oldest": 0,
        }
    )


def test_a_task_that_asks_for_cores() -> None:
    view = one_running_two_pending()

    assert task_features(view, look(view), "cores") == close(
        {
            "requested_time": log10(1 + 200) / 6,
            "share": 6 / 18,
            "share_log": 1 + log10(6 / 18) / 4,
            "area": log10(1 + 200 * 6 / 18) / 6,
            "wait": log10(1 + 20) / 6,
            "stretch": log10(1 + 20 / 200) / 4,
            "fits": 1,  # on the plain node
            "share_left": 14 / 18 - 6 / 18,
            "rank": 1 / 2,
            "requested_time_to_mean": log10(200 / 125) / 4,
            "area_to_mean": log10((200 * 6 / 18) / ((50 * 2 / 3 + 200 * 6 / 18) / 2)) / 4,
            "urgency": 0,
            "critical": 0,
            "device_share": 0,
            "replicas": 0,
            "deadline": 0,
            "delays_smallest": 0,
            "delays_oldest": 0,
        }
    )


@pytest.mark.parametrize(("now_s", "pressure"), [(0, 0.25), (60, 0.5), (90, 1.0), (500, 1.0)])
def test_a_deadline_presses_more_and_more(now_s: float, pressure: float) -> None:
    """60 s of work due at 120 s: half of its time at first, all of it at 60 s, then too late."""
    view = desk(Task("due", {"cpu": 1}, 60.0, deadline_s=120.0))
    view.at(now_s)
    view.submit("due")

    assert task_features(view, look(view), "due")["deadline"] == pytest.approx(pressure)


def test_nodes() -> None:
    """Sizes are dominant shares of the cluster: its only FPGA, 6 of 18 cores, 1 of 3 GPUs."""
    obs = look(one_running_two_pending())

    assert node_features(obs, BIG) == close(
        {
            "load": 4 / 8,
            "free_cards": 2.5 / 3,
            "free_rest": 4 / 8,
            "size": 1,
            "replicas": log10(2) / 3,
            "held": 0,
            "accepting": 1,
        }
    )
    assert node_features(obs, PLAIN) == close(
        {
            "load": 0,
            "free_cards": 0,
            "free_rest": 1,
            "size": 6 / 18,
            "replicas": 0,
            "held": 0,
            "accepting": 1,
        }
    )
    assert node_features(obs, SMALL) == close(
        {
            "load": 0,
            "free_cards": 1,
            "free_rest": 1,
            "size": 1 / 3,
            "replicas": 0,
            "held": 0,
            "accepting": 1,
        }
    )


def test_the_cluster() -> None:
    assert cluster_features(look(one_running_two_pending())) == close(
        {
            "free_share": 14 / 18,
            "pending": log10(1 + 2) / 4,
            "pending_area": log10(1 + 50 * 2 / 3 + 200 * 6 / 18) / 6,
            "outside_window": 0,
            "running": log10(1 + 1) / 4,
            "next_release": log10(1 + 60) / 6,
            "oldest_wait": log10(1 + 30) / 6,
            "mean_requested_time": log10(1 + 125) / 6,
            "smallest_starts_in": 0,  # it fits now
            "oldest_starts_in": 0,
        }
    )


def test_an_idle_cluster_with_nothing_to_do() -> None:
    obs = look(desk(HALF_CARD))

    assert cluster_features(obs) == dict.fromkeys(CLUSTER_FEATURES, 0.0) | {"free_share": 1.0}
    assert [node_features(obs, node)["load"] for node in range(3)] == [0, 0, 0]


def test_a_task_that_outlives_its_estimate_is_expected_to_end_now() -> None:
    view = desk(HALF_CARD)
    view.run("half")
    view.at(101)

    assert cluster_features(look(view))["next_release"] == 0


def test_the_next_release_is_the_first_expected_end() -> None:
    view = desk(HALF_CARD, Task("brief", {"cpu": 1}, 7.0))
    view.run("half", "brief")

    assert cluster_features(look(view))["next_release"] == pytest.approx(log10(8) / 6)


def test_a_gang_fills_nodes_with_its_replicas() -> None:
    """Two replicas on cores and one card of the big node, the third on the small one."""
    view = desk(Task("gang", {"cpu": 3, "gpu": 0.25}, 10.0, num_replicas=3))
    view.run("gang")
    obs = look(view)

    assert node_features(obs, BIG)["load"] == pytest.approx(6 / 8)
    assert node_features(obs, BIG)["free_cards"] == pytest.approx(2.5 / 3)
    assert node_features(obs, BIG)["replicas"] == pytest.approx(log10(3) / 3)
    assert node_features(obs, SMALL)["load"] == pytest.approx(3 / 4)
    assert node_features(obs, SMALL)["free_cards"] == pytest.approx(0.75)
    assert cluster_features(obs)["free_share"] == pytest.approx(9 / 18)
    assert cluster_features(obs)["running"] == pytest.approx(log10(2) / 4)


def test_an_exclusive_task_takes_all_of_its_node() -> None:
    view = desk(Task("alone", {"cpu": 1}, 10.0, exclusive_node=True), HALF_CARD)
    view.run("alone")
    view.submit("half")
    obs = look(view)

    assert node_features(obs, BIG)["load"] == 1
    assert node_features(obs, BIG)["free_cards"] == 0
    assert cluster_features(obs)["free_share"] == 0, "the only FPGA is gone"
    assert task_features(view, obs, "half")["fits"] == 1, "on the small node"


def test_what_does_not_fit_now_says_so() -> None:
    view = desk(HALF_CARD, Task("two cards", {"gpu": 2}, 5.0))
    view.run("half")
    view.submit("two cards")

    assert task_features(view, look(view), "two cards")["fits"] == 0


@pytest.mark.parametrize(
    ("requested_s", "fits"), [(30.0, 1), (30.5, 0)], ids=["ends before", "too long"]
)
def test_a_held_node_is_room_only_for_what_ends_before(requested_s: float, fits: float) -> None:
    """Only the big node has an FPGA, and from 30 s on it is held for the critical task."""
    critical = Task("critical", {"fpga": 1}, 10.0, critical=True)
    view = desk(Task("share", {"fpga": 0.5}, 30.0), critical, Task("x", {"fpga": 0.5}, requested_s))
    view.run("share")
    view.submit("critical", "x")
    hold(view, BIG, "critical", from_s=30)
    obs = look(view)

    assert task_features(view, obs, "x")["fits"] == fits
    assert task_features(view, obs, "x")["critical"] == 0
    assert task_features(view, obs, "critical")["fits"] == 0
    assert task_features(view, obs, "critical")["critical"] == 1
    assert [node_features(obs, node)["held"] for node in range(3)] == [1, 0, 0]


def test_a_node_held_for_the_task_itself_is_room_for_it() -> None:
    view = desk(Task("critical", {"fpga": 1}, 10.0, critical=True))
    view.submit("critical")
    hold(view, BIG, "critical", from_s=0)

    assert task_features(view, look(view), "critical")["fits"] == 1


@pytest.mark.parametrize(
    ("urgency", "expected"), [(-25.0, -1), (-5.0, -0.5), (0.0, 0), (10.0, 1), (1e300, 1)]
)
def test_urgency_is_cut(urgency: float, expected: float) -> None:
    view = desk(Task("t", {"cpu": 1}, 10.0, urgency=urgency))
    view.submit("t")

    assert task_features(view, look(view), "t")["urgency"] == expected


def test_ratios_of_extreme_times_are_cut() -> None:
    """A task of 1 us that has waited 3,000 years, beside one of 3,000 years."""
    view = desk(Task("blink", {"cpu": 0.001}, 1e-6), Task("ages", {"cpu": 6}, 1e11))
    view.submit("blink", "ages")
    view.at(1e11)
    obs = look(view)

    blink, ages = (task_features(view, obs, each) for each in ("blink", "ages"))
    assert blink["stretch"] == FEATURE_LIMIT
    assert blink["requested_time_to_mean"] == -FEATURE_LIMIT
    assert blink["area_to_mean"] == -FEATURE_LIMIT
    assert blink["wait"] == pytest.approx(11 / 6)
    assert blink["share_log"] == pytest.approx(1 + log10(1e-3 / 18) / 4)
    assert ages["requested_time_to_mean"] == pytest.approx(log10(2) / 4)


@pytest.mark.parametrize("names", [TASK_FEATURES, NODE_FEATURES, CLUSTER_FEATURES])
def test_features_have_names_of_their_own(names: tuple[str, ...]) -> None:
    assert len(set(names)) == len(names)
    assert all(set(name) <= {*string.ascii_lowercase, "_"} for name in names)
