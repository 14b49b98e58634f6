"""The Python client against the real service."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lepton_rl.core.errors import ConfigError, NotFoundError, StateError
from lepton_rl.core.tasks import Task, TaskState
from lepton_rl.integrations.http.client import Client, ServiceError
from tests.integrations.http.conftest import LONG_S, TOKEN, make_service, serving


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with serving(make_service()) as url:
        yield url


@pytest.fixture
def client(address: str) -> Iterator[Client]:
    with Client(address, TOKEN) as found:
        yield found


def job(name: str, **more: object) -> Task:
    return Task(name, {"cpu": 1}, 5.0, run_time_s=0.01, **more)  # type: ignore[arg-type]


def test_tasks(client: Client) -> None:
    assert client.is_ready()
    first = job("first", tenant="lab", device_models=frozenset({"A100"}))
    assert client.submit(first)["id"] == "first"
    client.submit(job("second", depends_on=("first",)))

    assert client.wait("second", LONG_S) is TaskState.COMPLETED
    assert client.task("first")["state"] == "completed"
    found = [task["id"] for task in client.tasks(TaskState.COMPLETED)]
    assert found == ["first", "second"]
    assert [task["id"] for task in client.tasks(offset=1, limit=1)] == ["second"]


def test_waiting_and_cancelling(client: Client) -> None:
    client.submit(Task("long", {"cpu": 1}, 600.0, run_time_s=600.0))
    assert client.wait("long", 0.3) in (TaskState.PENDING, TaskState.RUNNING)
    client.cancel("long")
    assert client.wait("long", LONG_S) is TaskState.CANCELLED


def test_refusals_are_our_own_errors(client: Client) -> None:
    with pytest.raises(NotFoundError, match="no task 'nobody'"):
        client.task("nobody")
    client.submit(job("once"))
    with pytest.raises(StateError, match="submitted before"):
        client.submit(job("once"))
    with pytest.raises(ConfigError, match=r"body\.id"):
        client.submit(job("an id with spaces"))


def test_deciding_and_nodes(client: Client) -> None:
    assert len(client.nodes()) == 4
    found = client.decide(
        nodes=[{"name": "x", "capacity": {"cpu": 2}}],
        pending=[{"id": "a", "demand": {"cpu": 1}, "requested_time_s": 5}],
    )
    assert found["decisions"] == [{"action": "start", "task": "a", "nodes": ["x"]}]


def test_no_service_and_a_wrong_token(address: str) -> None:
    with Client("http://127.0.0.1:9", TOKEN, timeout_s=2) as nobody:
        assert not nobody.is_ready()
        with pytest.raises(ServiceError, match="no answer") as caught:
            nobody.nodes()
        assert caught.value.status == 0
    with Client(address, "wrong") as stranger, pytest.raises(ServiceError, match="token") as found:
        stranger.nodes()
    assert found.value.status == 401
