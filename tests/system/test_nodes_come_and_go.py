"""Nodes fail, drain, resume, come and go; tasks and cards stay accounted for."""

from __future__ import annotations

import numpy as np
import pytest

from lepton_rl.core.errors import (
    ConfigError,
    InfeasibleDecisionError,
    InfeasibleTaskError,
    StateError,
)
from lepton_rl.core.nodes import Cluster, Node, NodeState
from lepton_rl.core.policy import Decision, Start
from lepton_rl.core.tables import View
from lepton_rl.core.tasks import Task, TaskState
from lepton_rl.policies.registry import heuristic
from lepton_rl.system import Refusal, Scheduler

A = Node("a", {"cpu": 4, "gpu": 2}, "A100", frozenset({"eu"}))
B = Node("b", {"cpu": 4, "gpu": 1}, "T4", frozenset({"us"}))
WIDE = Node("wide", {"cpu": 8, "gpu": 4}, "H100", frozenset({"asia", "eu"}))
S = 1_000_000


def job(name: str, run_s: float, submit_s: float = 0, cpu: float = 1, **more: object) -> Task:
    values = {"requested_time_s": run_s, "run_time_s": run_s, "submit_time_s": submit_s, **more}
    demand = {"cpu": cpu, **values.pop("demand", {})}  # type: ignore[dict-item]
    return Task(name, demand, **values)  # type: ignore[arg-type]


def system_of(*tasks: Task, policy: str = "fcfs", nodes: tuple[Node, ...] = (A, B)) -> Scheduler:
    system = Scheduler(Cluster(nodes), heuristic(policy))
    system.submit_all(tasks)
    return system


def ends_s(system: Scheduler) -> dict[str, float | None]:
    return {r.task_id: None if r.end_us is None else r.end_us / S for r in system.records}


def node_of(system: Scheduler, task_id: str) -> str:
    nodes = next(r.nodes for r in system.records if r.task_id == task_id)
    return system.pool.cluster.nodes[nodes[0]].name


class TestFailure:
    def test_what_ran_there_runs_again_elsewhere_and_costs_no_retry(self) -> None:
        system = system_of(job("x", 10))
        system.run_until(4)
        system.fail_node("a")

        assert system.state_of("x") is TaskState.PENDING
        assert system.pool.loads() == {"a": 0, "b": 0}
        system.run()
        assert node_of(system, "x") == "b"
        assert ends_s(system) == {"x": 14}
        assert system.records[0].interruptions[0].reason == "node 'a' went down"
        assert system.monitor.interruptions == {"node-lost": 1}

    def test_a_gang_goes_altogether_and_keeps_its_checkpoint(self) -> None:
        gang = job("gang", 10, cpu=4, num_replicas=2, checkpoint_interval_s=3)
        system = system_of(gang)
        system.run_until(7)
        system.fail_node("b")
        system.run_until(10)
        assert system.pool.loads() == {"a": 0, "b": 0}
        system.resume("b")
        system.run()

        assert ends_s(system) == {"gang": 14}  # 6 of 10 s were kept

    def test_waiting_for_a_node_that_is_down_is_told_at_the_end(self) -> None:
        system = system_of(job("x", 10, required_labels={"eu"}))
        system.fail_node("a")

        with pytest.raises(StateError, match="'x' is pending"):
            system.run()
        system.resume("a")
        system.run()
        assert system.state_of("x") is TaskState.COMPLETED

    def test_a_cancelled_task_is_not_revived(self) -> None:
        system = system_of(job("x", 10))
        system.step()
        system.cancel("x")
        system.fail_node("a")

        assert system.state_of("x") is TaskState.CANCELLED

    def test_unknown_nodes(self) -> None:
        system = system_of()
        for change in (system.fail_node, system.drain, system.resume, system.remove_node):
            with pytest.raises(StateError, match="no node 'c' in the cluster"):
                change("c")


