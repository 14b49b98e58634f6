"""A live scheduler: threads, a clock of the world, and an executor that tells when it likes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from lepton_rl.core.errors import JournalError, StateError
from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.policy import Decision
from lepton_rl.core.tables import View
from lepton_rl.core.tasks import Task, TaskState
from lepton_rl.policies.registry import heuristic
from lepton_rl.system import (
    Completion,
    Failures,
    MonotonicClock,
    Outcome,
    Scheduler,
    SimulatedExecutor,
)

POOL = Cluster.pool(8)
TWO = Cluster((Node("a", {"cpu": 4}), Node("b", {"cpu": 4})))
LONG_S = 30.0
"""No test waits that long unless it fails."""


def job(name: str, cores: float = 1, run_s: float = 0.02, **more: object) -> Task:
    return Task(name, {"cpu": cores}, run_s, run_time_s=run_s, **more)  # type: ignore[arg-type]


class ByHand:
    """An executor whose runs end when a test says so; nobody knows before."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.news = threading.Event()
        self.alive: dict[str, Task] = {}
        self.ended: list[tuple[str, Outcome]] = []
        self.closed: bool | None = None

    def start(self, task: Task, nodes: tuple[int, ...], now_us: int) -> None:
        with self.lock:
            assert task.id not in self.alive
            self.alive[task.id] = task

    def stop(self, task_id: str, now_us: int) -> None:
        self.end(task_id, Outcome.STOPPED)

    def end(self, task_id: str, outcome: Outcome = Outcome.COMPLETED) -> None:
        with self.lock:
            self.ended.append((task_id, outcome))
        self.news.set()

    def next_completion_us(self) -> int | None:
        return None

    def completions(self, now_us: int) -> list[Completion]:
        with self.lock:
            self.news.clear()
            told, self.ended = self.ended, []
            for task_id, _ in told:
                self.alive.pop(task_id, None)
        return [Completion(task_id, now_us, outcome) for task_id, outcome in told]

    def running(self) -> frozenset[str]:
        return frozenset(self.alive)

    def wait(self, timeout_s: float) -> bool:
        return self.news.wait(timeout_s)

    def close(self, stop_running: bool) -> None:
        self.closed = stop_running


@pytest.fixture
def hand() -> ByHand:
    return ByHand()


@pytest.fixture
def live(hand: ByHand) -> Iterator[Scheduler]:
    system = Scheduler(POOL, heuristic("fcfs"), hand)
    system.start()
    yield system
    system.stop(drain=False, timeout_s=LONG_S)


def eventually(system: Scheduler, task_id: str, state: TaskState) -> None:
    deadline = time.monotonic() + LONG_S
    while system.state_of(task_id) is not state:
        assert time.monotonic() < deadline, f"{task_id} is {system.state_of(task_id)}"
        time.sleep(0.002)


def test_tasks_run_as_time_passes() -> None:
    system = Scheduler(POOL, heuristic("fcfs"))
    system.start()
    system.submit_all([job("a", 8), job("b", 8), job("c", 1, depends_on=["b"])])

    assert system.wait("c", LONG_S) is TaskState.COMPLETED
    assert system.stop(timeout_s=LONG_S)
    first, second, third = system.records
    assert first.end_us is not None
    assert second.start_us is not None
    assert third.start_us is not None
    assert second.start_us >= first.end_us
    assert third.start_us >= second.start_us + 20_000
    assert not system.monitor.incidents


def test_a_submit_time_in_the_past_becomes_now() -> None:
    system = Scheduler(POOL, heuristic("fcfs"))
    system.start(MonotonicClock(5_000_000))
    system.submit(job("a"))
    system.submit(job("later", submit_time_s=5.1))
    system.stop(timeout_s=LONG_S)

    a, later = system.records
    assert 5_000_000 <= a.submit_us < 7_000_000
    assert later.start_us is not None
    assert later.start_us >= later.submit_us >= 5_100_000


def test_ends_and_submissions_wake_it_at_once(live: Scheduler, hand: ByHand) -> None:
    live.submit(job("a", 8))
    live.submit(job("b", 8))
    eventually(live, "a", TaskState.RUNNING)
    began = time.monotonic()
    hand.end("a")
    eventually(live, "b", TaskState.RUNNING)

    assert time.monotonic() - began < 5
    assert live.state_of("a") is TaskState.COMPLETED


def test_cancel_and_drain_and_nodes_from_other_threads(hand: ByHand) -> None:
    system = Scheduler(TWO, heuristic("fcfs"), hand)
    system.start()
    system.submit_all([job("a", 4), job("b", 4), job("c", 4)])
    eventually(system, "b", TaskState.RUNNING)
    assert system.cancel("a")
    assert system.wait("a", LONG_S) is TaskState.CANCELLED
    eventually(system, "c", TaskState.RUNNING)
    system.drain("a")
    system.fail_node("b")
    system.add_nodes([Node("c", {"cpu": 4})])
    eventually(system, "b", TaskState.RUNNING)
    for name in "bc":
        hand.end(name)

    assert system.stop(timeout_s=LONG_S)
    assert system.pool.loads() == {"a": 0, "b": 0, "c": 0}


