import pytest

from lepton_rl.core.errors import StateError
from lepton_rl.core.tasks import Task
from lepton_rl.system import Completion, Executor, SimulatedExecutor

S = 1_000_000


def task(name: str, run_s: float | None, requested_s: float = 100) -> Task:
    return Task(name, {"cpu": 1}, requested_s, run_time_s=run_s)


def test_it_is_an_executor() -> None:
    assert isinstance(SimulatedExecutor(), Executor)


def test_nothing_runs_at_first() -> None:
    executor = SimulatedExecutor()

    assert executor.next_completion_us() is None
    assert executor.completions(10**18) == []


def test_tasks_end_after_their_true_run_time_whatever_they_asked_for() -> None:
    executor = SimulatedExecutor()
    executor.start(task("long", 30, requested_s=1), (0,), 5 * S)
    executor.start(task("short", 2.5, requested_s=99), (0,), 6 * S)

    assert executor.next_completion_us() == 8_500_000
    assert executor.completions(8_499_999) == []
    assert executor.completions(8_500_000) == [Completion("short", 8_500_000)]
    assert executor.next_completion_us() == 35 * S
    assert executor.completions(10**12) == [Completion("long", 35 * S)]
    assert executor.next_completion_us() is None


def test_each_end_is_told_once_in_order_of_end_then_of_start() -> None:
    executor = SimulatedExecutor()
    executor.start(task("z", 3), (0,), 1 * S)
    executor.start(task("a", 2), (0,), 2 * S)
    executor.start(task("m", 1), (0,), 2 * S)

    assert [each.task_id for each in executor.completions(9 * S)] == ["m", "z", "a"]
    assert executor.completions(9 * S) == []


def test_the_shortest_run_takes_a_tick() -> None:
    executor = SimulatedExecutor()
    executor.start(task("blink", 1e-9), (0,), 7)

    assert executor.next_completion_us() == 8


def test_without_a_run_time_it_cannot_simulate() -> None:
    executor = SimulatedExecutor()

    with pytest.raises(StateError, match="'x' has no run_time_s"):
        executor.start(task("x", None), (0,), 0)
    assert executor.next_completion_us() is None
