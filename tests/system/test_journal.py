"""Journal: what comes back is what was written, in its order, whole batches only."""

from __future__ import annotations

import random
import signal
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, event

from lepton_rl.core.errors import ConfigError, StateError
from lepton_rl.core.nodes import Node
from lepton_rl.core.tasks import Task
from lepton_rl.system.journal import (
    Cancelled,
    CancelRequested,
    Ended,
    Journal,
    JournalEvent,
    JournalSettings,
    NodeChanged,
    NodeState,
    Outcome,
    Phase,
    PoolChanged,
    Preempted,
    Recovered,
    Requeued,
    Started,
    Starting,
    Submitted,
    TaskLife,
    Why,
)
from lepton_rl.system.journal.codec import from_json, to_json
from tests.system.journal_processes import FAST, PROCESSES, append_and_die


def task(name: str, **more: Any) -> Task:
    return Task(name, {"cpu": 1}, 10.0, **more)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "journal.sqlite"


@pytest.fixture
def journal(place: Path) -> Iterator[Journal]:
    with Journal.open(place, FAST) as journal:
        yield journal


def reopened(journal: Journal) -> Recovered:
    """What another process would recover."""
    return recovered_from(Path(journal.name.removeprefix("sqlite:///")))


def recovered_from(place: Path) -> Recovered:
    with Journal.open(place, read_only=True) as reader:
        return reader.recover()


def started(name: str = "a", attempt: int = 1) -> list[JournalEvent]:
    return [Starting(2, name, attempt, ("n",)), Started(3, name, attempt)]


# --- Round trips

texts = st.text(st.characters(exclude_categories=()), max_size=20)  # surrogates and NUL as well
names = texts.filter(bool)
amounts = st.one_of(st.integers(0, 10**30), st.floats(0, allow_infinity=False, allow_nan=False))
seconds = st.floats(1e-9, 1e11) | st.integers(1, 10**11)
tasks = st.builds(
    Task,
    id=names,
    demand=st.dictionaries(texts, amounts, min_size=1).filter(lambda d: any(d.values())),
    requested_time_s=seconds,
    submit_time_s=st.floats(0, 1e11),
    run_time_s=st.none() | seconds,
    num_replicas=st.integers(1, 1_000_000),
    urgency=st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(2**60), 2**60),
    critical=st.booleans(),
    required_labels=st.frozensets(names, max_size=3),
    device_models=st.frozensets(names, max_size=3),
    exclusive_node=st.booleans(),
    tenant=texts,
    depends_on=st.lists(names, max_size=3).map(tuple),
    max_retries=st.integers(0, 100),
    preemptible=st.booleans(),
    checkpoint_interval_s=st.none() | seconds,
    command=st.lists(names, max_size=3).map(tuple),
    environment=st.dictionaries(names, texts, max_size=2),
)


@given(tasks)
def test_a_task_comes_back_exactly(original: Task) -> None:
    text = to_json(original)
    copy = from_json(text)

    assert copy == original
    assert text.isascii()
    for field in fields(Task):
        ours, theirs = getattr(original, field.name), getattr(copy, field.name)
        assert type(ours) is type(theirs)
        assert repr(ours) == repr(theirs) or isinstance(ours, frozenset)  # 1 is not 1.0, 0 not -0


def test_each_field_of_a_task_is_written() -> None:
    written = set(from_json(to_json(task("a")).replace('{"task":', '{"map":')))

    assert written == {"v", *(field.name for field in fields(Task))}


def test_numbers_of_numpy_become_plain_ones() -> None:
    original = Task("a", {"cpu": np.float32(0.1), "gpu": np.int64(3)}, np.float64(3), critical=True)

    copy = from_json(to_json(original))

    assert copy == original
    assert copy.demand == {"cpu": float(np.float32(0.1)), "gpu": 3}
    assert {type(amount) for amount in copy.demand.values()} == {float, int}


def test_what_json_cannot_hold_is_refused_and_nothing_is_written(journal: Journal) -> None:
    odd = Task("b", {"cpu": Fraction(1, 3)}, 10.0)

    with pytest.raises(ConfigError, match=r"a float holds exactly.*Fraction\(1, 3\)"):
        journal.append([Submitted(0, task("a")), Submitted(0, odd)])
    assert journal.last_seq == 0
    assert reopened(journal).tasks == ()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1]",
        '{"task":{"v":2,"id":"a","demand":{"map":{"cpu":1}},"requested_time_s":1}}',
        '{"task":{"v":1,"id":"a","demand":{"map":{"cpu":1}},"requested_time_s":1,"new":1}}',
        '{"task":{"v":1,"id":"a","demand":{"map":{"cpu":NaN}},"requested_time_s":1}}',
        '{"task":{"v":1}}',
        '{"task":{}}',
        '{"os.system":{"v":1}}',
        '{"map":{},"set":[]}',
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        from_json(text)


