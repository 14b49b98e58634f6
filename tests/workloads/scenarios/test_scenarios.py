"""What every scenario owes, and the traits that make each what it is."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from lepton_rl.core.errors import ConfigError
from lepton_rl.core.intake import node_table, task_classes
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.tables import NEVER_US
from lepton_rl.evaluate.metrics import deadline_misses
from lepton_rl.policies.registry import rule_of
from lepton_rl.sim.replay import replay
from lepton_rl.workloads.scenarios import autonomous_driving, edge, stream_processing
from lepton_rl.workloads.scenarios.registry import SCENARIOS
from lepton_rl.workloads.sources import GENERATORS, offered_load, open_workload
from lepton_rl.workloads.workload import Workload

WITH_DEADLINES = ("autonomous-driving", "stream-processing", "edge")
every_scenario = pytest.mark.parametrize("name", SCENARIOS)


@cache
def work(name: str, seed: int = 0, **settings: float) -> Workload:
    return open_workload(name, seed=seed, settings={"num_tasks": 6000, **settings})


def template_of(workload: Workload) -> NDArray[np.str_]:
    """`camera-17` -> `camera`."""
    return np.array([name.rpartition("-")[0] for name in workload.ids])


def may_use(workload: Workload) -> NDArray[np.bool_]:
    """`(N, M)` nodes whose labels, models and capacity suit a replica of each task."""
    nodes, tasks = node_table(workload.cluster).rows, workload.tasks
    labels = (tasks["labels"][:, None] & ~nodes["labels"][None]) == 0
    models = (tasks["models"][:, None] == 0) | (tasks["models"][:, None] & nodes["model"] != 0)
    kinds = workload.demand_units.shape[1]
    room = (workload.demand_units[:, None] <= nodes["capacity"][None, :, :kinds]).all(axis=2)
    allowed: NDArray[np.bool_] = labels & models & room
    return allowed


# --- all of them ---------------------------------------------------------------------------------


@every_scenario
def test_it_is_a_generator_of_feasible_work(name: str) -> None:
    found = work(name)
    assert name in GENERATORS
    assert len(found) == 6000
    found.check_feasible()
    assert len(set(found.ids)) == len(found)
    assert may_use(found).any(axis=1).all()


@every_scenario
@pytest.mark.parametrize("load", [0.4, 0.7])
def test_the_load_is_what_was_asked_for(name: str, load: float) -> None:
    assert offered_load(work(name, load=load)) == pytest.approx(load, rel=1e-5)


@every_scenario
def test_a_larger_cluster_has_as_much_to_do(name: str) -> None:
    small, large = work(name), work(name, scale=2)
    assert len(large.cluster.nodes) == 2 * len(small.cluster.nodes)
    assert offered_load(large) == pytest.approx(offered_load(small), rel=1e-5)
    large.check_feasible()


@every_scenario
def test_the_same_seed_gives_the_same_work(name: str) -> None:
    one, same, other = (
        open_workload(name, seed=seed, settings={"num_tasks": 500}) for seed in (3, 3, 4)
    )
    np.testing.assert_array_equal(one.tasks, same.tasks)
    np.testing.assert_array_equal(one.run_us, same.run_us)
    np.testing.assert_array_equal(one.ids, same.ids)
    assert (one.run_us != other.run_us).any()


@every_scenario
def test_its_machines_are_unlike_and_state_their_power(name: str) -> None:
    cluster = work(name).cluster
    assert set(cluster.schema.names) == {"cpu", "memory", "gpu", "fpga"}
    assert len({tuple(node.capacity.items()) for node in cluster.nodes}) >= 3
    assert any(node.speed_factors for node in cluster.nodes)
    assert all(0 < node.idle_watts < node.peak_watts for node in cluster.nodes)
    shares = work(name).demand_units[:, cluster.schema.names.index("gpu")]
    assert ((shares > 0) & (shares < 1000)).any(), "some share a card"


@every_scenario
def test_a_wrong_setting_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="num_tasks"):
        open_workload(name, settings={"num_task": 5})
    with pytest.raises(ConfigError, match="bring their cluster; use scale"):
        open_workload(name, processors=64)


@pytest.mark.parametrize("name", WITH_DEADLINES)
def test_each_deadline_can_be_met_on_an_idle_cluster(name: str) -> None:
    found = work(name)
    column = task_classes(found.cluster)
    speed = node_table(found.cluster).speed[:, found.tasks["task_class"]].T  # (N, M)
    assert set(found.tasks["task_class"].tolist()) <= set(column.values())
    best = np.where(may_use(found), speed, 0).max(axis=1)
    slack_us = found.tasks["deadline_us"] - found.tasks["submit_us"]
    assert (found.tasks["deadline_us"] != NEVER_US).all()
    assert (found.run_us / best <= slack_us + 1).all()


@pytest.mark.parametrize("name", WITH_DEADLINES)
def test_some_deadlines_are_missed_at_the_usual_load_and_hardly_any_with_little_to_do(
    name: str,
) -> None:
    def missed(**settings: float) -> float:
        found = work(name, **settings)
        rule = rule_of("fcfs+easy")
        return deadline_misses(replay(found.tasks, found.run_us, found.cluster, rule), found)

    assert missed(load=0.1) < 0.002
    assert 0.002 < missed() < 0.2


# --- each of them --------------------------------------------------------------------------------


def test_teams_of_the_ml_platform_are_unlike_and_gangs_need_large_nodes() -> None:
    found = work("ml-platform")
    assert found.tenants is not None
    counts = np.sort(np.unique(found.tenants, return_counts=True)[1])
    assert len(counts) == 8
    assert counts[-1] > 4 * counts[0]
    names = template_of(found)
    assert (found.tasks["replicas"][names == "train-16"] == 2).all()
    models = {found.cluster.nodes[m].device_model for m in _nodes_of(found, names == "train-8")}
    assert models == {"A100", "V100"}
    training = np.char.startswith(names, "train")
    assert found.tasks["preemptible"][training].all()
    assert (found.tasks["checkpoint_us"][training] == 600_000_000).all()
    assert not found.tasks["preemptible"][~training].any()
    assert (found.run_us <= found.tasks["requested_us"] + 1).all()


def test_the_ml_platform_is_busy_by_day() -> None:
    found = work("ml-platform", load=0.3)
    hours = found.tasks["submit_us"] / 3.6e9 % 24
    day = ((hours > 2) & (hours < 10)).sum() / ((hours > 14) & (hours < 22)).sum()
    assert day > 2


def test_sensors_of_a_vehicle_keep_their_clock() -> None:
    found = work("autonomous-driving")
    names, submit_s = template_of(found), found.tasks["submit_us"] / 1e6
    span_s = submit_s[-1] - submit_s[0]
    rates = {"camera": 72, "lidar": 20, "radar": 65, "control": 100}
    for name, rate_hz in rates.items():
        assert (names == name).sum() / span_s == pytest.approx(rate_hz, rel=0.02)
    lidar_gaps_s = np.diff(submit_s[names == "lidar"])
    np.testing.assert_allclose(lidar_gaps_s, 0.05, atol=0.02 * 0.05 + 1e-6)
    slack_s = (found.tasks["deadline_us"] - found.tasks["submit_us"]) / 1e6
    assert set(slack_s[names == "lidar"].round(6)) == {0.05}
    assert slack_s.max() == autonomous_driving.LONGEST_DEADLINE_S


def test_work_stays_in_its_vehicle_and_control_on_safe_computers() -> None:
    found = work("autonomous-driving", scale=3)
    allowed, names = may_use(found), template_of(found)
    vehicle = np.array([node.name.split("-")[1] for node in found.cluster.nodes])
    assert all(len(set(vehicle[row])) == 1 for row in allowed[:300])
    for m in _nodes_of(found, names == "control"):
        assert "lockstep" in found.cluster.nodes[m].labels


def test_a_vehicle_that_can_never_keep_up_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"load 3 needs runs of up to .* use a load of 0\.\d+ or"):
        work("autonomous-driving", load=3.0)
    with pytest.raises(ConfigError, match="stream-processing: load 9 needs batches"):
        work("stream-processing", load=9.0)


def test_machines_of_a_deployment_come_together() -> None:
    found = work("virtualisation")
    submits, counts = np.unique(found.tasks["submit_us"], return_counts=True)
    assert len(found) / len(submits) == pytest.approx(3.0, rel=0.1)
    assert counts.max() > 8
    assert found.tasks["exclusive"].mean() == pytest.approx(0.02, abs=0.015)
    lifetimes_s = found.run_us / 1e6
    assert lifetimes_s.mean() > 1.5 * np.median(lifetimes_s), "a long tail"


def test_machines_that_ask_for_a_zone_run_there_and_jobs_are_slow_on_shared_hosts() -> None:
    found = work("virtualisation")
    names = template_of(found)
    zoned = np.char.endswith(names, "-zone-a")
    assert zoned.mean() == pytest.approx(0.15, abs=0.04)
    assert all("zone-a" in found.cluster.nodes[m].labels for m in _nodes_of(found, zoned))
    speeds = {
        node.speed_of("job") for node in found.cluster.nodes if node.name.startswith("zone-a-sha")
    }
    assert speeds == {0.7}
    assert all(node.speed_of("service") == 1.0 for node in found.cluster.nodes)


def test_requests_come_in_bursts_and_files_are_heavy_tailed() -> None:
    found = work("load-balancing")
    calm = work("load-balancing", burst_factor=1.0)

    def dispersion(each: Workload) -> float:
        submit_s = each.tasks["submit_us"] / 1e6
        counts = np.histogram(submit_s, np.arange(0, submit_s[-1], 0.5))[0]
        return float(counts.var() / counts.mean())  # 1 for a Poisson process

    assert dispersion(calm) < 2 < dispersion(found)
    files_s = found.run_us[template_of(found) == "file"] / 1e6
    assert np.quantile(files_s, 0.99) > 10 * np.median(files_s)
    assert len(np.unique(found.tasks["requested_us"])) == 6, "policies see the service's mean only"


def test_batches_follow_the_clock_of_their_pipeline_and_its_rate() -> None:
    found = work("stream-processing")
    assert found.tenants is not None
    submit_s = found.tasks["submit_us"] / 1e6
    slack_s = (found.tasks["deadline_us"] - found.tasks["submit_us"]) / 1e6
    for name in ("pipeline-1", "pipeline-9", "pipeline-30"):
        rows = found.tenants == name
        (patience_s,) = set(slack_s[rows].round(6))
        interval_s = patience_s / stream_processing.DEADLINE_INTERVALS
        assert interval_s in stream_processing.INTERVALS_S
        np.testing.assert_allclose(np.diff(submit_s[rows]), interval_s, atol=2e-6)
    first = found.tasks["requested_us"][found.tenants == "pipeline-1"]
    assert first.max() > 2 * np.median(first), "a burst"


def test_zones_of_the_edge_are_respected_and_private_data_stays() -> None:
    found = work("edge")
    names, nodes = template_of(found), found.cluster.nodes
    for zone in edge.ZONES:
        open_, private = names == f"sensor-{zone}", names == f"sensor-{zone}-private"
        assert {_place(nodes[m].name) for m in _nodes_of(found, open_)} == {zone, "cloud"}
        assert {_place(nodes[m].name) for m in _nodes_of(found, private)} == {zone}
    is_private = np.char.endswith(names, "-private")
    assert is_private.mean() == pytest.approx(0.3, abs=0.03)
    assert max(node.capacity["cpu"] for node in nodes if node.name.startswith("north")) <= 8


def test_video_is_slower_behind_the_link_and_the_rest_faster() -> None:
    (cloud, *_) = (node for node in work("edge").cluster.nodes if node.name.startswith("cloud"))
    assert (cloud.speed_of("video"), cloud.speed_of("sensor")) == (0.5, 1.5)


def _nodes_of(workload: Workload, rows: NDArray[np.bool_]) -> list[int]:
    """Nodes that the first of these tasks may use."""
    return np.flatnonzero(may_use(workload)[np.flatnonzero(rows)[0]]).tolist()


def _place(node: str) -> str:
    return node.split("-")[0]


def test_a_cluster_is_as_its_scenario_says() -> None:
    models = {node.device_model for node in work("ml-platform").cluster.nodes}
    assert {"A100", "V100", "T4", "U250", ""} == models
    assert isinstance(work("edge").cluster, Cluster)
