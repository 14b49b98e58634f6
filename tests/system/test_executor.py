import pytest

from lepton_rl.core.errors import ExecutorError, StateError
from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.tasks import Task
from lepton_rl.policies.registry import heuristic
from lepton_rl.system import Completion, Executor, Outcome, Scheduler, SimulatedExecutor

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


def test_who_wants_cards_is_told_which() -> None:
    told: list[object] = []

    class WithCards(SimulatedExecutor):
        uses_cards = True

        def start(
            self, task: Task, nodes: tuple[int, ...], now_us: int, cards: object = None
        ) -> None:
            told.append(cards)
            super().start(task, nodes, now_us)

    system = Scheduler(Cluster((Node("a", {"cpu": 4, "gpu": 4}),)), heuristic("fcfs"), WithCards())
    system.submit_all(
        [
            Task("x", {"cpu": 1, "gpu": 2}, 9, run_time_s=9),
            Task("y", {"gpu": 0.5}, 9, run_time_s=9, num_replicas=2),
            Task("z", {"cpu": 1}, 9, run_time_s=9),
        ]
    )
    system.run()

    assert told == [({"gpu": (0, 1)},), ({"gpu": (2,)}, {"gpu": (2,)}), ({},)]


def test_a_stopped_run_is_told_at_once_and_its_end_never() -> None:
    executor = SimulatedExecutor()
    executor.start(task("a", 3), (0,), 0)
    executor.start(task("b", 5), (0,), 0)
    executor.stop("a", 1 * S)
    assert executor.running() == {"a", "b"}
    assert executor.wait(0)
    with pytest.raises(ExecutorError, match="'a'"):
        executor.stop("a", 1 * S)

    assert executor.completions(1 * S) == [Completion("a", 1 * S, Outcome.STOPPED, None, "stopped")]
    assert not executor.wait(0)
    executor.start(task("a", 9), (0,), 2 * S)
    assert [each.task_id for each in executor.completions(10 * S)] == ["b"]
    assert executor.next_completion_us() == 11 * S
    executor.close(True)
    assert executor.next_completion_us() is None


def test_a_task_never_runs_twice_at_once() -> None:
    executor = SimulatedExecutor()
    executor.start(task("a", 3), (0,), 0)

    with pytest.raises(StateError, match="runs already"):
        executor.start(task("a", 3), (0,), 0)


def test_of_tasks_that_have_ended_it_keeps_nothing() -> None:
    executor = SimulatedExecutor()
    for number in range(100):
        executor.start(task(f"t{number}", 1), (0,), number * S)
        executor.completions((number + 1) * S)

    kept = [len(each) for each in vars(executor).values() if hasattr(each, "__len__")]
    assert len(kept) >= 4
    assert sum(kept) == 0