def test_a_field_that_was_not_there_yet_gets_its_default() -> None:
    text = '{"task":{"v":1,"id":"a","demand":{"map":{"cpu":1}},"requested_time_s":1}}'

    assert from_json(text) == Task("a", {"cpu": 1}, 1)


@settings(max_examples=10, deadline=None)
@given(st.lists(tasks, min_size=1, max_size=20, unique_by=lambda each: each.id), st.booleans())
def test_tasks_come_back_from_the_database(
    tmp_path_factory: pytest.TempPathFactory, originals: list[Task], compacted: bool
) -> None:
    place = tmp_path_factory.mktemp("journal") / "journal.sqlite"
    with Journal.open(place, FAST) as journal:
        journal.append([Submitted(0, replace(each, num_replicas=1)) for each in originals])
        if compacted:
            journal.compact()
        first = originals[0].id
        journal.append([*started(first), Ended(9, first, 1, "completed")])
        if compacted:
            journal.compact()
    with Journal.open(place, FAST) as journal:
        back = {life.task.id: life.task for life in journal.recover().tasks}
        (ended,) = journal.history()
        assert journal.find(first) == ended
    assert list(back) == [each.id for each in originals[1:]]
    for each in originals[1:]:
        assert back[each.id] == replace(each, num_replicas=1)
    assert ended.task == replace(originals[0], num_replicas=1)


# --- What events mean


def test_a_life_from_submission_to_the_end(journal: Journal) -> None:
    one = task("a", submit_time_s=0.5, num_replicas=2)
    cards = ({"gpu": (0, 3)}, {"gpu": (1,), "fpga": (0,)})
    journal.append([Submitted(1, one)])
    life = TaskLife(1, one, Phase.PENDING, submit_us=500_000)
    assert reopened(journal).tasks == journal.recover().tasks == (life,)

    journal.append([Starting(2, "a", 1, ("n", "m"), cards)])
    on_nodes = replace(
        life,
        phase=Phase.STARTING,
        attempt=1,
        nodes=("n", "m"),
        cards=cards,
        first_start_us=2,
        start_us=2,
    )
    assert reopened(journal).in_phase(Phase.STARTING) == (on_nodes,)

    journal.append([Started(3, "a", 1)])
    running = replace(on_nodes, phase=Phase.RUNNING, start_us=3)
    assert reopened(journal).in_phase(Phase.RUNNING) == (running,)

    journal.append([Ended(7, "a", 1, Outcome.FAILED, -9)])
    ended = replace(running, phase=Phase.FINAL, end_us=7, outcome=Outcome.FAILED, exit_code=-9)
    assert reopened(journal) == Recovered((), {}, None, 4, 1, latest_us=7)
    assert journal.find("a") == ended
    assert list(journal.history()) == [ended]


def test_back_to_the_queue_and_again(journal: Journal) -> None:
    journal.append([Submitted(1, task("a")), *started()])
    journal.append([Preempted(5, "a", 1, 2.5)])
    (life,) = reopened(journal).tasks
    assert (life.phase, life.nodes, life.start_us, life.first_start_us) == ("pending", (), None, 2)
    assert (life.kept_work_s, life.preemptions, life.failures) == (2.5, 1, 0)

    journal.append([Starting(6, "a", 2, ("m",)), Requeued(7, "a", 2, Why.NOT_STARTED)])
    (life,) = reopened(journal).tasks
    assert (life.phase, life.attempt, life.kept_work_s, life.failures) == ("pending", 2, 2.5, 0)

    journal.append([*started(attempt=3), Requeued(8, "a", 3, "failed", 1, kept_work_s=4)])
    (life,) = reopened(journal).tasks
    assert (life.exit_code, life.failures, life.kept_work_s) == (1, 1, 4)
    assert life.first_start_us == 2


def test_a_wish_to_cancel_is_remembered(journal: Journal) -> None:
    journal.append([Submitted(1, task("a")), *started(), CancelRequested(4, "a")])
    assert reopened(journal).tasks[0].cancel_requested

    with pytest.raises(StateError, match="'a' is to be cancelled and must not start"):
        journal.append([Requeued(5, "a", 1, Why.NODE_LOST), Starting(6, "a", 2, ("n",))])
    journal.append([Cancelled(7, "a")])
    (life,) = journal.history()
    assert (life.outcome, life.end_us) == (Outcome.CANCELLED, 7)