def test_many_threads_lose_nothing() -> None:
    failing = Failures(probability=0.2, seed=1)
    system = Scheduler(TWO, heuristic("sjf+easy"), SimulatedExecutor(failing))
    system.start()

    def use(thread: int) -> None:
        for n in range(15):
            name = f"{thread}-{n}"
            system.submit(job(name, 1 + n % 4, 0.001 * (1 + n % 3), max_retries=2))
            if n % 5 == 0:
                system.cancel(name)
            if thread == 0 and n % 4 == 0:
                system.fail_node("b")
                system.resume("b")

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(use, range(6)))
    assert system.stop(timeout_s=LONG_S)

    assert len(system.records) == 90
    assert all(system.state_of(record.task_id).is_final for record in system.records)
    assert sum(system.monitor.outcomes.values()) == 90
    assert set(system.pool.loads().values()) == {0}
    assert not system.monitor.incidents


def test_stopping_without_draining_puts_back_what_runs(hand: ByHand) -> None:
    system = Scheduler(POOL, heuristic("fcfs"), hand)
    system.start()
    system.submit_all([job("a", 8), job("b", 8)])
    eventually(system, "a", TaskState.RUNNING)

    assert system.stop(drain=False, timeout_s=LONG_S)
    assert system.state_of("a") is TaskState.PENDING
    assert system.state_of("b") is TaskState.PENDING
    assert hand.closed is True
    assert hand.alive == {}


def test_or_leaves_it_to_the_executor(hand: ByHand) -> None:
    system = Scheduler(POOL, heuristic("fcfs"), hand)
    system.start()
    system.submit(job("a"))
    eventually(system, "a", TaskState.RUNNING)

    assert system.stop(drain=False, stop_running=False)
    assert hand.closed is False
    assert hand.running() == {"a"}


def test_what_cannot_be_done_after_and_before(hand: ByHand) -> None:
    system = Scheduler(POOL, heuristic("fcfs"), hand)
    system.submit(job("a"))
    with pytest.raises(StateError, match="not live"):
        system.wait("a")
    with pytest.raises(StateError, match="not started"):
        system.stop()
    system.start()
    for call in (system.step, system.run):
        with pytest.raises(StateError, match="is live"):
            call()
    with pytest.raises(StateError, match="started before"):
        system.start()
    with pytest.raises(StateError, match="no task 'x'"):
        system.wait("x")
    assert not system.join(0.01)
    assert not system.wait("a", 0.01).is_final
    system.stop(drain=False, timeout_s=LONG_S)
    with pytest.raises(StateError, match="takes no more tasks"):
        system.submit(job("b"))
    assert not [t for t in threading.enumerate() if t.name.startswith("lepton-")]


def test_a_policy_that_raises_does_not_end_it(hand: ByHand) -> None:
    class Broken:
        name = "broken"

        def reset(self) -> None: ...

        def decide(self, view: View) -> Decision:
            raise ZeroDivisionError

    system = Scheduler(POOL, Broken(), hand)
    system.start()
    system.submit(job("a"))
    eventually(system, "a", TaskState.RUNNING)
    hand.end("a")

    assert system.stop(timeout_s=LONG_S)
    assert system.monitor.incidents["policy-error"] >= 1


def test_an_executor_that_raises_fails_the_task_or_is_asked_again(hand: ByHand) -> None:
    class Shaky(ByHand):
        def __init__(self) -> None:
            super().__init__()
            self.times = 0

        def start(self, task: Task, nodes: tuple[int, ...], now_us: int) -> None:
            if task.id == "bad":
                raise OSError("out of processes")
            super().start(task, nodes, now_us)

        def completions(self, now_us: int) -> list[Completion]:
            self.times += 1
            if self.times % 3 == 1:
                raise ConnectionError("gone")
            told = super().completions(now_us)
            return [*told, *told, Completion("stranger", now_us)]

    executor = Shaky()
    system = Scheduler(POOL, heuristic("fcfs"), executor)
    system.start()
    system.submit_all([job("bad", 4, max_retries=1), job("good", 4)])
    assert system.wait("bad", LONG_S) is TaskState.FAILED
    assert "out of processes" in system.reason_of("bad")
    eventually(system, "good", TaskState.RUNNING)
    executor.end("good")
    assert system.wait("good", LONG_S) is TaskState.COMPLETED
    system.stop(timeout_s=LONG_S)

    assert {"executor-error", "foreign-completion"} <= system.monitor.incidents.keys()


def test_a_journal_that_cannot_be_written_ends_it_and_everybody_hears(hand: ByHand) -> None:
    system = Scheduler(POOL, heuristic("fcfs"), hand)

    def broken() -> None:
        raise JournalError("disk full")

    system._recorder.beat = broken  # type: ignore[method-assign]
    system.submit(job("a"))
    system.start()
    with pytest.raises(JournalError, match="disk full"):
        system.wait("a", LONG_S)
    with pytest.raises(JournalError, match="disk full"):
        system.submit(job("b"))
    with pytest.raises(JournalError, match="disk full"):
        system.stop(drain=False)
    assert hand.closed is False
    assert not [t for t in threading.enumerate() if t.name.startswith("lepton-")]


def test_its_clock_never_goes_back() -> None:
    times_ns = iter([10_000_000, 12_000_000, 11_000_000, 5, 13_000_000])
    clock = MonotonicClock(500, lambda: next(times_ns))

    assert [clock.now_us() for _ in range(4)] == [2_500, 2_500, 2_500, 3_500]
