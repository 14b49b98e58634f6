"""The life of tasks: dependencies, retries, preemption, cancelling, what ends how."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lepton_rl.core.errors import ConfigError, ExecutorError, InfeasibleDecisionError, StateError
from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.policy import Decision, Preempt
from lepton_rl.core.rules.times import remaining_us
from lepton_rl.core.tables import View
from lepton_rl.core.tasks import Task, TaskState
from lepton_rl.policies.registry import heuristic
from lepton_rl.system import (
    Completion,
    Failures,
    Interruption,
    Outcome,
    Refusal,
    Scheduler,
    SimulatedExecutor,
)
from lepton_rl.system.life import Entry, StopReason, kept_work_us, remaining_task, verdict

POOL = Cluster.pool(8)
S = 1_000_000


def job(name: str, cores: float, run_s: float, submit_s: float = 0, **more: object) -> Task:
    values = {"requested_time_s": run_s, "run_time_s": run_s, "submit_time_s": submit_s, **more}
    return Task(name, {"cpu": cores}, **values)  # type: ignore[arg-type]


def system_of(*tasks: Task, failures: Failures | None = None, **options: object) -> Scheduler:
    executor = SimulatedExecutor(failures)
    system = Scheduler(POOL, heuristic("fcfs"), executor, **options)  # type: ignore[arg-type]
    system.submit_all(tasks)
    return system


def spans_s(system: Scheduler) -> dict[str, tuple[float | None, float | None]]:
    """First start and end of each task."""
    return {
        r.task_id: tuple(None if t is None else t / S for t in (r.first_start_us, r.end_us))
        for r in system.records
    }  # type: ignore[return-value]


class Once:
    """FCFS, but at each of the given times it first decides something else."""

    name = "once"

    def __init__(self, **at: Callable[[View], Decision]) -> None:
        self._at = {int(key[1:]) * S: decide for key, decide in at.items()}
        self._inner = heuristic("fcfs")

    def reset(self) -> None:
        self._inner.reset()

    def decide(self, view: View) -> Decision:
        decide = self._at.pop(int(view.status["now_us"][0]), None)
        return self._inner.decide(view) if decide is None else decide(view)


def preempt_first(view: View) -> Decision:
    return Preempt(int(view.running[0, 0]))


class TestDependencies:
    def test_a_task_waits_for_all_it_depends_on(self) -> None:
        system = system_of(
            job("join", 1, 1, depends_on=["a", "b"]), job("a", 1, 3), job("b", 1, 5, 1)
        )
        system.step()
        assert system.state_of("join") is TaskState.SUBMITTED
        system.run()

        assert spans_s(system) == {"join": (6, 7), "a": (0, 3), "b": (1, 6)}
        assert [record.task_id for record in system.records] == ["join", "a", "b"]

    def test_and_for_its_own_submit_time(self) -> None:
        system = system_of(job("a", 1, 1), job("b", 1, 1, 9, depends_on=["a"]))
        system.run()

        assert spans_s(system)["b"] == (9, 10)

    def test_what_has_completed_already_is_no_hindrance(self) -> None:
        system = system_of(job("a", 1, 1))
        system.run()
        system.submit(job("b", 1, 1, depends_on=["a", "a"]))
        system.run()

        assert spans_s(system)["b"] == (1, 2)

    def test_what_depends_on_a_failure_is_cancelled_and_so_forth(self) -> None:
        system = system_of(
            job("a", 1, 5), job("b", 1, 5, depends_on=["a"]), job("c", 1, 5, depends_on=["b"]),
            failures=Failures({"a": [2]}),
        )  # fmt: skip
        system.run()
        system.submit(job("late", 1, 5, depends_on=["b"]))

        assert system.state_of("a") is TaskState.FAILED
        assert system.reason_of("b") == "it depends on task 'a', which is failed"
        assert system.reason_of("c") == "it depends on task 'b', which is cancelled"
        assert system.state_of("late") is TaskState.CANCELLED
        assert spans_s(system)["c"] == (None, 2)
        assert system.monitor.outcomes == {"failed": 1, "cancelled": 3}
        assert system.schedule().end_us.tolist() == [2 * S, -1, -1, -1]

    def test_unknown_tasks_are_refused_by_the_name_of_the_field(self) -> None:
        system = system_of(job("first", 1, 1))

        with pytest.raises(ConfigError, match=r"'b': depends_on: no task 'frist'.*'first'"):
            system.submit(job("b", 1, 1, depends_on=["frist"]))
        with pytest.raises(StateError):
            system.state_of("b")

    @pytest.mark.parametrize("length", [1, 2, 5])
    def test_circles_are_refused_and_nothing_of_them_stays(self, length: int) -> None:
        circle = [job(f"t{n}", 1, 1, depends_on=[f"t{(n + 1) % length}"]) for n in range(length)]
        system = system_of()

        with pytest.raises(ConfigError, match="depends_on: tasks depend on each other in a circle"):
            system.submit_all([job("good", 1, 1), *circle])
        assert len(system.queue) == 0


class TestFailures:
    def test_a_failed_task_is_tried_again_while_retries_remain(self) -> None:
        system = system_of(
            job("a", 1, 5, max_retries=2), job("b", 1, 5, max_retries=1),
            failures=Failures({"a": [1, 2], "b": [1, 2]}),
        )  # fmt: skip
        system.run()

        assert system.state_of("a") is TaskState.COMPLETED
        assert system.state_of("b") is TaskState.FAILED
        assert system.reason_of("b") == "simulated failure (exit code 1)"
        assert spans_s(system) == {"a": (0, 8), "b": (0, 3)}
        runs = system.records[0].interruptions
        assert [(run.start_us // S, run.end_us // S) for run in runs] == [(0, 1), (1, 3)]
        assert system.monitor.interruptions == {"failed": 3}

    def test_it_goes_on_from_its_last_checkpoint(self) -> None:
        system = system_of(
            job("a", 1, 10, max_retries=2, checkpoint_interval_s=2),
            failures=Failures({"a": [5, 3]}),
        )
        system.run()

        # 4 s kept of 5, then 6 of 7: 4 s are left.
        assert spans_s(system)["a"] == (0, 5 + 3 + 4)

    def test_by_chance_but_the_same_for_the_same_seed(self) -> None:
        def outcomes(seed: int) -> list[TaskState]:
            tasks = [job(f"t{n}", 1, 5) for n in range(40)]
            system = system_of(*tasks, failures=Failures(probability=0.5, seed=seed))
            system.run()
            return [record.outcome for record in system.records]

        assert outcomes(1) == outcomes(1) != outcomes(2)
        assert 8 < outcomes(1).count(TaskState.FAILED) < 32

    @pytest.mark.parametrize("probability", [-0.1, 1.1, float("nan"), "x"])
    def test_a_probability_is_one(self, probability: float) -> None:
        with pytest.raises(ConfigError, match="probability"):
            Failures(probability=probability)

    def test_a_time_limit_ends_a_task_for_good(self) -> None:
        executor = SimulatedExecutor(enforce_requested_time=True)
        system = Scheduler(POOL, heuristic("fcfs"), executor)
        system.submit(job("a", 1, 9, requested_time_s=4, max_retries=3))
        system.submit(job("b", 1, 1, depends_on=["a"]))
        system.run()

        assert system.state_of("a") is TaskState.TIMED_OUT
        assert system.state_of("b") is TaskState.CANCELLED
        assert spans_s(system)["a"] == (0, 4)


class TestCancelling:
    def test_in_every_state(self) -> None:
        system = system_of(job("run", 8, 9), job("wait", 8, 9), job("later", 8, 9, 50))
        system.step()

        for name in ("run", "wait", "later"):
            assert system.cancel(name, "enough")
            assert system.state_of(name) is TaskState.CANCELLED
            assert system.reason_of(name) == "enough"
            assert not system.cancel(name)
        assert system.pool.loads() == {"pool": 0}
        system.run()
        assert system.now_s == 0
        with pytest.raises(StateError, match="no task 'other'"):
            system.cancel("other")

    def test_its_nodes_are_used_at_once(self) -> None:
        system = system_of(job("a", 8, 100), job("b", 8, 1, 1))
        system.run_until(5)
        system.cancel("a")
        system.run()

        assert spans_s(system) == {"a": (0, 5), "b": (5, 6)}

    def test_what_has_completed_before_it_could_be_stopped_has_completed(self) -> None:
        class Slow(SimulatedExecutor):
            def stop(self, task_id: str, now_us: int) -> None:
                raise ExecutorError("it has just ended")

        system = Scheduler(POOL, heuristic("fcfs"), Slow())
        system.submit_all([job("a", 1, 5), job("b", 1, 1, depends_on=["a"])])
        system.run_until(2)
        assert system.cancel("a")
        assert system.state_of("a") is TaskState.RUNNING
        system.run()

        assert system.state_of("a") is TaskState.COMPLETED
        assert system.state_of("b") is TaskState.COMPLETED


class TestPreemption:
    def run(self, **more: object) -> Scheduler:
        """`a` is preempted at 5 s, when `b` arrives, and at the next instant both want the pool."""
        system = Scheduler(POOL, Once(t5=preempt_first))
        system.submit_all([job("a", 8, 10, preemptible=True, **more), job("b", 8, 3, 5)])
        system.run()
        return system

    def test_without_checkpoints_all_work_is_lost(self) -> None:
        system = self.run()

        assert spans_s(system) == {"a": (0, 18), "b": (5, 8)}
        assert system.records[0].interruptions == (Interruption(0, 5 * S, (0,), "preempted"),)
        assert system.records[0].start_us == 8 * S
        assert system.monitor.decisions["preempt"] == 1
        assert system.monitor.interruptions == {"preempt": 1}

    def test_with_checkpoints_the_work_up_to_the_last_one_is_kept(self) -> None:
        assert spans_s(self.run(checkpoint_interval_s=2))["a"] == (0, 8 + 6)

    def test_what_is_left_is_what_policies_see(self) -> None:
        system = Scheduler(POOL, Once(t5=preempt_first))
        system.submit_all(
            [job("a", 8, 10, preemptible=True, checkpoint_interval_s=1), job("b", 8, 3, 5)]
        )
        system.run_until(6)

        local = system.queue.local_of("a")
        assert remaining_us(system.assess(), 0, local) == 5 * S
        assert system.queue.is_pending(local)

    @pytest.mark.parametrize(
        ("decision", "cause"),
        [
            (Preempt(0), Refusal.NOT_PREEMPTIBLE),
            (Preempt(1), Refusal.NOT_RUNNING),
            (Preempt(7), Refusal.NOT_RUNNING),
            (Preempt("x"), Refusal.NOT_RUNNING),  # type: ignore[arg-type]
            (Preempt(np.int64(-1)), Refusal.NOT_RUNNING),  # type: ignore[arg-type]
        ],
    )
    def test_what_cannot_be_preempted(self, decision: Preempt, cause: Refusal) -> None:
        for strict in (True, False):
            system = Scheduler(POOL, Once(t1=lambda view: decision), strict=strict)
            system.submit_all([job("a", 8, 10), job("b", 8, 3, 1)])
            if strict:
                with pytest.raises(InfeasibleDecisionError, match="policy 'once' at 1 s decided"):
                    system.run()
            else:
                system.run()
                assert system.monitor.incidents == {cause: 1}
            assert spans_s(system)["a"][0] == 0

    def test_a_policy_that_preempts_all_the_time_cannot_stop_time(self) -> None:
        class Restless(Once):
            def decide(self, view: View) -> Decision:
                if view.status["num_running"][0]:
                    return Preempt(int(view.running[0, 0]))
                return self._inner.decide(view)

        system = Scheduler(POOL, Restless())
        system.submit_all([job(f"t{n}", 8, 10, preemptible=True) for n in range(2)])
        for _ in range(50):
            system.step()

        assert system.now_us > 20

    def test_an_executor_that_takes_its_time_to_stop(self) -> None:
        class Slow(SimulatedExecutor):
            def stop(self, task_id: str, now_us: int) -> None:
                super().stop(task_id, now_us + 2 * S)

            def completions(self, now_us: int) -> list[Completion]:
                told, self._stopped = self._stopped, []
                self._stopped = [each for each in told if each.end_us > now_us]
                ready = [each for each in told if each.end_us <= now_us]
                later, self._stopped = self._stopped, []
                found = ready + super().completions(now_us)
                self._stopped = later
                return found

        system = Scheduler(POOL, Once(t5=preempt_first), Slow())
        system.submit_all([job("a", 8, 10, preemptible=True), job("b", 8, 3, 5)])
        system.run_until(6)
        assert system.state_of("a") is TaskState.PREEMPTED
        assert system.pool.loads() == {"pool": 1}
        assert system.cancel("a")
        assert system.state_of("a") is TaskState.RUNNING
        system.run()

        assert system.state_of("a") is TaskState.CANCELLED
        assert spans_s(system) == {"a": (0, 7), "b": (7, 10)}


def entry(**more: object) -> Entry:
    task = job("x", 1, 100, max_retries=1)
    return Entry(task, 0, 0, np.zeros(1), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("outcome", "stopping", "failures", "state", "has_failed"),
    [
        ("completed", None, 0, "completed", False),
        ("completed", "cancel", 0, "completed", False),
        ("completed", "preempt", 0, "completed", False),
        ("stopped", "cancel", 0, "cancelled", False),
        ("failed", "cancel", 0, "cancelled", False),
        ("stopped", "preempt", 9, "pending", False),
        ("failed", "preempt", 1, "failed", True),
        ("stopped", "node-lost", 9, "pending", False),
        ("failed", "node-lost", 9, "pending", False),
        ("stopped", "shutdown", 9, "pending", False),
        ("timed_out", None, 0, "timed_out", False),
        ("timed_out", "preempt", 0, "timed_out", False),
        ("failed", None, 0, "pending", True),
        ("failed", None, 1, "failed", True),
        ("stopped", None, 0, "pending", True),
        ("stopped", None, 1, "failed", True),
    ],
)
def test_what_becomes_of_a_task_after_a_run(
    outcome: str, stopping: str | None, failures: int, state: str, has_failed: bool
) -> None:
    why = None if stopping is None else StopReason(stopping)
    end = Completion("x", 5, Outcome(outcome))

    found = verdict(entry(stopping=why, failures=failures), end)

    assert (found.state.value, found.has_failed) == (state, has_failed)


@pytest.mark.parametrize(
    ("interval_s", "kept_s", "elapsed_s", "speed", "expected_s"),
    [
        (None, 0, 50, 1, 0),
        (10, 0, 9.9, 1, 0),
        (10, 0, 39.9, 1, 30),
        (10, 30, 5, 1, 30),
        (10, 30, 10, 1, 40),
        (10, 0, 20, 2, 40),
        (10, 0, 500, 1, 99.999999),
        (10, 0, -5, 1, 0),
    ],
)
def test_work_is_kept_up_to_the_last_checkpoint(
    interval_s: float | None, kept_s: int, elapsed_s: float, speed: float, expected_s: float
) -> None:
    each = entry(kept_us=kept_s * S, started_us=7 * S, speed=speed)
    each.task = job("x", 1, 100, checkpoint_interval_s=interval_s)

    assert kept_work_us(each, round((7 + elapsed_s) * S)) == round(expected_s * S)


def test_what_remains_of_a_task() -> None:
    task = job("x", 1, 100, requested_time_s=50)
    assert remaining_task(task, 0, 1.0) is task

    left = remaining_task(task, 60 * S, 2.0)
    assert (left.run_time_s, left.requested_time_s) == (20, 1e-6)


def test_an_executor_that_cannot_start_a_task_fails_it_where_that_is_survived() -> None:
    class Broken(SimulatedExecutor):
        def start(self, task: Task, nodes: tuple[int, ...], now_us: int) -> None:
            if task.id == "bad":
                raise OSError("no such program")
            super().start(task, nodes, now_us)

    system = Scheduler(POOL, heuristic("fcfs"), Broken(), strict=False)
    system.submit_all([job("bad", 8, 5, max_retries=2), job("good", 8, 5)])
    system.run()

    assert system.state_of("bad") is TaskState.FAILED
    assert system.reason_of("bad") == "the executor could not start it: no such program"
    assert system.state_of("good") is TaskState.COMPLETED
    assert system.monitor.incidents == {"executor-error": 3}


def test_a_policy_that_raises_is_replaced_for_an_instant() -> None:
    class Broken(Once):
        def decide(self, view: View) -> Decision:
            raise ZeroDivisionError

    tasks = [job("a", 6, 5), job("b", 4, 5), job("c", 2, 5)]
    system = Scheduler(POOL, Broken(), strict=False)
    system.submit_all(tasks)
    system.run()
    assert spans_s(system) == {"a": (0, 5), "b": (5, 10), "c": (5, 10)}
    assert system.monitor.incidents == {"policy-error": 2}

    strict = Scheduler(POOL, Broken())
    strict.submit_all(tasks)
    with pytest.raises(ZeroDivisionError):
        strict.run()


def test_a_burst_with_failures_ends() -> None:
    """Stability: more than fits at once, half of it failing, and nodes that go and come."""
    cluster = Cluster(tuple(Node(f"n{m}", {"cpu": 4}) for m in range(4)))
    system = Scheduler(
        cluster, heuristic("f4+easy"), SimulatedExecutor(Failures(probability=0.5, seed=3))
    )
    rng = np.random.default_rng(0)
    system.submit_all(
        job(f"t{n}", int(rng.integers(1, 5)), int(rng.integers(1, 30)), n % 3, max_retries=3)
        for n in range(300)
    )
    for n in range(8):
        system.run_until(20 * n + 10)
        system.fail_node(f"n{n % 4}")
        system.run_until(20 * n + 15)
        system.resume(f"n{n % 4}")
    system.run()

    states = {system.state_of(f"t{n}") for n in range(300)}
    assert states == {TaskState.COMPLETED, TaskState.FAILED}
    assert sum(system.monitor.outcomes.values()) == 300
    assert system.monitor.interruptions["node-lost"] > 0
    assert set(system.pool.loads().values()) == {0}
