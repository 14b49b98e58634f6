"""Tasks that have ended: what is known of them, and that they take no room for ever."""

from __future__ import annotations

from collections.abc import Sized
from pathlib import Path

import pytest

from lepton_rl.core.errors import ConfigError, StateError
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.tasks import Task, TaskState
from lepton_rl.policies.registry import heuristic
from lepton_rl.system import Failures, Monitor, Scheduler, SimulatedExecutor, ended
from lepton_rl.system.ended import EndedTasks, Ending, IdSet
from lepton_rl.system.journal import Journal
from lepton_rl.system.queue import TaskQueue

POOL = Cluster.pool(8)
DONE = Ending(TaskState.COMPLETED, "", 0, 1)
FAILED = Ending(TaskState.FAILED, "it failed", 3, 2)


def job(name: str, **more: object) -> Task:
    values = {"requested_time_s": 1.0, "run_time_s": 1.0, **more}
    return Task(name, {"cpu": 1}, **values)  # type: ignore[arg-type]


def system_of(*tasks: Task, keep_ended: int | None, **options: object) -> Scheduler:
    executor = SimulatedExecutor(Failures({"bad": [0.5]}))
    system = Scheduler(POOL, heuristic("fcfs"), executor, keep_ended=keep_ended, **options)  # type: ignore[arg-type]
    system.submit_all(tasks)
    return system


