"""What every executor owes the scheduler, wherever it runs tasks.

A new kind of executor joins with a `Trial` of its own in `TRIALS`.
"""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lepton_rl.core.errors import ExecutorError, LeptonError
from lepton_rl.core.tasks import Task
from lepton_rl.integrations.local import LocalExecutor, LocalSettings
from lepton_rl.system import (
    Completion,
    Executor,
    Failures,
    Outcome,
    Resumable,
    SimulatedExecutor,
)

PATIENCE_S = 20.0
S = 1_000_000


class Trial(ABC):
    """An executor, tasks for it, and the clock that goes with it."""

    executor: Executor
    now_us = 5 * S

    @abstractmethod
    def quick(self, task_id: str, *, fails: bool = False, replicas: int = 1) -> Task:
        """A task that soon ends by itself."""

    @abstractmethod
    def endless(self, task_id: str) -> Task:
        """A task that does not end by itself during the test."""

    @abstractmethod
    def impossible(self, task_id: str) -> Task:
        """A task that this executor cannot start."""

    @abstractmethod
    def let_time_pass(self) -> None:
        """Move the clock to when something may have ended."""

    def restart(self) -> None:
        """Let the next executor of the same place take over; only for those that outlive us."""
        raise NotImplementedError

    def resumable(self) -> Resumable:
        """The executor, if its runs outlive it."""
        if not isinstance(self.executor, Resumable):
            pytest.skip("its runs end with it")
        return self.executor

    def clean_up(self) -> None:
        """Leave nothing behind, whatever the test has done."""
        self.executor.close(stop_running=True)

    def start(self, *tasks: Task) -> None:
        for task in tasks:
            self.executor.start(task, tuple(range(task.num_replicas)), self.now_us)

    def told(self) -> list[Completion]:
        """What is told at this moment."""
        found = self.executor.completions(self.now_us)
        assert all(isinstance(each, Completion) for each in found)
        assert all(each.end_us <= self.now_us for each in found)
        return found

    def ends(self, count: int) -> dict[str, Completion]:
        """The next `count` ends, by task."""
        found = self.told()
        deadline = time.monotonic() + PATIENCE_S
        while len(found) < count:
            assert time.monotonic() < deadline, f"{len(found)} of {count} ended"
            self.let_time_pass()
            found += self.told()
        by_task = {each.task_id: each for each in found}
        assert len(by_task) == len(found) == count, found
        return by_task


class SimulatedTrial(Trial):
    def __init__(self, folder: Path) -> None:
        self.executor = SimulatedExecutor(Failures({"fails": [0.25] * 9}))

    def quick(self, task_id: str, *, fails: bool = False, replicas: int = 1) -> Task:
        assert fails == (task_id == "fails")
        return Task(task_id, {"cpu": 1}, 10, run_time_s=0.5, num_replicas=replicas)

    def endless(self, task_id: str) -> Task:
        return Task(task_id, {"cpu": 1}, 1e6, run_time_s=1e6)

    def impossible(self, task_id: str) -> Task:
        return Task(task_id, {"cpu": 1}, 10, command=("true",))

    def let_time_pass(self) -> None:
        self.now_us += S


class LocalTrial(Trial):
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.executor = LocalExecutor(folder, LocalSettings(stop_grace_s=0.1))

    def restart(self) -> None:
        self.executor.close(stop_running=False)
        self.executor = LocalExecutor(self._folder, LocalSettings(stop_grace_s=0.1))

    def clean_up(self) -> None:
        super().clean_up()
        LocalExecutor(self._folder).close(stop_running=True)

    def quick(self, task_id: str, *, fails: bool = False, replicas: int = 1) -> Task:
        command = ("false",) if fails else ("true",)
        return Task(task_id, {"cpu": 1}, 10, command=command, num_replicas=replicas)

    def endless(self, task_id: str) -> Task:
        return Task(task_id, {"cpu": 1}, 10, command=("sleep", "1000"))

    def impossible(self, task_id: str) -> Task:
        return Task(task_id, {"cpu": 1}, 10, run_time_s=1)

    def let_time_pass(self) -> None:
        self.executor.wait(PATIENCE_S)
        self.now_us += S


TRIALS: dict[str, Callable[[Path], Trial]] = {
    "simulated": SimulatedTrial,
    "local": LocalTrial,
}


@pytest.fixture(params=TRIALS.values(), ids=TRIALS)
def trial(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Trial]:
    made: Trial = request.param(tmp_path / "executor")
    yield made
    made.clean_up()


def test_it_is_an_executor(trial: Trial) -> None:
    assert isinstance(trial.executor, Executor)


def test_nothing_runs_at_first(trial: Trial) -> None:
    assert trial.executor.running() == frozenset()
    assert trial.executor.next_completion_us() is None
    assert trial.told() == []
    assert not trial.executor.wait(0)


def test_a_task_runs_until_its_end_is_told(trial: Trial) -> None:
    trial.start(trial.quick("a"))

    while not (found := trial.told()):
        assert trial.executor.running() == {"a"}
        trial.let_time_pass()

    assert [(each.task_id, each.outcome) for each in found] == [("a", Outcome.COMPLETED)]
    assert found[0].exit_code in (0, None)
    assert found[0].detail == ""
    assert trial.executor.running() == frozenset()


def test_a_failure_is_told_with_its_cause(trial: Trial) -> None:
    trial.start(trial.quick("fails", fails=True))

    told = trial.ends(1)["fails"]

    assert (told.outcome, told.exit_code) == (Outcome.FAILED, 1)
    assert told.detail


