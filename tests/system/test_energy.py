"""Energy: idle + (peak - idle) x load, over time."""

import pytest

from lepton_rl.core.errors import ConfigError
from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.tasks import Task
from lepton_rl.policies.registry import heuristic
from lepton_rl.system import Scheduler

TWO = Cluster(
    (
        Node("a", {"cpu": 4}, idle_watts=100, peak_watts=300),
        Node("b", {"cpu": 4}, idle_watts=50, peak_watts=50),
    )
)
HOUR = 3600.0


def system_of(cluster: Cluster, *tasks: Task) -> Scheduler:
    system = Scheduler(cluster, heuristic("fcfs"))
    system.submit_all(tasks)
    return system


def job(cores: float, hours: float) -> Task:
    return Task("x", {"cpu": cores}, hours * HOUR, run_time_s=hours * HOUR)


def test_power_is_linear_in_the_load() -> None:
    system = system_of(TWO, job(2, 3))
    assert system.pool.watts() == 150
    system.step()
    assert system.pool.watts() == 100 + 200 / 2 + 50
    system.run()

    assert system.monitor.energy_kwh == pytest.approx(3 * 0.250)


def test_idle_time_costs_too_and_nodes_that_are_down_draw_nothing() -> None:
    system = system_of(TWO, job(4, 1))
    system.run()
    system.run_until(2 * HOUR)
    assert system.monitor.energy_kwh == pytest.approx(0.350 + 0.150)
    system.fail_node("a")
    system.run_until(4 * HOUR)
    assert system.monitor.energy_kwh == pytest.approx(0.500 + 2 * 0.050)
    system.remove_node("a")
    system.add_nodes([Node("c", {"cpu": 1}, idle_watts=1000, peak_watts=1000)])
    system.run_until(5 * HOUR)
    assert system.monitor.energy_kwh == pytest.approx(0.600 + 1.050)


def test_nodes_that_do_not_say_their_watts_draw_none() -> None:
    system = system_of(Cluster.pool(4), job(4, 1))
    system.run()

    assert system.monitor.energy_kwh == 0


@pytest.mark.parametrize(
    ("watts", "message"),
    [
        ({"idle_watts": -1}, "idle_watts must be a finite number of watts >= 0"),
        ({"idle_watts": 10, "peak_watts": 9}, "peak_watts must be a finite number of watts >= 10"),
        ({"peak_watts": float("nan")}, "peak_watts"),
        ({"peak_watts": "9"}, "write it without quotes"),
    ],
)
def test_watts_are_amounts(watts: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Node("n", {"cpu": 1}, **watts)
