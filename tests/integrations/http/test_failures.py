"""When things break: the service goes on with the fallback, or comes back, and says so."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from lepton_rl.core.errors import JournalError, NotFiniteError, StateError
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.policy import Decision
from lepton_rl.core.tables import View
from lepton_rl.core.tasks import Task, TaskState
from lepton_rl.integrations.http.client import Client, ServiceError
from lepton_rl.integrations.http.policies import ServedPolicies
from lepton_rl.integrations.http.service import Made, Service
from lepton_rl.policies.guard import GuardSettings
from lepton_rl.policies.registry import heuristic
from lepton_rl.system import MonotonicClock, Scheduler
from lepton_rl.system.journal import Journal, JournalSettings
from lepton_rl.system.journal.database import Database
from tests.integrations.http.conftest import LONG_S, TOKEN, make_service, serving
from tests.policies.desks import Scripted, boom

POOL = Cluster.pool(8)


def jobs(prefix: str, count: int) -> list[Task]:
    return [Task(f"{prefix}{n}", {"cpu": 1 + n % 3}, 5.0, run_time_s=0.01) for n in range(count)]


def nan(view: View) -> Decision:
    raise NotFiniteError("nan")


def stall(view: View) -> Decision:
    time.sleep(0.5)
    raise AssertionError("too late")


@pytest.mark.parametrize(
    ("answer", "cause", "guard"),
    [
        (boom, "exception", {}),
        (nan, "not-finite", {}),
        (lambda view: None, "infeasible", {}),
        (stall, "stalled", {"deadline_us": 5000}),
    ],
    ids=["crash", "nan", "nonsense", "stall"],
)
def test_a_policy_at_its_worst(
    answer: Callable[[View], object], cause: str, guard: dict[str, float]
) -> None:
    def make(acting: object, listener: object) -> Made:
        return Made(Scheduler(POOL, acting, strict=False))  # type: ignore[arg-type]

    policies = ServedPolicies(lambda: Scripted(answer), "sjf", GuardSettings(**guard))
    with serving(Service(make, policies)) as url, Client(url, TOKEN) as client:
        for task in jobs("t", 12):
            client.submit(task)
        for number in range(12):
            assert client.wait(f"t{number}", LONG_S) is TaskState.COMPLETED
        incidents = client._call("GET", "/v1/overview")["incidents"]
        events = client._call("GET", "/v1/policy")["events"]
        assert client.is_ready()
    assert incidents[f"fallback-{cause}"] == events[f"fallback-{cause}"] > 0
    assert set(incidents) <= {f"fallback-{cause}", "fallback-benched", "policy-benched"}
    assert "policy-decided" not in events


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is accepted that is not written; when there is room again, all goes on."""
    full = False
    write = Database.write

    def failing(self: Database) -> object:
        if full:
            raise JournalError("the journal cannot be written: database or disk is full")
        return write(self)

    monkeypatch.setattr(Database, "write", failing)
    service = make_service(journal=tmp_path / "journal.db", cluster=POOL)
    with serving(service) as url, Client(url, TOKEN) as client:
        for task in jobs("before", 5):
            client.submit(task)
        client.submit(Task("long", {"cpu": 8}, 5.0, run_time_s=0.3))
        full = True
        with pytest.raises(ServiceError, match="disk is full") as caught:
            client.submit(jobs("during", 1)[0])
        assert caught.value.status == 503
        until(lambda: not client.is_ready())
        assert "disk is full" in client._call("GET", "/v1/overview")["problem"]
        with pytest.raises(ServiceError, match="disk is full"):
            client.task("long")
        full = False
        until(client.is_ready)
        client.submit(jobs("during", 1)[0])
        for name in (*(f"before{n}" for n in range(5)), "long", "during0"):
            assert client.wait(name, LONG_S) is TaskState.COMPLETED
        assert client._call("GET", "/v1/overview")["incidents"]["journal-error"] == 1
    assert service.revivals == 1


def until(is_met: Callable[[], bool]) -> None:
    give_up = time.monotonic() + LONG_S
    while not is_met():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def test_a_locked_database(tmp_path: Path) -> None:
    """Another program holds the file's lock for longer than the journal waits."""
    path = tmp_path / "journal.db"

    def make(acting: object, listener: object) -> Made:
        journal = Journal.open(path, JournalSettings(busy_s=0.1))
        return Made(Scheduler(POOL, acting, strict=False, journal=journal), journal)  # type: ignore[arg-type]

    service = Service(make, ServedPolicies(lambda: heuristic("sjf")))
    with serving(service) as url, Client(url, TOKEN) as client:
        client.submit(Task("a", {"cpu": 1}, 5.0, run_time_s=0.2))
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(ServiceError, match="locked") as caught:
            client.submit(jobs("b", 1)[0])
        assert caught.value.status == 503
        until(lambda: not client.is_ready())
        other.execute("ROLLBACK")
        other.close()
        until(client.is_ready)
        client.submit(jobs("b", 1)[0])
        assert client.wait("a", LONG_S) is TaskState.COMPLETED
        assert client.wait("b0", LONG_S) is TaskState.COMPLETED
    assert service.revivals >= 1


@pytest.mark.parametrize("jump_s", [3600.0, -3600.0])
def test_a_clock_that_jumps(jump_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of day moves nothing; where even the monotonic clock jumps, time never goes back."""
    offset_ns = 0
    clock = MonotonicClock(0, lambda: time.monotonic_ns() + offset_ns)
    system = Scheduler(POOL, heuristic("sjf"))
    system.start(clock)
    system.submit_all(jobs("a", 5))
    assert system.join(LONG_S)
    before_us = system.now_us
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + int(jump_s * 1e9))
    offset_ns = int(max(jump_s, 0.0) * 1e9)
    system.submit_all(jobs("b", 5))

    assert system.join(LONG_S)
    assert system.stop(timeout_s=LONG_S)
    assert system.now_us >= before_us
    assert system.monitor.outcomes == {"completed": 10}
    assert not system.monitor.incidents


def test_tasks_outlive_the_service(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    with serving(make_service(journal=path, cluster=POOL)) as url, Client(url, TOKEN) as client:
        client.submit(Task("long", {"cpu": 8}, 600.0, run_time_s=0.5))
        client.submit(Task("next", {"cpu": 8}, 600.0, run_time_s=0.01))

    with serving(make_service(journal=path, cluster=POOL)) as url, Client(url, TOKEN) as client:
        assert client.wait("long", LONG_S) is TaskState.COMPLETED
        assert client.wait("next", LONG_S) is TaskState.COMPLETED
        with pytest.raises(StateError, match="submitted before"):
            client.submit(Task("long", {"cpu": 8}, 600.0, run_time_s=0.5))
