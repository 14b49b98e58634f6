"""The Ray executor: the suite that every executor passes, and what is Ray's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lepton_rl.core.errors import ConfigError, ExecutorError
from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.tasks import Task, TaskState
from lepton_rl.policies.registry import heuristic
from lepton_rl.system import Outcome, Scheduler
from tests.contract.test_executors import *  # noqa: F403 - the suite, run on the trial below
from tests.contract.test_executors import PATIENCE_S, Trial

pytestmark = [
    pytest.mark.ray,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of Ray's own sockets and processes
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


class RayTrial(Trial):
    def __init__(self, nodes: list[str]) -> None:
        from lepton_rl.integrations.ray import RayExecutor, RaySettings

        self.executor = RayExecutor(nodes, RaySettings(stop_grace_s=0.2, start_timeout_s=30))

    def quick(self, task_id: str, *, fails: bool = False, replicas: int = 1) -> Task:
        command = ("false",) if fails else ("true",)
        return Task(task_id, {"cpu": 0.1}, 10, command=command, num_replicas=replicas)

    def endless(self, task_id: str) -> Task:
        return Task(task_id, {"cpu": 0.1}, 10, command=("sleep", "1000"))

    def impossible(self, task_id: str) -> Task:
        return Task(task_id, {"cpu": 1}, 10, run_time_s=1)

    def let_time_pass(self) -> None:
        self.executor.wait(PATIENCE_S)
        self.now_us += 1_000_000


@pytest.fixture
def trial(nodes: list[str]) -> Iterator[Trial]:
    made = RayTrial(nodes)
    yield made
    made.clean_up()


def shell(task_id: str, script: str, replicas: int = 1, **demand: float) -> Task:
    command = ("sh", "-c", script)
    return Task(task_id, demand or {"cpu": 1}, 10, command=command, num_replicas=replicas)


def test_each_replica_runs_on_the_node_that_was_chosen(
    trial: Trial, nodes: list[str], tmp_path: Path
) -> None:
    task = shell("a", f"echo $LEPTON_RAY_NODE > {tmp_path}/$LEPTON_REPLICA", 3)
    trial.executor.start(task, (2, 0, 2), trial.now_us)  # against the order of the nodes

    assert trial.ends(1)["a"].outcome is Outcome.COMPLETED
    where = [(tmp_path / str(replica)).read_text().strip() for replica in range(3)]
    assert where == [nodes[2], nodes[0], nodes[2]]


def test_cards_are_those_that_ray_gives_out(trial: Trial, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    trial.executor.start(shell("a", f"echo $CUDA_VISIBLE_DEVICES > {seen}", gpu=2), (1,), 0)

    assert trial.ends(1)["a"].outcome is Outcome.COMPLETED
    assert sorted(seen.read_text().strip().split(",")) == ["0", "1"]


@pytest.mark.parametrize(("demand", "m"), [({"gpu": 1}, 0), ({"fpga": 1}, 1), ({"cpu": 9}, 0)])
def test_what_the_node_does_not_have_is_refused(
    nodes: list[str], demand: dict[str, float], m: int
) -> None:
    from lepton_rl.integrations.ray import RayExecutor, RaySettings

    executor = RayExecutor(nodes, RaySettings(start_timeout_s=2))

    with pytest.raises(ExecutorError, match="task 'a' cannot be started: Ray did not give it"):
        executor.start(shell("a", "true", **demand), (m,), 0)

    assert executor.running() == frozenset()
    executor.close(stop_running=True)


def test_fpga_is_a_resource_of_its_node(trial: Trial) -> None:
    trial.executor.start(shell("a", "true", fpga=2), (2,), 0)

    assert trial.ends(1)["a"].outcome is Outcome.COMPLETED


def test_if_one_replica_fails_the_others_are_stopped(trial: Trial) -> None:
    script = 'test "$LEPTON_REPLICA" = 1 && exit 7; sleep 1000'
    trial.executor.start(shell("a", script, 2), (0, 1), trial.now_us)

    end = trial.ends(1)["a"]

    assert (end.outcome, end.exit_code, end.detail) == (Outcome.FAILED, 7, "replica 1: exit code 7")


@pytest.mark.parametrize(("command", "code"), [("/nowhere/x", 127), ("/etc/passwd", 126)])
def test_commands_that_cannot_be_run(trial: Trial, command: str, code: int) -> None:
    trial.executor.start(Task("a", {"cpu": 1}, 10, command=(command,)), (0,), trial.now_us)

    end = trial.ends(1)["a"]

    assert (end.outcome, end.exit_code) == (Outcome.FAILED, code)


def test_a_worker_that_is_killed_is_a_failure(trial: Trial) -> None:
    import ray

    trial.executor.start(trial.endless("a"), (0,), trial.now_us)
    gang = trial.executor._gangs["a"]  # type: ignore[attr-defined]
    ray.kill(gang.actors[0])

    end = trial.ends(1)["a"]

    assert (end.outcome, end.exit_code) == (Outcome.FAILED, None)
    assert "was lost" in end.detail


def test_nodes_must_be_alive() -> None:
    from lepton_rl.integrations.ray import RayExecutor

    with pytest.raises(ConfigError, match="expected nodes that are alive in Ray, got 'ab'"):
        RayExecutor(["ab"])


def test_a_live_scheduler_runs_tasks_through_ray(trial: Trial) -> None:
    cluster = Cluster(
        (
            Node("a", {"cpu": 8, "memory": 4}),
            Node("b", {"cpu": 8, "memory": 4, "gpu": 2}),
            Node("c", {"cpu": 8, "memory": 4, "fpga": 2}),
        )
    )
    scheduler = Scheduler(cluster, heuristic("fcfs"), trial.executor)
    scheduler.start()
    names = [f"t{n}" for n in range(6)]
    for n, name in enumerate(names):
        demand = [{"cpu": 2.0}, {"cpu": 1.0, "gpu": 1.0}, {"fpga": 1.0}][n % 3]
        scheduler.submit(Task(name, demand, 10, command=("sleep", "0.1")))

    assert scheduler.stop(drain=True, timeout_s=60)
    assert {scheduler.state_of(name) for name in names} == {TaskState.COMPLETED}