class TestDraining:
    def test_nothing_new_starts_and_what_runs_may_end(self) -> None:
        system = system_of(job("x", 10), job("y", 3, 5, cpu=4), job("z", 3, 6))
        system.run_until(1)
        system.drain("a")
        system.run_until(9)

        assert system.node_states() == {"a": NodeState.DRAINING, "b": NodeState.UP}
        assert [node_of(system, name) for name in "xyz"] == ["a", "b", "b"]
        system.run()
        assert ends_s(system) == {"x": 10, "y": 8, "z": 11}

    def test_resuming_wakes_who_waits(self) -> None:
        system = system_of(job("x", 3, required_labels={"eu"}))
        system.drain("a")
        system.run_until(5)
        assert system.state_of("x") is TaskState.PENDING
        system.resume("a")
        system.run()

        assert ends_s(system) == {"x": 8}

    def test_a_node_that_is_down_does_not_drain(self) -> None:
        system = system_of()
        system.fail_node("a")
        with pytest.raises(StateError, match="'a' is down"):
            system.drain("a")

    def test_a_decision_for_a_draining_node_is_refused(self) -> None:
        class There:
            name = "there"

            def reset(self) -> None: ...

            def decide(self, view: View) -> Decision:
                return Start(int(view.pending[0, 0]), (0,))

        system = Scheduler(Cluster((A, B)), There())
        system.submit(job("x", 3))
        system.drain("a")
        with pytest.raises(InfeasibleDecisionError, match="node 'a' is draining") as caught:
            system.run()
        assert caught.value.cause == Refusal.NODE_NOT_UP

    @pytest.mark.parametrize("policy", ["fcfs+easy", "f4+best-fit+easy", "sjf+least-loaded"])
    def test_no_heuristic_uses_it_whatever_it_weighs(self, policy: str) -> None:
        tasks = [job(f"t{n}", 3 + n % 4, n % 5, cpu=1 + n % 3, critical=n == 7) for n in range(20)]
        system = system_of(*tasks, policy=policy)
        system.drain("b")
        system.run()

        assert {record.nodes for record in system.records} == {(0,)}


