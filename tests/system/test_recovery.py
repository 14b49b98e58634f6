"""A scheduler that takes up its work from a journal: nothing is lost, nothing runs twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from lepton_rl.core.errors import StateError
from lepton_rl.core.nodes import Cluster, Node, NodeState
from lepton_rl.core.policy import Decision, Preempt
from lepton_rl.core.tables import View
from lepton_rl.core.tasks import Task, TaskState
from lepton_rl.policies.registry import heuristic
from lepton_rl.system import Failures, Scheduler, SimulatedExecutor
from lepton_rl.system.journal import Journal, Phase

CLUSTER = Cluster((Node("a", {"cpu": 4, "gpu": 2}), Node("b", {"cpu": 4, "gpu": 2})))
S = 1_000_000


def job(name: str, cpu: float = 1, run_s: float = 10, **more: object) -> Task:
    demand = {"cpu": cpu, **more.pop("demand", {})}  # type: ignore[dict-item]
    return Task(name, demand, run_s, run_time_s=run_s, **more)  # type: ignore[arg-type]


class Surviving(SimulatedExecutor):
    """Lives on when its scheduler dies."""

    def close(self, stop_running: bool) -> None: ...


def system_of(
    journal: Journal, executor: SimulatedExecutor | None = None, cluster: Cluster = CLUSTER
) -> Scheduler:
    return Scheduler(cluster, heuristic("fcfs"), executor, journal=journal)


def phases(journal: Journal) -> dict[str, Phase]:
    return {life.task.id: life.phase for life in journal.recover().tasks}


def test_a_whole_life_is_written_down(tmp_path: Path) -> None:
    class PreemptsOnce:
        name = "preempts-once"
        done = False

        def reset(self) -> None:
            self._inner = heuristic("fcfs")

        def decide(self, view: View) -> Decision:
            if view.status["now_us"][0] == 3 * S and not self.done:
                self.done = True
                return Preempt(int(view.running[0, 0]))
            return self._inner.decide(view)

    with Journal.open(tmp_path / "j.db") as journal:
        failing = SimulatedExecutor(Failures({"fails": [1, 1], "retried": [1]}))
        system = Scheduler(CLUSTER, PreemptsOnce(), failing, journal=journal)
        system.submit_all(
            [
                job("preempted", 4, preemptible=True, checkpoint_interval_s=1),
                job("later", 1, submit_time_s=3),
                job("fails", max_retries=1),
                job("retried", max_retries=1),
                job("after", depends_on=["fails"]),
                job("cancelled", submit_time_s=50),
            ]
        )
        system.run_until(20)
        system.cancel("cancelled")
        system.fail_node("a")
        system.run()
        told = {life.task.id: life for life in journal.history()}

    assert {name: life.outcome.value for name, life in told.items() if life.outcome} == {
        "preempted": "completed", "later": "completed", "fails": "failed",
        "retried": "completed", "after": "cancelled", "cancelled": "cancelled",
    }  # fmt: skip
    assert (told["preempted"].preemptions, told["preempted"].kept_work_s) == (1, 3)
    assert (told["retried"].failures, told["fails"].exit_code) == (1, 1)
    details = [told[name].detail for name in ("fails", "after", "cancelled", "later")]
    assert details == [
        "simulated failure (exit code 1)", "it depends on task 'fails', which is failed",
        "cancelled by a user", "",
    ]  # fmt: skip


def test_what_was_pending_is_pending_and_what_ran_is_adopted_with_its_cards(tmp_path: Path) -> None:
    executor = Surviving()
    with Journal.open(tmp_path / "j.db") as journal:
        first = system_of(journal, executor)
        first.submit_all(
            [
                job("gang", 3, demand={"gpu": 0.6}, num_replicas=2),
                job("other", 1, demand={"gpu": 0.6}),
                job("waits", 4),
                job("needs", depends_on=["gang"]),
                job("ahead", submit_time_s=40),
            ]
        )
        first.run_until(4)
        first.drain("b")
        cards = first.pool.cards_held(first.queue.local_of("other"))
        free = first.pool.free()

    with Journal.open(tmp_path / "j.db") as journal:
        second = system_of(journal, executor)
        assert second.pool.free() == free
        assert second.pool.cards_held(second.queue.local_of("other")) == cards
        assert second.node_states()["b"] is NodeState.DRAINING
        second.run()
        assert journal.recover().num_finished == 5

    ends = {record.task_id: record.end_us for record in second.records}
    assert ends["gang"] == ends["other"] == 10 * S
    assert ends == {
        "gang": 10 * S, "other": 10 * S, "waits": 20 * S, "needs": 30 * S, "ahead": 50 * S,
    }  # fmt: skip


def test_what_the_executor_does_not_know_runs_again(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "j.db") as journal:
        first = system_of(journal)
        first.submit(job("a"))
        first.run_until(4)
    with Journal.open(tmp_path / "j.db") as journal:
        second = system_of(journal)
        assert phases(journal) == {"a": Phase.PENDING}
        second.run()
        life = journal.find("a")

    assert second.state_of("a") is TaskState.COMPLETED
    assert life is not None
    assert (life.attempt, life.failures) == (2, 0)


def test_ended_tasks_are_remembered_by_those_that_depend_on_them(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "j.db") as journal:
        first = system_of(journal, SimulatedExecutor(Failures({"bad": [1]})))
        first.submit_all([job("good"), job("bad"), job("x", depends_on=["good"], submit_time_s=99)])
        first.run_until(50)
        journal.compact()
    with Journal.open(tmp_path / "j.db") as journal:
        second = system_of(journal)
        second.submit(job("y", depends_on=["good"]))
        second.submit(job("z", depends_on=["bad"]))
        second.run()
        with pytest.raises(StateError, match="'good' was submitted before"):
            second.submit(job("good"))

    states = {name: second.state_of(name).value for name in "xyz"}
    assert states == {"x": "completed", "y": "completed", "z": "cancelled"}


def test_a_cancellation_is_not_forgotten(tmp_path: Path) -> None:
    class Deaf(Surviving):
        def stop(self, task_id: str, now_us: int) -> None: ...

    executor = Deaf()
    with Journal.open(tmp_path / "j.db") as journal:
        first = system_of(journal, executor)
        first.submit(job("a"))
        first.run_until(1)
        first.cancel("a")
    executor.__class__ = Surviving
    with Journal.open(tmp_path / "j.db") as journal:
        second = system_of(journal, executor)
        second.run()

    assert second.state_of("a") is TaskState.CANCELLED


def test_a_task_that_runs_on_a_node_that_is_gone(tmp_path: Path) -> None:
    executor = Surviving()
    with Journal.open(tmp_path / "j.db") as journal:
        first = system_of(journal, executor)
        first.submit(job("a"))
        first.run_until(1)
    with Journal.open(tmp_path / "j.db") as journal:
        only_b = Cluster(CLUSTER.nodes[1:])
        with pytest.raises(StateError, match="'a' still runs on node 'a'"):
            system_of(journal, executor, only_b)


def test_a_live_scheduler_goes_on(tmp_path: Path) -> None:
    with Journal.open(tmp_path / "j.db") as journal:
        first = system_of(journal)
        first.start()
        first.submit_all([job(f"t{n}", 4, 0.05) for n in range(6)])
        first.wait("t1", 30)
        first.stop(drain=False)
    with Journal.open(tmp_path / "j.db") as journal:
        second = system_of(journal)
        second.start()
        assert second.join(30)
        second.stop()
        lives = list(journal.history())

    assert sorted(life.task.id for life in lives) == [f"t{n}" for n in range(6)]
    assert all(life.outcome == "completed" for life in lives)