def test_each_end_is_told_once(trial: Trial) -> None:
    names = [f"t{n}" for n in range(20)]
    trial.start(*map(trial.quick, names))

    assert trial.ends(20).keys() == set(names)
    trial.now_us += 1000 * S
    assert trial.told() == []
    assert not trial.executor.wait(0)


def test_ends_lie_between_start_and_now(trial: Trial) -> None:
    began_us = trial.now_us
    trial.start(trial.quick("a"), trial.quick("b"))

    for end in trial.ends(2).values():
        assert began_us <= end.end_us <= trial.now_us  # `told` has checked the moment it was told


def test_a_known_end_lies_ahead(trial: Trial) -> None:
    trial.start(trial.endless("a"))

    ahead_us = trial.executor.next_completion_us()

    assert ahead_us is None or ahead_us > trial.now_us


def test_a_gang_has_one_end(trial: Trial) -> None:
    trial.start(trial.quick("gang", replicas=3))

    assert trial.ends(1)["gang"].outcome == Outcome.COMPLETED


def test_a_task_never_runs_twice_at_once(trial: Trial) -> None:
    trial.start(trial.endless("a"))

    with pytest.raises(LeptonError, match="'a'"):
        trial.start(trial.quick("a"))

    assert trial.executor.running() == {"a"}
    trial.executor.stop("a", trial.now_us)
    assert trial.ends(1)["a"].outcome == Outcome.STOPPED
    assert trial.told() == []


def test_a_task_may_run_again_after_its_end(trial: Trial) -> None:
    for _ in range(2):
        trial.start(trial.quick("a"))
        assert trial.ends(1)["a"].outcome == Outcome.COMPLETED
    trial.start(trial.endless("a"))
    trial.executor.stop("a", trial.now_us)

    assert trial.ends(1)["a"].outcome == Outcome.STOPPED


def test_what_cannot_be_started_leaves_nothing(trial: Trial) -> None:
    with pytest.raises(LeptonError, match="'a'"):
        trial.start(trial.impossible("a"))

    assert trial.executor.running() == frozenset()
    trial.start(trial.quick("a"))
    assert trial.ends(1)["a"].outcome == Outcome.COMPLETED


def test_a_stopped_task_runs_until_its_end_is_told(trial: Trial) -> None:
    trial.start(trial.endless("a"), trial.endless("b"))

    trial.executor.stop("a", trial.now_us)

    assert trial.executor.running() == {"a", "b"}
    told = trial.ends(1)["a"]
    assert told.outcome == Outcome.STOPPED
    assert told.detail
    assert trial.executor.running() == {"b"}
    assert trial.told() == []


@pytest.mark.parametrize("name", ["never", "over"])
def test_only_what_runs_can_be_stopped(trial: Trial, name: str) -> None:
    trial.start(trial.quick("over"))
    trial.ends(1)

    with pytest.raises(ExecutorError, match=f"'{name}'"):
        trial.executor.stop(name, trial.now_us)


def test_waiting_ends_when_the_time_is_over(trial: Trial) -> None:
    trial.start(trial.endless("a"))
    began = time.monotonic()

    assert not trial.executor.wait(0.02)

    assert time.monotonic() - began >= 0.02


def test_another_thread_may_wait(trial: Trial) -> None:
    trial.start(trial.endless("a"))
    answers: list[bool] = []
    waiting = threading.Thread(target=lambda: answers.append(trial.executor.wait(PATIENCE_S)))
    waiting.start()

    trial.executor.stop("a", trial.now_us)
    waiting.join(2 * PATIENCE_S)

    assert answers == [True]
    assert trial.ends(1)["a"].outcome == Outcome.STOPPED


def test_any_id_will_do(trial: Trial) -> None:
    names = ["a/b", "../a", "ü 火", "x" * 1000, "-", "a b\n"]
    trial.start(*map(trial.quick, names))

    assert {each.outcome for each in trial.ends(len(names)).values()} == {Outcome.COMPLETED}


@pytest.mark.parametrize("stop_running", [True, False])
def test_it_can_be_closed_while_tasks_run(trial: Trial, stop_running: bool) -> None:
    trial.start(trial.endless("a"))

    trial.executor.close(stop_running)
    trial.executor.close(stop_running=True)  # a second time is no mistake


def test_a_completion_tells_which_run_it_is_of(trial: Trial) -> None:
    executor = trial.resumable()
    for attempt in (1, 2, 5):
        executor.start(trial.quick("a"), (0,), trial.now_us, attempt=attempt)
        assert executor.known_runs() == {"a": attempt}
        assert trial.ends(1)["a"].attempt == attempt


def test_an_end_is_told_by_the_next_executor_until_it_is_acknowledged(trial: Trial) -> None:
    trial.resumable().start(trial.quick("a"), (0,), trial.now_us, attempt=3)
    first = trial.ends(1)["a"]
    assert trial.told() == []
    trial.restart()

    assert trial.resumable().known_runs() == {"a": 3}
    again = trial.ends(1)["a"]
    assert (again.outcome, again.attempt) == (first.outcome, 3)
    trial.resumable().acknowledge([again])
    assert trial.resumable().known_runs() == {}
    trial.restart()
    assert trial.resumable().known_runs() == {}
    assert trial.told() == []


def test_only_the_run_that_is_named_is_acknowledged(trial: Trial) -> None:
    executor = trial.resumable()
    executor.start(trial.quick("a"), (0,), trial.now_us, attempt=1)
    old = trial.ends(1)["a"]
    executor.start(trial.endless("a"), (0,), trial.now_us, attempt=2)

    executor.acknowledge([old, Completion("stranger", 0, attempt=1)])

    assert executor.known_runs() == {"a": 2}
    trial.restart()
    trial.executor.stop("a", trial.now_us)
    assert trial.ends(1)["a"].attempt == 2