def test_nodes_and_pool(journal: Journal) -> None:
    a, b, c = (Node(name, {"cpu": 4, "gpu": 1.0}, "A100", frozenset({"eu"})) for name in "abc")
    journal.append([NodeChanged(1, "b", "down")])  # nothing is known about the pool yet
    journal.append([PoolChanged(2, (a, b)), NodeChanged(3, "a", NodeState.DRAINING)])
    expected = Recovered(
        (), {"a": NodeState.DRAINING, "b": NodeState.DOWN}, (a, b), 3, 0, latest_us=3
    )
    assert reopened(journal) == journal.recover() == expected

    journal.append([PoolChanged(4, (c, a))])
    journal.compact()
    assert reopened(journal).nodes == {"c": NodeState.UP, "a": NodeState.DRAINING}
    assert reopened(journal).pool == (c, a)
    with pytest.raises(StateError, match="no node 'b' in the pool"):
        journal.append([NodeChanged(5, "b", "up")])
    with pytest.raises(StateError, match="no node 'b' in the pool"):
        journal.append([Submitted(5, task("a")), Starting(5, "a", 1, ("b",))])


FORBIDDEN: dict[str, tuple[list[JournalEvent], JournalEvent, str]] = {
    "submitted twice": ([], Submitted(9, task("a")), "'a' was submitted before"),
    "unknown task": ([], Cancelled(9, "z"), "no task 'z' was submitted"),
    "started while it runs": (started(), Starting(9, "a", 2, ("n",)), "pending, .* is running"),
    "started while it starts": (
        [Starting(2, "a", 1, ("n",))],
        Starting(9, "a", 2, ("n",)),
        "pending, .* is starting",
    ),
    "attempt left out": ([], Starting(9, "a", 2, ("n",)), "attempt 1 of task 'a', got 2"),
    "news of an older attempt": (
        [*started(), Preempted(4, "a", 1), *started(attempt=2)],
        Ended(9, "a", 1, "completed"),
        "attempt 2 of task 'a', got 1",
    ),
    "end of a pending task": ([], Ended(9, "a", 1, "failed"), "starting or running, .* pending"),
    "confirmed twice": (started(), Started(9, "a", 1), "is starting, .* is running"),
    "anything after the end": (
        [*started(), Ended(4, "a", 1, "completed")],
        Requeued(9, "a", 1, "failed"),
        "is completed",
    ),
    "too few nodes": ([], Starting(9, "a", 1, ("n", "m")), "expected 1 nodes, .* got 2"),
}


@pytest.mark.parametrize("name", FORBIDDEN)
def test_what_the_state_does_not_allow_is_not_written(journal: Journal, name: str) -> None:
    before, forbidden, message = FORBIDDEN[name]
    journal.append([Submitted(1, task("a")), *before])
    state = journal.recover()

    with pytest.raises(StateError, match=message):
        journal.append([Submitted(1, task("b")), forbidden])
    assert journal.recover() == reopened(journal) == state
    journal.append([Submitted(1, task("b"))])
    assert journal.last_seq == state.last_seq + 1


