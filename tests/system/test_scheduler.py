"""Scheduler: the seven steps, what it refuses, and where it stops."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from lepton_rl.core.errors import (
    ConfigError,
    InfeasibleDecisionError,
    InfeasibleTaskError,
    StateError,
)
from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.policy import Decision, Start, Wait
from lepton_rl.core.tables import View
from lepton_rl.core.tasks import Task, TaskState
from lepton_rl.policies.registry import heuristic
from lepton_rl.sim.replay import replay
from lepton_rl.system import (
    Completion,
    EventBatching,
    Monitor,
    Refusal,
    Scheduler,
    SimulatedExecutor,
)
from lepton_rl.workloads.workload import Workload

POOL = Cluster.pool(8)
TWO = Cluster((Node("a", {"cpu": 4}), Node("b", {"cpu": 4})))
S = 1_000_000


def job(name: str, cores: float, run_s: float, submit_s: float = 0, **more: object) -> Task:
    """A task whose estimate is exact unless `requested_time_s` says otherwise."""
    values = {"requested_time_s": run_s, "run_time_s": run_s, "submit_time_s": submit_s, **more}
    return Task(name, {"cpu": cores}, **values)  # type: ignore[arg-type]


class Scripted:
    """Decides what it is told to, then waits."""

    name = "scripted"

    def __init__(self, *decisions: object) -> None:
        self._decisions = list(decisions)
        self.views: list[tuple[int, list[int]]] = []
        self.resets = 0

    def reset(self) -> None:
        self.resets += 1

    def decide(self, view: View) -> Decision:
        count = int(view.status["num_pending"][0])
        self.views.append((int(view.status["now_us"][0]), view.pending[0, :count].tolist()))
        return self._decisions.pop(0) if self._decisions else Wait()  # type: ignore[return-value]


def fcfs(cluster: Cluster, tasks: Sequence[Task], **options: object) -> Scheduler:
    system = Scheduler(cluster, heuristic("fcfs"), **options)  # type: ignore[arg-type]
    system.submit_all(tasks)
    return system


def starts_s(system: Scheduler) -> dict[str, float | None]:
    return {
        record.task_id: None if record.start_us is None else record.start_us / S
        for record in system.records
    }


def test_a_small_schedule_from_start_to_end() -> None:
    system = fcfs(POOL, [job("a", 6, 10), job("b", 4, 5, 1), job("c", 2, 5, 2)])

    system.run()

    assert starts_s(system) == {"a": 0, "b": 10, "c": 10}
    assert system.now_s == 15
    assert all(system.state_of(name) is TaskState.COMPLETED for name in "abc")
    assert system.monitor.utilisation() == {"cpu": pytest.approx((60 + 20 + 10) / (8 * 15))}
    assert not system.step()


def test_step_is_one_instant_with_everything_in_it() -> None:
    system = fcfs(POOL, [job("a", 8, 5), job("b", 4, 5, 5), job("c", 4, 5, 5)])

    assert system.step()
    assert (system.now_s, starts_s(system)) == (0, {"a": 0, "b": None, "c": None})
    assert system.step()
    assert (system.now_s, starts_s(system)) == (5, {"a": 0, "b": 5, "c": 5})
    assert system.step()
    assert system.now_s == 10
    assert not system.step()


def test_with_single_events_an_arrival_comes_before_a_completion() -> None:
    policy = Scripted(Start(0, (0,)))
    system = Scheduler(POOL, policy, event_batching="single")
    system.submit_all([job("a", 8, 5), job("b", 8, 5, 5), job("c", 8, 5, 5)])

    for _ in range(4):
        assert system.step()

    # a arrives and starts (asked twice); at 5 s b arrives, then c, then a ends.
    assert policy.views == [
        (0, [0]), (5 * S, [1]), (5 * S, [1, 2]), (5 * S, [1, 2]),
    ]  # fmt: skip
    assert system.state_of("a") is TaskState.COMPLETED


def test_with_single_events_tasks_that_end_together_end_in_order_of_arrival() -> None:
    """However they began, and however the executor tells them."""

    class Backwards(SimulatedExecutor):
        def completions(self, now_us: int) -> list[Completion]:
            return super().completions(now_us)[::-1]

    starts = (Start(local, (0,)) for local in (1, 0, 2))
    policy = Scripted(Wait(), Wait(), *starts)  # one is asked at each arrival
    system = Scheduler(POOL, policy, Backwards(), event_batching=EventBatching.SINGLE)
    system.submit_all([job("x", 1, 5), job("y", 2, 5), job("z", 3, 5)])
    for _ in range(3):
        system.step()
    states = []
    while system.step():
        states.append([system.state_of(name).value for name in "xyz"])

    assert states == [
        ["completed", "running", "running"],
        ["completed", "completed", "running"],
        ["completed"] * 3,
    ]


def test_submissions_in_any_order_and_records_in_that_order() -> None:
    tasks = [job("late", 8, 1, 9), job("early", 8, 1), job("middle", 8, 1, 5)]
    system = fcfs(POOL, tasks)
    system.run()

    assert [record.task_id for record in system.records] == ["late", "early", "middle"]
    assert system.schedule().start_us.tolist() == [9 * S, 0, 5 * S]
    assert system.schedule().nodes.tolist() == [[0], [0], [0]]


def test_work_can_go_on_after_the_end() -> None:
    system = fcfs(POOL, [job("a", 8, 10)])
    system.run()
    system.submit(job("past", 8, 3, 4))
    system.submit(job("future", 8, 3, 20))
    system.run()

    assert starts_s(system) == {"a": 0, "past": 10, "future": 20}
    assert [record.submit_us // S for record in system.records] == [0, 4, 20]


def test_a_workload_is_submitted_with_all_it_says() -> None:
    cluster = Cluster(
        (
            Node("a", {"cpu": 4, "memory": 8, "gpu": 2, "fpga": 1}, "A100", frozenset({"eu"})),
            Node("b", {"cpu": 4, "memory": 8, "gpu": 1}, "T4"),
        )
    )
    tasks = [
        Task(
            "x", {"cpu": 0.333, "gpu": 0.334}, 7.123456, 1.000001, 3.3, 2, 4.5, True,
            frozenset({"eu"}), frozenset({"A100", "H100"}),
        ),
        Task("y", {"memory": 1.5}, 1, 2, 1e-6, exclusive_node=True),
    ]  # fmt: skip
    workload = Workload.from_tasks("w", cluster, tasks)
    system = Scheduler(cluster, heuristic("fcfs"))
    system.submit_all(workload)
    system.step()
    system.step()

    np.testing.assert_array_equal(system.assess().tasks[:2], workload.tasks)
    system.run()
    simulated = replay(workload.tasks, workload.run_us, cluster, heuristic("fcfs").rule)
    np.testing.assert_array_equal(system.schedule().end_us, simulated.end_us)


def test_a_workload_of_another_cluster_is_described_anew() -> None:
    """Labels and models are bits, and mean something else there."""
    here = Cluster((Node("a", {"cpu": 4}, labels=frozenset({"x", "y"})), Node("b", {"cpu": 4})))
    there = Cluster((Node("b", {"cpu": 4}), Node("a", {"cpu": 9}, labels=frozenset({"y"}))))
    workload = Workload.from_tasks("w", here, [job("t", 1, 1, required_labels=frozenset({"y"}))])
    system = Scheduler(there, heuristic("fcfs"))
    system.submit_all(workload)
    system.run()

    assert system.records[0].nodes == (1,)


def test_bad_submissions_are_refused_and_the_good_ones_before_them_stay() -> None:
    system = Scheduler(POOL, heuristic("fcfs"))

    with pytest.raises(InfeasibleTaskError, match="'huge'"):
        system.submit_all([job("a", 1, 1), job("huge", 9, 1), job("b", 1, 1)])
    with pytest.raises(StateError, match="'a' was submitted before"):
        system.submit(job("a", 1, 1))
    system.run()

    assert starts_s(system) == {"a": 0}
    with pytest.raises(StateError, match="no task 'huge'"):
        system.state_of("huge")


def test_a_start_without_nodes_is_balanced() -> None:
    policy = Scripted(Start(0, (0,)), Start(1), Start(2, ()))
    system = Scheduler(TWO, policy)
    system.submit_all([job("a", 1, 5), job("b", 2, 5), job("gang", 1, 5, num_replicas=3)])
    system.step()

    # Loads 1/4, 0: b goes to node 1; then 1/4, 2/4: 0, then 2/4, 2/4: 0, then 3/4, 2/4: 1.
    assert [record.nodes for record in system.records] == [(0,), (1,), (0, 0, 1)]
    assert system.pool.loads() == {"a": 0.75, "b": 0.75}


def test_integers_of_numpy_will_do() -> None:
    policy = Scripted(Start(np.int64(0), tuple(np.array([1, 0]))))  # type: ignore[arg-type]
    system = Scheduler(TWO, policy)
    system.submit(job("gang", 1, 5, num_replicas=2))
    system.step()

    assert system.records[0].nodes == (1, 0)
    assert all(type(m) is int for m in system.records[0].nodes)


BAD: dict[str, tuple[object, Refusal, str]] = {
    "nothing": (None, Refusal.NOT_A_DECISION, "decided None: expected Start or Wait"),
    "a number": (0, Refusal.NOT_A_DECISION, "decided 0: expected Start or Wait"),
    "absent": (Start(7, (0,)), Refusal.NOT_PENDING, "expected the local index of a pending task"),
    "negative": (Start(-1, (0,)), Refusal.NOT_PENDING, "got -1"),
    "no index": (Start("x", (0,)), Refusal.NOT_PENDING, "got 'x'"),  # type: ignore[arg-type]
    "running": (Start(0, (0,)), Refusal.NOT_PENDING, "got 0"),
    "few nodes": (Start(2, (0,)), Refusal.WRONG_NUMBER_OF_NODES, "(task 'gang'): expected 2 nodes"),
    "no node": (Start(1, (2,)), Refusal.UNKNOWN_NODE, "(task 'b'): expected indices of nodes"),
    "no integer": (Start(1, (0.0,)), Refusal.UNKNOWN_NODE, "got 0.0"),  # type: ignore[arg-type]
    "full": (Start(1, (0,)), Refusal.DOES_NOT_FIT, "node 'a' has no room for it"),
    "balanced": (Start(3), Refusal.DOES_NOT_FIT, "(task 'big'): expected a task that fits now"),
    "held": (Start(1, (1,)), Refusal.NODE_HELD, "node 'b' is held for a critical task"),
}
bad_decisions = pytest.mark.parametrize(("bad", "cause", "message"), BAD.values(), ids=BAD)


def system_of(policy: Scripted, strict: bool) -> Scheduler:
    """`a` runs on node 0 to 10 s, `u` on node 1 to 6 s, where `crit` will run then."""
    system = Scheduler(TWO, policy, strict=strict)
    system.submit_all(
        [
            job("a", 4, 10),
            job("b", 1, 9),
            job("gang", 1, 10, num_replicas=2),
            job("big", 4, 10),
            job("u", 2, 6),
            job("crit", 4, 5, critical=True),
        ]
    )
    return system


SET_UP = (Start(0, (0,)), Start(4, (1,)))


@bad_decisions
def test_strict_mode_raises_and_changes_nothing(bad: object, cause: Refusal, message: str) -> None:
    system = system_of(Scripted(*SET_UP, bad), strict=True)

    with pytest.raises(InfeasibleDecisionError, match="policy 'scripted' at 0 s decided") as caught:
        system.step()

    assert message in str(caught.value)
    assert caught.value.cause == cause
    assert system.pool.loads() == {"a": 1, "b": 0.5}
    assert system.queue.num_pending == 4
    assert not system.monitor.incidents


@bad_decisions
def test_otherwise_it_counts_the_incident_and_goes_on(
    bad: object, cause: Refusal, message: str
) -> None:
    policy = Scripted(*SET_UP, bad, Start(5, (1,)))
    system = system_of(policy, strict=False)

    system.step()
    assert len(policy.views) == 3  # the bad decision counts as waiting: nobody is asked again
    assert system.monitor.incidents == {cause: 1}
    assert system.monitor.decisions == {"start": 2, "wait": 0, "refused": 1}
    assert system.pool.loads() == {"a": 1, "b": 0.5}
    system.step()  # u ends
    assert starts_s(system)["crit"] == 6


def test_a_policy_that_gives_up_by_itself() -> None:
    class Undecided(Scripted):
        def decide(self, view: View) -> Decision:
            raise InfeasibleDecisionError("policy 'x': expected a finite logit, got nan")

    for strict in (True, False):
        system = Scheduler(POOL, Undecided(), strict=strict)
        system.submit_all([job("a", 1, 1), job("b", 1, 1, 5)])
        if strict:
            with pytest.raises(InfeasibleDecisionError, match=r"^policy 'x': expected a finite"):
                system.step()
        else:
            system.step()
            assert system.monitor.incidents == {Refusal.NOT_A_DECISION: 1}


def test_waiting_forever_is_an_error_that_names_the_task() -> None:
    system = Scheduler(POOL, Scripted(Start(0, (0,))))
    system.submit_all([job("a", 8, 5), job("second", 1, 1, 2), job("first", 1, 1, 1)])

    with pytest.raises(StateError, match=r"'first' is pending, but policy 'scripted' .* \(2 tasks"):
        system.run()
    assert system.now_s == 5


def test_nothing_at_all_to_do() -> None:
    system = Scheduler(POOL, heuristic("f4"))
    system.run()

    assert system.now_s == 0
    assert system.records == ()


def test_the_policy_is_reset_and_not_asked_about_nothing() -> None:
    policy = Scripted(Start(0, (0,)))
    system = Scheduler(POOL, policy)
    assert policy.resets == 1

    system.submit(job("a", 8, 5))
    system.run()
    assert policy.views == [(0, [0])]


LABELLED = Cluster(
    tuple(Node(name, {"cpu": 4}, labels=frozenset({name})) for name in ("left", "right"))
)


@pytest.mark.parametrize("policy", ["fcfs", "fcfs+easy", "sjf", "sjf+best-fit+easy"])
def test_nodes_are_held_for_a_critical_task_whatever_the_policy(policy: str) -> None:
    """`small` would fit beside `long`, and would be there long after that has ended."""
    system = Scheduler(LABELLED, heuristic(policy))
    system.submit_all(
        [
            job("full", 4, 50, required_labels={"left"}),
            job("long", 2, 10, required_labels={"right"}),
            job("crit", 4, 5, 1, critical=True),
            job("small", 1, 30, 1),
            job("quick", 1, 3, 2),
        ]
    )
    while system.now_s < 1:
        system.step()
    assert system.reservations() == {"right": "crit"}
    assert starts_s(system)["small"] is None

    system.run()
    # `quick` ends before the reservation begins; without backfilling `crit` blocks it under FCFS.
    expected = {"crit": 10, "small": 15, "quick": 15 if policy == "fcfs" else 2}
    assert {name: starts_s(system)[name] for name in expected} == expected
    assert system.reservations() == {}


def test_an_executor_that_cannot_start_leaves_the_task_pending() -> None:
    system = fcfs(POOL, [Task("x", {"cpu": 3}, 5)])

    with pytest.raises(StateError, match="'x' has no run_time_s"):
        system.run()
    assert system.state_of("x") is TaskState.PENDING
    assert system.pool.loads() == {"pool": 0}
    assert starts_s(system) == {"x": None}


@pytest.mark.parametrize(
    ("told", "message"),
    [("other", "no task 'other'"), ("waits", "'waits', which is pending"), ("a", "'a': completed")],
)
def test_an_executor_that_tells_nonsense(told: str, message: str) -> None:
    class Liar(SimulatedExecutor):
        def completions(self, now_us: int) -> list[Completion]:
            true = super().completions(now_us)
            return [*true, Completion(told, now_us)] if now_us >= 6 * S else true

    system = fcfs(POOL, [job("a", 1, 5), job("b", 7, 9), job("waits", 8, 9, 6)], executor=Liar())

    with pytest.raises(StateError, match=message):
        system.run()


def test_it_uses_the_executor_and_monitor_it_is_given() -> None:
    started: list[tuple[str, tuple[int, ...], int]] = []

    class Noting(SimulatedExecutor):
        def start(self, task: Task, nodes: tuple[int, ...], now_us: int) -> None:
            started.append((task.id, nodes, now_us))
            super().start(task, nodes, now_us)

    monitor = Monitor(TWO)
    system = fcfs(TWO, [job("g", 3, 2, 1, num_replicas=2)], executor=Noting(), monitor=monitor)
    system.run()

    assert started == [("g", (0, 1), 1 * S)]
    assert system.monitor is monitor
    assert monitor.records[0].end_us == 3 * S


def test_estimates_do_not_end_tasks() -> None:
    tasks = [job("over", 8, 20, requested_time_s=5), job("under", 8, 2, 1, requested_time_s=50)]
    system = fcfs(POOL, tasks)
    system.run()

    assert system.schedule().end_us.tolist() == [20 * S, 22 * S]


@pytest.mark.parametrize("value", ["instnat", "both", None])
def test_unknown_event_batching(value: str) -> None:
    with pytest.raises(ConfigError, match=f"event_batching: unknown name {value!r}; "):
        Scheduler(POOL, heuristic("f4"), event_batching=value)


STEPS = ("receive", "assess", "balance", "reserve", "execute", "feed_back", "complete")


def test_the_seven_steps_are_there_by_name_and_run(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []

    def noted(name: str) -> Callable[..., object]:
        original = getattr(Scheduler, name)

        def step(*args: object, **options: object) -> object:
            order.append(name)
            return original(*args, **options)

        return step

    for name in STEPS:
        monkeypatch.setattr(Scheduler, name, noted(name))
    system = Scheduler(POOL, heuristic("fcfs"))
    system.submit(job("a", 8, 5))
    system.run()

    assert order == [
        "receive", "complete", "reserve", "assess", "balance", "execute", "feed_back",
        "receive", "complete", "reserve",
    ]  # fmt: skip
