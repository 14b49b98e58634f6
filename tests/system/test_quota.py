"""Quotas: a tenant's running tasks never hold more than its share."""

import pytest

from lepton_rl.core.errors import ConfigError, InfeasibleTaskError, StateError
from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.policy import Decision, Start
from lepton_rl.core.tables import View
from lepton_rl.core.tasks import Task, TaskState
from lepton_rl.policies.registry import heuristic
from lepton_rl.system import Scheduler

CLUSTER = Cluster((Node("a", {"cpu": 8, "gpu": 4}), Node("b", {"cpu": 8})))
S = 1_000_000


def job(name: str, cpu: float, run_s: float, tenant: str = "lab", **more: object) -> Task:
    values = {"requested_time_s": run_s, "run_time_s": run_s, "tenant": tenant, **more}
    demand = {"cpu": cpu, **values.pop("demand", {})}  # type: ignore[dict-item]
    return Task(name, demand, **values)  # type: ignore[arg-type]


def system_of(*tasks: Task, policy: str = "fcfs", **quotas: float) -> Scheduler:
    system = Scheduler(CLUSTER, heuristic(policy), quotas=quotas)
    system.submit_all(tasks)
    return system


def starts_s(system: Scheduler) -> dict[str, float]:
    return {r.task_id: r.first_start_us / S for r in system.records if r.first_start_us is not None}


def test_over_quota_is_not_offered_and_does_not_block_others() -> None:
    tasks = [job("a", 4, 10), job("b", 4, 10), job("c", 4, 10), job("other", 8, 5, "else")]
    system = system_of(*tasks, lab=0.5)
    system.step()

    assert starts_s(system) == {"a": 0, "b": 0, "other": 0}
    assert system.shares() == {"lab": 0.5}
    assert system.state_of("c") is TaskState.PENDING
    assert system.queue.num_pending == 0
    system.run()
    assert starts_s(system)["c"] == 10
    assert system.shares() == {"lab": 0}


def test_the_share_is_the_dominant_one() -> None:
    system = system_of(
        job("a", 1, 10, demand={"gpu": 2}), job("b", 1, 10, demand={"gpu": 1}), job("c", 7, 10),
        lab=0.5,
    )  # fmt: skip
    system.step()

    assert starts_s(system) == {"a": 0, "c": 0}  # b would be 3 of 4 cards
    system.run()
    assert starts_s(system)["b"] == 10


def test_gangs_and_exclusive_tasks_count_in_full() -> None:
    gang = job("gang", 1, 10, num_replicas=5)
    alone = job("alone", 1, 10, "solo", exclusive_node=True)
    system = system_of(gang, job("x", 4, 10), lab=0.5)
    system.run()
    assert starts_s(system) == {"gang": 0, "x": 10}

    with pytest.raises(InfeasibleTaskError, match="quota of tenant 'solo' is"):
        system_of(alone, solo=0.9)  # it may get the node with all the cards
    system_of(alone, solo=1).run()


def test_what_is_over_quota_all_alone_is_refused() -> None:
    system = system_of(lab=0.25)
    with pytest.raises(InfeasibleTaskError, match=r"'x' can never start: it needs 0.312 of the"):
        system.submit(job("x", 5, 1))
    assert len(system.queue) == 0


def test_a_withheld_task_can_be_cancelled_and_cannot_be_started() -> None:
    class Stubborn:
        name = "stubborn"

        def reset(self) -> None: ...

        def decide(self, view: View) -> Decision:
            return Start(0, (0,)) if view.status["num_running"][0] == 0 else Start(1, (1,))

    system = Scheduler(CLUSTER, Stubborn(), quotas={"lab": 0.25}, strict=False)
    system.submit_all([job("a", 4, 10), job("b", 4, 10), job("else", 1, 1, "else")])
    system.step()
    assert system.monitor.incidents == {"not-pending": 1}
    assert system.cancel("b")
    assert system.state_of("b") is TaskState.CANCELLED


def test_a_cluster_that_shrinks_shrinks_quotas() -> None:
    system = system_of(job("a", 6, 10), lab=0.5)
    system.remove_node("b")
    with pytest.raises(StateError, match="'a' is pending"):
        system.run()
    system.add_nodes([Node("c", {"cpu": 4})])
    system.run()

    assert starts_s(system) == {"a": 0}


@pytest.mark.parametrize("limit", [0, -1, 1.5, float("nan"), "1", None])
def test_limits_are_shares(limit: float) -> None:
    with pytest.raises(ConfigError, match="quotas: lab must be a share"):
        system_of(lab=limit)


def test_limits_are_a_mapping() -> None:
    with pytest.raises(ConfigError, match="quotas must map tenants to shares"):
        Scheduler(CLUSTER, heuristic("fcfs"), quotas=[0.5])  # type: ignore[arg-type]