def test_an_id_stays_taken_after_compaction(journal: Journal, place: Path) -> None:
    journal.append([Submitted(1, task("a")), Cancelled(1, "a"), Submitted(1, task("b"))])
    journal.compact()

    with pytest.raises(StateError, match="'a' was submitted before"):
        journal.append([Submitted(2, task("c")), Submitted(2, task("a"))])
    journal.append([Submitted(2, task("c"))])
    assert [life.task.id for life in reopened(journal).tasks] == ["b", "c"]


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Submitted(1.5, task("a")), "whole microseconds of 64 bits, got 1.5"),
        (lambda: Submitted(2**64, task("a")), "whole microseconds of 64 bits"),
        (lambda: Submitted(1, "a"), "must be a Task, got 'a'"),
        (lambda: Starting(1, "a", 1, ()), "a node's name for each replica"),
        (lambda: Starting(1, "a", 1, "node"), "a node's name for each replica"),
        (lambda: Starting(1, "a", 0, ("n",)), "attempt must be a whole number from 1"),
        (lambda: Starting(1, "a", 1, ("n",), ({}, {})), "cards for each of 1 replicas"),
        (lambda: Started(1, "", 1), "task_id must be a non-empty string"),
        (lambda: Ended(1, "a", 1, "complete"), "did you mean 'completed'"),
        (lambda: Ended(1, "a", 1, "failed", 1.5), "exit_code must be a whole number or None"),
        (lambda: Preempted(1, "a", 1, float("nan")), "kept_work_s must be a finite number"),
        (lambda: Preempted(1, "a", 1, -1), "kept_work_s must be a finite number .* >= 0, got -1"),
        (lambda: Requeued(1, "a", 1, "bored"), "unknown name 'bored'"),
        (lambda: NodeChanged(1, "n", "upp"), "did you mean 'up'"),
        (lambda: PoolChanged(1, ("n",)), "nodes must be Nodes"),
        (lambda: PoolChanged(1, (Node("n", {"cpu": 1}),) * 2), "names must differ"),
    ],
)
def test_events_check_what_they_are_given(build: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build()


def test_only_events_are_taken(journal: Journal) -> None:
    with pytest.raises(ConfigError, match="expected events, got 'started'"):
        journal.append(["started"])  # type: ignore[list-item]


def test_an_empty_batch_is_nothing(journal: Journal) -> None:
    journal.append([])

    assert journal.last_seq == 0


# --- Order, compaction, history


class Walk:
    """Random events that the protocol allows, with a clock that jumps about."""

    def __init__(self, seed: int) -> None:
        self.random, self.submitted = random.Random(seed), 0
        self.lives: dict[str, tuple[Phase, int]] = {}

    def batch(self) -> list[JournalEvent]:
        return [self.event() for _ in range(self.random.randint(1, 8))]

    def event(self) -> JournalEvent:
        at_us = self.random.randint(-(10**15), 10**15)
        if not self.lives or self.random.random() < 0.3:
            self.submitted += 1
            name = f"t{self.submitted}"
            self.lives[name] = (Phase.PENDING, 0)
            return Submitted(at_us, task(name))
        name = self.random.choice(list(self.lives))
        phase, attempt = self.lives[name]
        if self.random.random() < 0.1:
            del self.lives[name]
            return Cancelled(at_us, name)
        if phase is Phase.PENDING:
            self.lives[name] = (Phase.STARTING, attempt + 1)
            return Starting(at_us, name, attempt + 1, (self.random.choice("xyz"),))
        return self.on_nodes(at_us, name, phase, attempt)

    def on_nodes(self, at_us: int, name: str, phase: Phase, attempt: int) -> JournalEvent:
        if phase is Phase.STARTING and self.random.random() < 0.7:
            self.lives[name] = (Phase.RUNNING, attempt)
            return Started(at_us, name, attempt)
        if self.random.random() < 0.6:
            del self.lives[name]
            return Ended(at_us, name, attempt, self.random.choice(("completed", "failed")), 1)
        self.lives[name] = (Phase.PENDING, attempt)
        if self.random.random() < 0.5:
            return Preempted(at_us, name, attempt, self.random.random())
        return Requeued(at_us, name, attempt, self.random.choice(list(Why)))


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32), compact_every=st.integers(1, 30))
def test_the_state_does_not_depend_on_batches_compaction_and_restarts(
    tmp_path_factory: pytest.TempPathFactory, seed: int, compact_every: int
) -> None:
    folder = tmp_path_factory.mktemp("journal")
    walk, chance = Walk(seed), random.Random(seed)
    batches = [walk.batch() for _ in range(20)]
    with Journal.open(folder / "one", JournalSettings(synchronous="normal")) as journal:
        journal.append([event for batch in batches for event in batch])
        expected, history = journal.recover(), list(journal.history())

    often = JournalSettings(synchronous="normal", compact_every=compact_every)
    other = Journal.open(folder / "other", often)
    for batch in batches:
        other.append(batch)
        if chance.random() < 0.1:
            other.close()
            other = Journal.open(folder / "other", often)
        if chance.random() < 0.3:
            assert recovered_from(folder / "other") == other.recover()
    other.verify()
    assert other.recover() == expected
    assert list(other.history()) == history
    assert [life.task.id for life in expected.tasks] == sorted(
        (life.task.id for life in expected.tasks), key=lambda name: int(name[1:])
    )
    for since_us in (-(10**15), 0, 10**14, 10**16):
        wanted = [life for life in history if life.end_us is not None and life.end_us >= since_us]
        assert list(other.history(since_us)) == wanted
    other.close()