class TestIdSet:
    def test_it_holds_what_was_added_and_nothing_else(self) -> None:
        ids = IdSet()
        for n in range(20_000):
            ids.add(f"task-{n}")

        assert len(ids) == 20_000
        assert all(f"task-{n}" in ids for n in range(20_000))
        assert not any(f"task-{n}" in ids for n in range(20_000, 30_000))

    def test_it_takes_few_objects(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(ended, "_RECENT", 16)
        ids, most = IdSet(), 0
        for n in range(10_000):
            ids.add(str(n))
            most = max(most, ids.num_objects)

        assert len(ids) == 10_000
        assert most <= 16 + 10  # 10,000 / 16 < 2^10 runs, each at least twice the next


class TestEndedTasks:
    def test_of_the_latest_everything_is_kept_of_others_the_state(self) -> None:
        tasks = EndedTasks(keep=2)
        for name, how in (("a", FAILED), ("b", DONE), ("c", FAILED), ("d", DONE)):
            tasks.add(name, how)

        assert [tasks.get(name) for name in "cd"] == [FAILED, DONE]
        assert tasks.get("a") == Ending(TaskState.FAILED)
        assert [tasks.state_here(name) for name in "ab"] == [TaskState.FAILED, TaskState.COMPLETED]
        assert (tasks.state_here("e"), tasks.get("e")) == (None, None)

    @pytest.mark.parametrize(("keep", "reasons"), [(0, ["", ""]), (None, ["it failed"] * 2)])
    def test_none_and_all(self, keep: int | None, reasons: list[str]) -> None:
        tasks = EndedTasks(keep)
        tasks.add("a", FAILED)
        tasks.add("b", FAILED)

        found = [tasks.get(name) for name in "ab"]
        assert [each.reason for each in found if each] == reasons
        assert [each.state for each in found if each] == [TaskState.FAILED] * 2

    def test_somebody_else_may_know_more(self) -> None:
        tasks = EndedTasks(keep=0)
        tasks.find = {"before": DONE, "a": FAILED}.get
        tasks.add("a", FAILED)

        assert tasks.get("a") == FAILED
        assert tasks.get("before") == DONE
        assert tasks.state_of("before") is TaskState.COMPLETED
        assert tasks.state_here("before") is None

    def test_answers_are_remembered_the_latest_asked_for(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(ended, "_REMEMBERED", 2)
        asked: list[str] = []

        def find(name: str) -> Ending | None:
            asked.append(name)
            return None if name == "unknown" else DONE

        tasks = EndedTasks()
        tasks.find = find
        for name in ("a", "b", "a", "c", "a", "b", "unknown", "unknown"):
            tasks.get(name)

        assert asked == ["a", "b", "c", "b", "unknown", "unknown"]
        assert tasks.num_objects == 2

    @pytest.mark.parametrize("wrong", [-1, 1.5, True, "3"])
    def test_a_number_that_is_none(self, wrong: object) -> None:
        with pytest.raises(ConfigError, match="keep_ended must be a whole number from 0"):
            EndedTasks(wrong)  # type: ignore[arg-type]


class TestScheduler:
    def test_what_is_known_of_a_task_that_is_forgotten(self) -> None:
        system = system_of(job("good"), job("bad"), keep_ended=1)
        system.run()
        assert [record.task_id for record in system.records] == ["good"]
        assert system.reason_of("bad") == ""

        system.submit_all([job("x", depends_on=["good"]), job("y", depends_on=["bad"])])
        system.run()

        states = {name: system.state_of(name).value for name in ("good", "bad", "x", "y")}
        assert states == {"good": "completed", "bad": "failed", "x": "completed", "y": "cancelled"}
        assert system.wait("bad") is TaskState.FAILED
        assert not system.cancel("bad")

    @pytest.mark.parametrize("name", ["good", "bad", "last"])
    def test_an_id_is_taken_for_ever(self, name: str) -> None:
        system = system_of(job("good"), job("bad"), job("last", submit_time_s=9), keep_ended=1)
        system.run()

        with pytest.raises(StateError, match=f"'{name}' was submitted before and is"):
            system.submit(job(name))

    def test_a_hint_names_only_tasks_that_are_unfinished(self) -> None:
        system = system_of(job("train-1"), keep_ended=None)
        system.run()
        system.submit(job("train-22", submit_time_s=99))

        with pytest.raises(ConfigError, match="did you mean 'train-22'"):
            system.submit(job("x", depends_on=["train-2"]))

    def test_one_setting_for_queue_and_monitor(self) -> None:
        assert system_of(keep_ended=3).monitor.keep_ended == 3
        monitor = Monitor(POOL, keep_ended=0)
        system = system_of(job("bad"), keep_ended=None, monitor=monitor)
        system.run()

        assert system.monitor is monitor
        assert (system.state_of("bad"), system.reason_of("bad")) == (TaskState.FAILED, "")
        with pytest.raises(ConfigError, match="the monitor keeps 0 and the scheduler was told 5"):
            system_of(keep_ended=5, monitor=monitor)

    def test_a_journal_knows_why(self, tmp_path: Path) -> None:
        why = "simulated failure (exit code 1)"
        with Journal.open(tmp_path / "j.db") as journal:
            first = system_of(job("bad"), job("good"), keep_ended=0, journal=journal)
            first.run()
            assert (first.state_of("bad"), first.reason_of("bad")) == (TaskState.FAILED, why)
        with Journal.open(tmp_path / "j.db") as journal:
            second = system_of(keep_ended=0, journal=journal)
            assert (second.state_of("bad"), second.reason_of("bad")) == (TaskState.FAILED, why)
            assert second.state_of("good") is TaskState.COMPLETED
            assert not second.cancel("good")
            with pytest.raises(StateError, match="no task 'other' was submitted"):
                second.state_of("other")


def objects_in(queue: TaskQueue) -> int:
    """Everything that the queue holds in its containers, and in those of its parts."""
    held = [each for each in vars(queue).values() if isinstance(each, Sized)]
    nested = sum(len(each) for each in queue._dependents.values())
    return sum(len(each) for each in held) + nested + queue.ended.num_objects


@pytest.mark.parametrize(
    ("count", "keep"), [(6_000, 100), pytest.param(200_000, 1_000, marks=pytest.mark.slow)]
)
def test_a_scheduler_that_lives_for_long_stays_small(count: int, keep: int) -> None:
    """Tasks come and go; what is held depends on how many are there, not on how many there were."""
    system = system_of(keep_ended=keep)
    together, most = 100, 0
    for first in range(0, count, together):
        begin_s = system.now_s + 1
        tasks = [
            job(f"t{n}", submit_time_s=begin_s, max_retries=n % 2)
            for n in range(first, first + together)
        ]
        system.submit_all(tasks)
        far = job(f"far-{first}", submit_time_s=1e9)
        needy = job(f"needy-{first}", depends_on=[far.id, f"t{first}"])
        system.submit_all([far, needy])
        system.run_until(begin_s + together)
        system.cancel(far.id)
        most = max(most, objects_in(system.queue))

    ids = count + 2 * count // together
    assert system.queue.num_unfinished == 0
    assert len(system.queue) == system.monitor.outcomes.total() == ids
    assert len(system.records) == keep
    room = system._tables.capacity + ended._RECENT * 2 + 64
    assert most <= keep + together + room
    assert system.state_of("t0") is TaskState.COMPLETED
    with pytest.raises(StateError, match="'t0' was submitted before and is completed"):
        system.submit(job("t0"))


def test_what_is_cancelled_before_it_arrives_leaves_nothing() -> None:
    system = system_of(job("stays", submit_time_s=1e9), keep_ended=0)
    for n in range(1_000):
        system.submit_all(
            [job(f"t{n}", submit_time_s=1e8), job(f"u{n}", depends_on=["stays", f"t{n}"])]
        )
        system.cancel(f"t{n}")
        assert system.state_of(f"u{n}") is TaskState.CANCELLED

    assert len(system.queue._arrivals) <= 2 + 64 + 1
    assert system.queue._dependents.get("stays", {}) == {}
    assert list(system.queue._dependents) in ([], ["stays"])
