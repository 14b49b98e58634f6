"""An executor that cannot stop a task, tell what has ended, or forget: survived, or raised."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import pytest

from lepton_rl.core.nodes import Cluster
from lepton_rl.core.tasks import Task, TaskState
from lepton_rl.policies.registry import heuristic
from lepton_rl.system import Completion, Scheduler, SimulatedExecutor


class Failing(SimulatedExecutor):
    """Raises at the first call of the method that a test names."""

    def __init__(self, at: str = "") -> None:
        super().__init__()
        self.at = at

    def _pass(self, method: str) -> None:
        if method == self.at:
            self.at = ""
            raise OSError("connection lost")

    def stop(self, task_id: str, now_us: int) -> None:
        self._pass("stop")
        super().stop(task_id, now_us)

    def completions(self, now_us: int) -> list[Completion]:
        self._pass("completions")
        return super().completions(now_us)


class FailingResumable(Failing):
    """Its runs have attempts, and ends are acknowledged."""

    def start(
        self, task: Task, nodes: tuple[int, ...], now_us: int, *, attempt: int | None = None
    ) -> None:
        super().start(task, nodes, now_us)

    def known_runs(self) -> dict[str, int | None]:
        return dict.fromkeys(self.running())

    def acknowledge(self, ends: Sequence[Completion]) -> None:
        self._pass("acknowledge")


def system_of(executor: SimulatedExecutor, *, strict: bool) -> Scheduler:
    system = Scheduler(Cluster.pool(4), heuristic("fcfs"), executor, strict=strict)
    system.submit_all([Task(name, {"cpu": 4}, 10, run_time_s=10) for name in ("a", "b")])
    system.run_until(1)
    return system


@pytest.mark.parametrize("at", ["completions", "acknowledge"])
def test_ends_that_cannot_be_heard_or_forgotten_are_an_incident(at: str) -> None:
    executor = FailingResumable()
    system = system_of(executor, strict=False)
    executor.at = at
    system.run()
    assert system.monitor.incidents == {"executor-error": 1}
    assert [system.state_of(name) for name in "ab"] == [TaskState.COMPLETED] * 2


def test_a_task_that_cannot_be_stopped_runs_to_its_end_and_has_completed() -> None:
    system = system_of(Failing("stop"), strict=False)
    assert system.cancel("a")
    assert system.state_of("a") is TaskState.RUNNING
    system.run()
    assert system.monitor.incidents == {"executor-error": 1}
    assert system.state_of("a") is TaskState.COMPLETED
    assert system.state_of("b") is TaskState.COMPLETED


@pytest.mark.parametrize("at", ["stop", "completions", "acknowledge"])
def test_a_strict_scheduler_lets_the_error_out(at: str) -> None:
    executor = FailingResumable()
    system = system_of(executor, strict=True)
    executor.at = at
    act = partial(system.cancel, "a") if at == "stop" else system.run
    with pytest.raises(OSError, match="connection lost"):
        act()