class TestGrowth:
    def test_new_nodes_are_used_at_once(self) -> None:
        system = system_of(job("x", 10, cpu=4), job("y", 10, cpu=4), job("z", 5, 1, cpu=4))
        system.run_until(3)
        system.add_nodes([WIDE])
        system.run()

        assert node_of(system, "z") == "wide"
        assert ends_s(system)["z"] == 8

    def test_what_runs_keeps_its_cards_where_columns_move(self) -> None:
        with_fpga = Node("f", {"cpu": 4, "gpu": 1, "fpga": 2}, "U250")
        tasks = [
            job("g", 10, cpu=1, demand={"gpu": 0.5}),
            job("f", 10, cpu=1, demand={"fpga": 1}),
            job("share", 10, cpu=1, demand={"fpga": 0.5}),
            job("h", 10, cpu=1, demand={"gpu": 0.4}),
        ]
        system = system_of(*tasks, nodes=(with_fpga, B), policy="fcfs+easy")
        system.run_until(1)
        names = ("g", "f", "share", "h")
        before = [system.pool.cards_held(system.queue.local_of(name)) for name in names]
        assert before[1:3] == [({"fpga": (0,)},), ({"fpga": (1,)},)]
        free = system.pool.free()
        system.add_nodes([WIDE])

        after = [system.pool.cards_held(system.queue.local_of(name)) for name in names]
        assert before == after
        assert {name: system.pool.free()[name] for name in free} == free
        system.run()
        assert set(system.pool.loads().values()) == {0}

    def test_labels_and_models_that_are_new_change_nobodys_meaning(self) -> None:
        """Bits are given in order of names, so `asia` moves all of them."""
        system = system_of(
            job("eu", 10, required_labels={"eu"}),
            job("us", 10, 5, required_labels={"us"}),
            job("model", 10, 5, demand={"gpu": 1}, device_models={"A100", "H100"}),
        )
        system.run_until(1)
        with pytest.raises(InfeasibleTaskError, match="asia"):
            system.submit(job("asia", 1, required_labels={"asia"}))
        system.add_nodes([WIDE])
        system.submit(job("asia", 1, 5, required_labels={"asia"}))
        system.drain("a")
        system.run()

        names = {r.task_id: node_of(system, r.task_id) for r in system.records}
        assert names == {"eu": "a", "us": "b", "model": "wide", "asia": "wide"}

    def test_removed_nodes_offer_nothing_and_their_index_stays_theirs(self) -> None:
        system = system_of(job("x", 3))
        system.remove_node("a")
        assert system.node_states() == {"b": NodeState.UP}
        assert system.pool.free().keys() == {"b"}
        system.add_nodes([WIDE])
        system.run()
        assert node_of(system, "x") == "b"
        assert system.records[0].nodes == (1,)
        system.add_nodes([A])

        assert [node.name for node in system.pool.cluster.nodes] == ["a", "b", "wide"]
        assert system.assess().nodes.total.tolist() == [16000, 7000]
        np.testing.assert_array_equal(system.assess().pool.rows["accepting"], True)

    def test_what_only_a_removed_node_could_hold_is_refused_or_waits(self) -> None:
        system = system_of(job("waits", 3, required_labels={"eu"}, critical=True))
        system.remove_node("a")
        with pytest.raises(InfeasibleTaskError):
            system.submit(job("new", 3, required_labels={"eu"}))
        system.submit(job("other", 3))
        with pytest.raises(StateError, match="'waits' is pending"):
            system.run()
        system.add_nodes([WIDE])
        system.run()

        assert node_of(system, "waits") == "wide"

    def test_only_idle_nodes_can_be_removed_and_not_the_last(self) -> None:
        system = system_of(job("x", 3))
        system.step()

        with pytest.raises(StateError, match="task 'x' runs on node 'a'"):
            system.remove_node("a")
        system.remove_node("b")
        system.run()
        with pytest.raises(StateError, match="'a' is the last one"):
            system.remove_node("a")
        with pytest.raises(StateError, match="no node 'b'"):
            system.remove_node("b")

    @pytest.mark.parametrize(
        ("nodes", "message"),
        [
            ([A], "a node named 'a' is there already"),
            ([WIDE, WIDE], "'wide' is there already"),
            ([Node("f", {"fpga": 1})], "no kind 'fpga', only cpu, gpu"),
            (["wide"], "expected a Node"),
        ],
    )
    def test_bad_additions_change_nothing(self, nodes: list[Node], message: str) -> None:
        system = system_of()
        with pytest.raises(ConfigError, match=message):
            system.add_nodes(nodes)

        assert list(system.node_states()) == ["a", "b"]

    def test_utilisation_counts_what_was_there(self) -> None:
        system = system_of(job("x", 10, cpu=4), nodes=(A, B))
        system.step()
        system.fail_node("b")
        system.run()
        assert system.monitor.utilisation()["cpu"] == 1

        system.add_nodes([Node("c", {"cpu": 12})])
        system.run_until(20)
        assert system.monitor.utilisation()["cpu"] == pytest.approx(40 / (40 + 160))


class TestSpeed:
    FAST = Node("fast", {"cpu": 4}, speed_factors={"": 2.0, "slow": 0.5})

    def test_times_are_divided_by_the_factor(self) -> None:
        system = system_of(job("x", 10, requested_time_s=20), nodes=(self.FAST,))
        system.step()

        view = system.assess()
        assert view.spans["expected_end_us"][0, system.queue.local_of("x")] == 10 * S
        system.run()
        assert ends_s(system) == {"x": 5}

    def test_a_gang_is_as_fast_as_its_slowest_node(self) -> None:
        gang = job("gang", 10, cpu=4, num_replicas=2)
        system = system_of(gang, nodes=(self.FAST, Node("plain", {"cpu": 4})))
        system.run()

        assert ends_s(system) == {"gang": 10}

    def test_kept_work_is_work_and_not_time(self) -> None:
        task = job("x", 20, checkpoint_interval_s=4)
        system = system_of(task, nodes=(self.FAST, Node("plain", {"cpu": 4})))
        system.run_until(3)
        system.fail_node("fast")
        system.run()

        assert ends_s(system) == {"x": 3 + 16}  # 6 s of work done, 4 s kept

    @pytest.mark.parametrize("factor", [0, -1, float("inf"), 1e9, "2"])
    def test_factors_are_positive_numbers(self, factor: float) -> None:
        with pytest.raises(ConfigError, match="speed_factors: x must be a factor"):
            Node("n", {"cpu": 1}, speed_factors={"x": factor})
