"""HeuristicPolicy on small views that the tests move by hand; whole schedules are compared with
the simulator's in `tests/differential`."""

import numpy as np
import pytest

from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.policy import Policy, RanksTasks, RemembersTasks, Start, Wait
from lepton_rl.core.tables import NO_TASK
from lepton_rl.core.tasks import Task
from lepton_rl.policies.heuristic import HeuristicPolicy
from lepton_rl.policies.registry import heuristic
from tests.builders import Desk, batch_job

TWO = Cluster((Node("a", {"cpu": 4}), Node("b", {"cpu": 4})))


def desk_of(*tasks: Task, cluster: Cluster = TWO) -> Desk:
    return Desk(cluster, tasks)


def test_it_is_a_policy_that_remembers() -> None:
    policy = HeuristicPolicy("fcfs")

    assert isinstance(policy, Policy)
    assert isinstance(policy, RemembersTasks)
    assert repr(policy) == "HeuristicPolicy('fcfs')"


def test_nothing_pending_means_wait() -> None:
    assert HeuristicPolicy("f4").decide(desk_of(batch_job("a", 1, 1)).view) == Wait()


def test_the_first_in_order_starts_on_the_nodes_of_the_rule() -> None:
    desk = desk_of(batch_job("used", 1, 9), batch_job("long", 2, 9), batch_job("short", 2, 1))
    desk.run("used")
    desk.submit("long", "short")

    assert HeuristicPolicy("fcfs").decide(desk.view) == Start(desk.local["long"], (0,))
    assert HeuristicPolicy("sjf").decide(desk.view) == Start(desk.local["short"], (0,))
    least_loaded = HeuristicPolicy("sjf", place="least-loaded")
    assert least_loaded.decide(desk.view) == Start(desk.local["short"], (1,))


def test_who_comes_first_is_told_though_it_does_not_fit() -> None:
    desk = desk_of(batch_job("used", 4, 9), batch_job("long", 2, 9), batch_job("short", 4, 1))
    desk.run("used")
    desk.submit("long", "short")
    policy = HeuristicPolicy("sjf")

    assert isinstance(policy, RanksTasks)
    assert policy.head(desk.view) == desk.local["short"]
    assert HeuristicPolicy("ljf").head(desk.view) == desk.local["long"]


def test_a_gang_gets_a_node_for_each_replica() -> None:
    gang = Task("gang", {"cpu": 3}, 1, num_replicas=2)
    desk = desk_of(gang)
    desk.submit("gang")

    assert HeuristicPolicy("fcfs").decide(desk.view) == Start(0, (0, 1))


def test_the_decision_leaves_no_trace_in_the_view() -> None:
    desk = desk_of(
        batch_job("used", 3, 9), batch_job("head", 5, 9), batch_job("small", 1, 1),
        cluster=Cluster.pool(8),
    )  # fmt: skip
    desk.run("used")
    desk.submit("head", "small")
    before = desk.snapshot()

    for spec in ("fcfs", "f4+easy", "lepton", "fcfs+fixed-shadow+blocking"):
        assert isinstance(heuristic(spec).decide(desk.view), Start)
        assert desk.snapshot() == before


def test_backfilling_overtakes_the_blocked_one() -> None:
    desk = desk_of(
        batch_job("used", 4, 9), batch_job("head", 8, 9), batch_job("small", 4, 5),
        cluster=Cluster.pool(8),
    )  # fmt: skip
    desk.run("used")
    desk.submit("head", "small")

    assert heuristic("fcfs").decide(desk.view) == Wait()
    assert heuristic("fcfs+easy").decide(desk.view) == Start(desk.local["small"], (0,))


def blocked_desk() -> Desk:
    """`long` blocks under LJF; then `longer` arrives, which would come first."""
    desk = desk_of(
        batch_job("used", 6, 9), batch_job("long", 4, 50), batch_job("longer", 8, 90),
        cluster=Cluster.pool(8),
    )  # fmt: skip
    desk.run("used")
    desk.submit("long")
    return desk


def test_with_blocking_the_head_stays_until_it_starts() -> None:
    desk, policy = blocked_desk(), heuristic("ljf+blocking")
    assert policy.decide(desk.view) == Wait()
    desk.submit("longer")
    desk.finish("used")

    assert heuristic("ljf").decide(desk.view) == Start(desk.local["longer"], (0,))
    assert policy.decide(desk.view) == Start(desk.local["long"], (0,))


def test_reset_forgets_the_head() -> None:
    desk, policy = blocked_desk(), heuristic("ljf+blocking")
    policy.decide(desk.view)
    desk.submit("longer")
    desk.finish("used")
    policy.reset()

    assert policy.decide(desk.view) == Start(desk.local["longer"], (0,))


def test_a_head_that_has_left_the_queue_is_forgotten() -> None:
    desk, policy = blocked_desk(), heuristic("ljf+blocking")
    policy.decide(desk.view)
    desk.withdraw("long")
    desk.submit("longer")
    desk.finish("used")

    assert policy.decide(desk.view) == Start(desk.local["longer"], (0,))


@pytest.mark.parametrize("replicas", [1, 5])
def test_the_head_is_followed_when_rows_move_and_gangs_grow(replicas: int) -> None:
    desk, policy = blocked_desk(), heuristic("ljf+blocking")
    policy.decide(desk.view)
    policy.reindex(np.array([NO_TASK, 0, 1]))  # `used` is gone

    moved = desk_of(
        batch_job("long", 4, 50), batch_job("longer", 8, 90),
        Task("gang", {"cpu": 1}, 1, num_replicas=replicas), cluster=Cluster.pool(8),
    )  # fmt: skip
    moved.submit("long", "longer")

    assert policy.decide(moved.view) == Start(moved.local["long"], (0,))


def test_a_head_whose_row_is_gone_is_forgotten() -> None:
    desk, policy = blocked_desk(), heuristic("ljf+blocking")
    policy.decide(desk.view)
    policy.reindex(np.array([0, NO_TASK, 1]))
    desk.submit("longer")
    desk.finish("used")

    assert policy.decide(desk.view) == Start(desk.local["longer"], (0,))


def test_one_policy_serves_clusters_of_other_shapes() -> None:
    policy = heuristic("f4+easy")
    gpu = Node("g", {"cpu": 1, "memory": 1, "gpu": 2, "fpga": 1})
    for cluster in (Cluster.pool(8), TWO, Cluster((gpu,)), Cluster((gpu, Node("c", {"cpu": 9})))):
        desk = desk_of(batch_job("x", 1, 1), cluster=cluster)
        desk.submit("x")
        policy.reset()
        assert policy.decide(desk.view) == Start(0, (0,))