def test_events_that_are_folded_are_not_kept(place: Path) -> None:
    with Journal.open(place, JournalSettings(synchronous="normal", compact_every=50)) as journal:
        for number in range(200):
            name = str(number)
            journal.append([Submitted(0, task(name)), *started(name), Ended(4, name, 1, "failed")])
    with closing(sqlite3.connect(place)) as raw:
        ((events,),) = raw.execute("SELECT count(*) FROM lepton_events")
        ((lives,),) = raw.execute("SELECT count(*) FROM lepton_snapshot")
        ((history,),) = raw.execute("SELECT count(*) FROM lepton_history")

    assert events <= 54
    assert lives <= 2
    assert history >= 186


def test_history_is_that_of_the_call(journal: Journal) -> None:
    for name in "abc":
        journal.append([Submitted(0, task(name)), Cancelled(5, name)])
    told = journal.history()
    journal.compact()
    journal.append([Submitted(0, task("d")), Cancelled(5, "d")])

    assert [life.task.id for life in told] == ["a", "b", "c"]
    assert [life.task.id for life in journal.history()] == ["a", "b", "c", "d"]


def test_long_histories_are_read_in_pages(journal: Journal) -> None:
    names = [str(number) for number in range(1203)]
    journal.append([Submitted(0, task(name)) for name in names])
    journal.append([Cancelled(int(name), name) for name in names])
    journal.compact()

    assert [life.task.id for life in journal.history()] == names
    assert [life.task.id for life in journal.history(1000)] == names[1000:]


def test_find_knows_every_task(journal: Journal) -> None:
    journal.append([Submitted(0, task("a")), Submitted(0, task("b")), Cancelled(1, "b")])
    for _ in range(2):
        found = [journal.find(name) for name in "abc"]
        assert [life and life.phase for life in found] == [Phase.PENDING, Phase.FINAL, None]
        journal.compact()


# --- Batches


def test_a_batch_is_one_commit(journal: Journal) -> None:
    commits = 0

    def count(_: object) -> None:
        nonlocal commits
        commits += 1

    event.listen(Engine, "commit", count)
    try:
        journal.append([Submitted(0, task(str(number))) for number in range(300)])
    finally:
        event.remove(Engine, "commit", count)

    assert commits == 1


@pytest.mark.parametrize("after", [1, 2, 4, 5])
def test_a_batch_cut_in_two_is_not_there(place: Path, after: int) -> None:
    process = PROCESSES.Process(target=append_and_die, args=(place, after))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL

    with Journal.open(place, FAST) as journal:
        names = [life.task.id for life in journal.recover().tasks]
        assert names == ["first-0", "first-1", "first-2"]
        assert journal.last_seq == 3
        journal.append([Submitted(0, task("third"))])
        journal.verify()


def test_threads_may_share_a_journal(journal: Journal) -> None:
    def submit(thread: int) -> None:
        for number in range(20):
            journal.append([Submitted(0, task(f"{thread}-{number}"))])
            assert journal.find(f"{thread}-{number}") is not None

    threads = [threading.Thread(target=submit, args=(thread,)) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert journal.last_seq == 80
    assert reopened(journal) == journal.recover()
    for thread in range(4):
        order = [life.task.id for life in journal.recover().tasks]
        assert [name for name in order if name.startswith(f"{thread}-")] == [
            f"{thread}-{number}" for number in range(20)
        ]


# --- Settings


def test_sqlite_waits_for_the_disk_by_default(place: Path) -> None:
    with Journal.open(place) as journal:
        assert journal._database.pragma("synchronous") == 2  # FULL
        assert journal._database.pragma("journal_mode") == "wal"
    with Journal.open(place, FAST) as journal:
        assert journal._database.pragma("synchronous") == 1


def test_synchronous_is_for_sqlite(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="a setting of SQLite only"):
        Journal.open("postgresql+nodriver://u:secret@host/db", FAST)
    with pytest.raises(ConfigError, match="no driver for it") as caught:
        Journal.open("postgresql+nodriver://u:secret@host/db")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("sqlite://", "in memory"),
        ("sqlite:///:memory:", "in memory"),
        ("://", "expected a path or a SQLAlchemy URL"),
    ],
)
def test_urls_that_are_none(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Journal.open(url)


def test_a_path_may_look_odd(tmp_path: Path) -> None:
    place = tmp_path / "a b?c=d#%20.sqlite"
    with Journal.open(place) as journal:
        journal.append([Submitted(0, task("a"))])
    with Journal.open(str(place)) as journal:
        assert journal.last_seq == 1
    assert place.exists()
