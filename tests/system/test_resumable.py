"""Scheduler, journal and an executor that outlives them: attempts, ends told again, recovery."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lepton_rl.core.errors import InfeasibleTaskError, JournalError
from lepton_rl.core.nodes import Cluster, Node, NodeState
from lepton_rl.core.policy import Decision, Preempt
from lepton_rl.core.tables import View
from lepton_rl.core.tasks import Task, TaskState
from lepton_rl.integrations.local import LocalExecutor, LocalSettings
from lepton_rl.policies.registry import heuristic
from lepton_rl.system import Completion, MonotonicClock, Outcome, Scheduler, SimulatedExecutor
from lepton_rl.system.journal import (
    CancelRequested,
    Ended,
    Journal,
    JournalEvent,
    NodeChanged,
    Phase,
    PoolChanged,
    Requeued,
    Starting,
    StopRequested,
    Submitted,
)
from tests.integrations.commands import until

S = 1_000_000
NODES = (Node("a", {"cpu": 4, "gpu": 2}), Node("b", {"cpu": 4, "gpu": 2}))
CLUSTER = Cluster(NODES)


def job(name: str, cpu: float = 1, **more: Any) -> Task:
    return Task(name, {"cpu": cpu}, 10, run_time_s=10, **more)


class Remembering:
    """Runs end when a test says so, and ends are told until they are acknowledged.

    It outlives its schedulers: `reborn` is what a new executor of the same place would be.
    """

    def __init__(self) -> None:
        self.alive: dict[str, int] = {}
        self.unacknowledged: list[Completion] = []
        self.told: list[Completion] = []
        self.calls: list[tuple[Any, ...]] = []

    def reborn(self) -> Remembering:
        self.told = []
        return self

    def start(
        self, task: Task, nodes: tuple[int, ...], now_us: int, *, attempt: int | None = None
    ) -> None:
        assert task.id not in self.alive, "runs twice at once"
        assert attempt is not None
        self.calls.append(("start", task.id, attempt))
        self.alive[task.id] = attempt

    def stop(self, task_id: str, now_us: int) -> None:
        self.calls.append(("stop", task_id))

    def end(
        self, task_id: str, end_us: int = 5 * S, outcome: Outcome = Outcome.COMPLETED
    ) -> Completion:
        end = Completion(task_id, end_us, outcome, 0, attempt=self.alive.pop(task_id))
        self.unacknowledged.append(end)
        return end

    def completions(self, now_us: int) -> list[Completion]:
        news = [each for each in self.unacknowledged if each not in self.told]
        self.told += news
        return news

    def acknowledge(self, ends: Sequence[Completion]) -> None:
        self.calls += [("acknowledge", end.task_id, end.attempt) for end in ends]
        runs = {(end.task_id, end.attempt) for end in ends}
        self.unacknowledged = [
            each for each in self.unacknowledged if (each.task_id, each.attempt) not in runs
        ]

    def known_runs(self) -> dict[str, int | None]:
        return {**{each.task_id: each.attempt for each in self.unacknowledged}, **self.alive}

    def running(self) -> frozenset[str]:
        return frozenset(self.known_runs())

    def next_completion_us(self) -> int | None:
        return min(
            (end.end_us for end in self.unacknowledged if end not in self.told), default=None
        )

    def wait(self, timeout_s: float) -> bool:
        return False

    def close(self, stop_running: bool) -> None: ...


@pytest.fixture
def executor() -> Remembering:
    return Remembering()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


def system_of(journal: Journal, executor: Any, **more: Any) -> Scheduler:
    return Scheduler(CLUSTER, more.pop("policy", heuristic("fcfs")), executor, journal=journal)


def batches_of(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> list[list[JournalEvent]]:
    """The batches that are written from now on."""
    written: list[list[JournalEvent]] = []
    append = journal.append

    def watch(events: Sequence[JournalEvent]) -> None:
        written.append(list(events))
        append(events)

    monkeypatch.setattr(journal, "append", watch)
    return written


def killed(place: Path, executor: Remembering, act: Callable[[Scheduler], None]) -> None:
    """A scheduler that is killed after it has done something."""
    with Journal.open(place) as journal:
        system = system_of(journal, executor)
        act(system)
        system._recorder.beat()
    executor.reborn()


def run_to(seconds: float, *tasks: Task) -> Callable[[Scheduler], None]:
    def act(system: Scheduler) -> None:
        system.submit_all(tasks)
        system.run_until(seconds)

    return act


# --- Attempts


def test_the_executor_is_told_the_attempt_and_its_ends_are_acknowledged_when_durable(
    place: Path, executor: Remembering, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal.open(place) as journal:
        system = system_of(journal, executor)
        system.submit(job("a", max_retries=1))
        system.run_until(1)
        executor.end("a", 2 * S, Outcome.FAILED)
        system.run_until(3)
        executor.end("a", 4 * S)
        monkeypatch.setattr(journal, "append", refuse)
        with pytest.raises(JournalError, match="disk full"):
            system.run()
        monkeypatch.undo()

        assert executor.calls == [
            ("start", "a", 1), ("acknowledge", "a", 1), ("start", "a", 2),
        ]  # fmt: skip
        system._recorder.beat()  # the disk has room again: what has happened is written now
        assert journal.find("a").outcome == "completed"  # type: ignore[union-attr]


def refuse(events: object) -> None:
    raise JournalError("disk full")


def test_a_retold_end_of_an_older_attempt_is_not_taken_for_that_of_the_present_one(
    place: Path, executor: Remembering
) -> None:
    """The first scheduler is killed after it has written the end, before it acknowledges it."""

    def fail_once(system: Scheduler) -> None:
        run_to(1, job("a", max_retries=1))(system)
        old = executor.end("a", 2 * S, Outcome.FAILED)
        system.run_until(3)
        executor.unacknowledged.append(old)

    killed(place, executor, fail_once)
    with Journal.open(place) as journal:
        second = system_of(journal, executor)
        second.run_until(20)

        assert second.state_of("a") is TaskState.RUNNING
        assert executor.unacknowledged == []
        assert not second.monitor.incidents
        executor.end("a", 21 * S)
        second.run()
        assert second.state_of("a") is TaskState.COMPLETED


def test_an_end_that_was_written_but_not_acknowledged_is_no_news(
    place: Path, executor: Remembering
) -> None:
    def complete(system: Scheduler) -> None:
        run_to(1, job("a"))(system)
        end = executor.end("a", 2 * S)
        system.run()
        executor.unacknowledged.append(end)

    killed(place, executor, complete)
    with Journal.open(place) as journal:
        second = system_of(journal, executor)
        second.submit(job("b", submit_time_s=6))
        second.run_until(7)

        assert executor.calls[-2:] == [("acknowledge", "a", 1), ("start", "b", 1)]
        assert not second.monitor.incidents


def test_only_the_present_run_is_adopted(place: Path, executor: Remembering) -> None:
    """Killed after Starting of attempt 2 was written: the executor knows of attempt 1 only."""
    killed(place, executor, run_to(1, job("a", max_retries=1)))
    old = executor.end("a", 2 * S, Outcome.FAILED)
    with Journal.open(place) as journal:
        journal.append([Requeued(2 * S, "a", 1, "failed", 1), Starting(3 * S, "a", 2, ("a",))])
    with Journal.open(place) as journal:
        second = system_of(journal, executor)
        assert second.state_of("a") is TaskState.SUBMITTED
        second.run_until(10)

        assert executor.calls[-1] == ("start", "a", 3)
        assert old not in executor.unacknowledged
        assert second.pool.loads() == {"a": 0.25, "b": 0}


def test_an_end_before_the_start_is_moved_to_it(place: Path, executor: Remembering) -> None:
    with Journal.open(place) as journal:
        system = system_of(journal, executor)
        system.submit(job("a", submit_time_s=8))
        system.run_until(8)
        executor.end("a", 3 * S)
        system.run()

        assert system.records[0].end_us == 8 * S


def test_ends_of_others_are_not_forgotten_while_somebody_is_stopped(
    place: Path, executor: Remembering
) -> None:
    """They wait for their turn; whoever is killed before it hears of them again."""

    def cancel(system: Scheduler) -> None:
        run_to(1, job("ended"), job("unwanted"))(system)
        system.cancel("unwanted")
        executor.end("ended", 1 * S)
        executor.end("unwanted", 1 * S, Outcome.STOPPED)
        system._settle_stopped()

    killed(place, executor, cancel)

    assert [end.task_id for end in executor.unacknowledged] == ["ended"]
    with Journal.open(place) as journal:
        second = system_of(journal, executor)
        second.run()
        assert second.state_of("ended") is TaskState.COMPLETED
        assert executor.unacknowledged == []


def test_what_happens_at_one_instant_is_one_batch(
    place: Path, executor: Remembering, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal.open(place) as journal:
        system = system_of(journal, executor)
        run_to(1, *(job(f"t{n}") for n in range(6)))(system)
        system._recorder.beat()
        for n in range(6):
            executor.end(f"t{n}")
        batches = batches_of(journal, monkeypatch)
        system.run()

    assert [len(batch) for batch in batches] == [6]


def test_a_start_that_could_not_be_written_did_not_happen(
    place: Path, executor: Remembering, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal.open(place) as journal:
        system = system_of(journal, executor)
        system.submit(job("a"))
        monkeypatch.setattr(journal, "append", refuse)
        with pytest.raises(JournalError, match="disk full"):
            system.run_until(1)
        assert executor.calls == []
        assert system.pool.loads() == {"a": 0, "b": 0}
        monkeypatch.undo()
        system.drain("b")
        system.run_until(2)

        assert executor.calls == [("start", "a", 1)]


# --- Recovery


def test_recovery_is_one_batch_and_tells_nobody_before_it_is_durable(
    place: Path, executor: Remembering, monkeypatch: pytest.MonkeyPatch
) -> None:
    tasks = [job(name) for name in ("adopted", "lost", "ended", "unwanted", "pending")]
    tasks += [job("needs", depends_on=["pending"])]
    killed(place, executor, run_to(1, *tasks[:4]))
    with Journal.open(place) as journal:
        later = [Submitted(1 * S, task) for task in tasks[4:]]
        starting = Starting(1 * S, "pending", 1, ("b",))
        journal.append([*later, starting, *cancel_requests("unwanted")])
    del executor.alive["lost"]
    executor.end("ended")
    executor.calls.clear()

    for _ in range(2):  # killed just before the batch is durable
        with Journal.open(place) as journal:
            before = journal.recover()
            monkeypatch.setattr(journal, "append", refuse)
            with pytest.raises(JournalError, match="disk full"):
                Scheduler(Cluster((*NODES, Node("c", {"cpu": 1}))), heuristic("fcfs"), executor,
                          journal=journal)  # fmt: skip
            monkeypatch.undo()
            assert journal.recover() == before
            assert executor.calls == []
    with Journal.open(place) as journal:
        batches = batches_of(journal, monkeypatch)
        second = system_of(journal, executor)

        assert [len(batch) for batch in batches] == [2]  # lost, pending
        assert executor.calls == [("stop", "unwanted")]
        phases = {life.task.id: life.phase for life in journal.recover().tasks}
        assert phases == {
            "adopted": Phase.RUNNING, "lost": Phase.PENDING, "ended": Phase.RUNNING,
            "unwanted": Phase.RUNNING, "pending": Phase.PENDING, "needs": Phase.PENDING,
        }  # fmt: skip
        assert [task.id for task in second.queue.running] == ["adopted", "ended", "unwanted"]


def cancel_requests(*names: str) -> list[JournalEvent]:
    return [CancelRequested(1 * S, name) for name in names]


def test_killed_before_those_that_depend_on_it_were_cancelled(
    place: Path, executor: Remembering
) -> None:
    killed(place, executor, run_to(1, job("a"), job("b", depends_on=["a"])))
    executor.alive.clear()
    with Journal.open(place) as journal:
        journal.append([Ended(2 * S, "a", 1, "failed", 1)])
    with Journal.open(place) as journal:
        second = system_of(journal, executor)

        assert second.state_of("b") is TaskState.CANCELLED
        assert journal.recover().tasks == ()


class PreemptsFirst:
    name = "preempts-first"
    done = False

    def reset(self) -> None:
        self._inner = heuristic("fcfs")

    def decide(self, view: View) -> Decision:
        if not self.done and view.status["num_running"][0]:
            self.done = True
            return Preempt(int(view.running[0, 0]))
        return self._inner.decide(view)


@pytest.mark.parametrize("why", ["preempted", "node lost", "node lost, not told"])
def test_killed_while_a_task_was_being_stopped_it_has_not_failed(
    place: Path, executor: Remembering, why: str
) -> None:
    task = job("a", preemptible=True, checkpoint_interval_s=1)
    with Journal.open(place) as journal:
        policy = PreemptsFirst() if why == "preempted" else heuristic("fcfs")
        first = system_of(journal, executor, policy=policy)
        first.submit_all([task, job("later", submit_time_s=3)])
        first.run_until(3)
        if why == "node lost":
            first.fail_node("a")
    if why == "node lost, not told":
        with Journal.open(place) as journal:
            journal.append([NodeChanged(4 * S, "a", NodeState.DOWN)])
    executor.reborn()
    executor.calls.clear()
    with Journal.open(place) as journal:
        second = system_of(journal, executor)
        assert ("stop", "a") in executor.calls
        executor.end("a", 6 * S, Outcome.STOPPED)
        second.run_until(7)
        life = journal.find("a")

    assert life is not None
    assert (life.attempt, life.failures, life.stopping) == (2, 0, None)
    assert (life.kept_work_s, life.preemptions) == (6, int(why == "preempted"))


def test_a_clock_that_was_set_back_does_not_make_tasks_wait(
    place: Path, executor: Remembering
) -> None:
    """The first scheduler ran in a time of day that was an hour ahead."""
    hour_us = 3600 * S
    now_us = 10**15
    with Journal.open(place) as journal:
        first = system_of(journal, executor)
        first.start(MonotonicClock(now_us + hour_us))
        first.submit(job("runs"))
        until(lambda: first.state_of("runs") is TaskState.RUNNING)
        first.submit(job("waits", 4, num_replicas=2))
        first.stop(drain=False, stop_running=False)
        ahead_us = journal.recover().latest_us
    executor.reborn()
    with Journal.open(place) as journal:
        second = system_of(journal, executor)
        assert second.now_us >= ahead_us >= now_us + hour_us
        executor.end("runs", now_us)
        second.run_until(second.now_s + 1)

        assert second.state_of("waits") is TaskState.RUNNING
        assert second.records[0].end_us is not None
        assert second.records[0].end_us >= now_us + hour_us


def test_the_latest_time_survives_compaction(place: Path) -> None:
    with Journal.open(place) as journal:
        journal.append([Submitted(7 * S, job("a", submit_time_s=100)), Submitted(3 * S, job("b"))])
        journal.append([PoolChanged(2 * S, NODES)])
        journal.compact()
        assert journal.recover().latest_us == 7 * S
    with Journal.open(place) as journal:
        assert journal.recover().latest_us == 7 * S


def test_the_reason_for_a_stop_is_durable_before_the_executor_is_told(
    place: Path, executor: Remembering, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal.open(place) as journal:
        system = system_of(journal, executor)
        run_to(1, job("a"))(system)
        executor.calls.clear()
        batches = batches_of(journal, monkeypatch)

        def stop(task_id: str, now_us: int) -> None:
            assert [type(batch[-1]) for batch in batches][-1] is StopRequested

        monkeypatch.setattr(executor, "stop", stop)
        system.fail_node("a")

        assert [str(life.stopping) for life in journal.recover().tasks] == ["node-lost"]


# --- Cards


def test_replicas_see_their_cards_also_beside_adopted_tasks(tmp_path: Path) -> None:
    """Two tasks of one card each; the scheduler is killed in between."""
    script = (
        'echo "[$CUDA_VISIBLE_DEVICES]" > $LEPTON_TASK_ID; while [ ! -e go ]; do sleep 0.02; done'
    )
    cluster = Cluster((Node("a", {"cpu": 8, "gpu": 2}),))

    def task(name: str, gpu: float) -> Task:
        demand = {"cpu": 1, "gpu": gpu} if gpu else {"cpu": 1}
        command = ("/bin/sh", "-c", script)
        return Task(name, demand, 60, command=command, working_directory=str(tmp_path))

    def live(journal: Journal) -> tuple[Scheduler, LocalExecutor]:
        executor = LocalExecutor(tmp_path / "run", LocalSettings(stop_grace_s=0.1))
        system = Scheduler(cluster, heuristic("fcfs"), executor, journal=journal)
        system.start()
        return system, executor

    with Journal.open(tmp_path / "j.db") as journal:
        first, _ = live(journal)
        first.submit_all([task("one", 1), task("none", 0)])
        until(lambda: len(first.queue.running) == 2)
        first.stop(drain=False, stop_running=False)
    with Journal.open(tmp_path / "j.db") as journal:
        second, _ = live(journal)
        second.submit_all([task("half", 0.5), task("other half", 0.5), task("waits", 1)])
        until(lambda: len(second.queue.running) == 4)
        (tmp_path / "go").touch()
        assert second.join(60)
        second.stop()

    seen = {name: (tmp_path / name).read_text() for name in ("one", "none", "half")}
    assert seen == {"one": "[0]\n", "none": "[]\n", "half": "[1]\n"}
    assert (tmp_path / "waits").read_text() in ("[0]\n", "[1]\n")


def test_where_there_are_no_cards_none_are_hidden(place: Path) -> None:
    told: list[object] = []

    class Seeing(Remembering):
        uses_cards = True

        def start(self, task: Task, nodes: tuple[int, ...], now_us: int, **more: Any) -> None:
            told.append(more)

    system = Scheduler(Cluster.pool(4), heuristic("fcfs"), Seeing())
    system.submit(job("a"))
    system.run_until(1)

    assert told == [{"attempt": 1}]


def test_an_attempt_from_the_future_is_foreign(executor: Remembering) -> None:
    system = Scheduler(CLUSTER, heuristic("fcfs"), executor, strict=False)
    system.submit(job("a"))
    system.run_until(1)
    executor.unacknowledged.append(replace(executor.end("a"), attempt=2))
    executor.unacknowledged.pop(0)
    system.run_until(6)

    assert system.state_of("a") is TaskState.RUNNING
    assert system.monitor.incidents == {"foreign-completion": 1}


def test_a_list_of_tasks_is_one_batch_and_a_bad_one_keeps_those_before_it(
    place: Path, executor: Remembering, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Journal.open(place) as journal:
        system = system_of(journal, executor)
        batches = batches_of(journal, monkeypatch)
        system.submit_all([job(f"t{n}") for n in range(5)])
        assert [len(batch) for batch in batches] == [5]
        with pytest.raises(InfeasibleTaskError, match="'big'"):
            system.submit_all([job("before"), job("big", 99), job("after")])

        names = [life.task.id for life in journal.recover().tasks]
        assert names == ["t0", "t1", "t2", "t3", "t4", "before"]
        assert [entry.task.id for entry in system.queue.unfinished()] == names


def test_an_end_that_is_told_twice_while_it_waits_for_its_turn_is_counted_and_ignored() -> None:
    """By an executor that does not count attempts; one event at a time."""

    class Twice(SimulatedExecutor):
        def completions(self, now_us: int) -> list[Completion]:
            return [each for end in super().completions(now_us) for each in (end, end)]

    policy = heuristic("fcfs")
    system = Scheduler(CLUSTER, policy, Twice(), strict=False, event_batching="single")
    system.submit_all([job("a"), job("b"), job("c", submit_time_s=30)])
    system.run()

    assert {record.outcome for record in system.records} == {TaskState.COMPLETED}
    assert system.monitor.incidents == {"foreign-completion": 3}
