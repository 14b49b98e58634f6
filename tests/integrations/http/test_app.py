"""The API: what it takes, what it refuses, and that it says why."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from httpx import Client

from lepton_rl.core.errors import ConfigError
from lepton_rl.integrations.http.server import bind
from lepton_rl.integrations.http.settings import ServeSettings
from lepton_rl.system.metrics import METRICS
from tests.integrations.http.conftest import TOKEN, client_of, make_service, settings
from tests.trained import random_policy_file, write_policy

LONG = {"demand": {"cpu": 16, "gpu": 4}, "requested_time_s": 600.0, "run_time_s": 600.0}


def job(name: str, **more: Any) -> dict[str, Any]:
    return {"id": name, "demand": {"cpu": 1}, "requested_time_s": 1.0, "run_time_s": 0.01, **more}


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    folder = tmp_path_factory.mktemp("policies")
    write_policy(folder / "new.onnx", name="new")
    (folder / "bad.onnx").write_bytes(random_policy_file().read_bytes()[:-5])
    with client_of(make_service(), policy_folder=str(folder), kubernetes=True) as found:
        found.post("/v1/tasks", json=job("first"))
        wait_for(found, "first", "completed")  # something has happened, whichever test comes first
        yield found


def wait_for(client: Client, task: str, state: str) -> dict[str, Any]:
    import time

    for _ in range(3000):
        found = client.get(f"/v1/tasks/{task}").json()
        if found["state"] == state:
            return found
        time.sleep(0.01)
    raise AssertionError(found)


def test_a_task_from_submission_to_its_end(client: Client) -> None:
    answer = client.post("/v1/tasks", json=job("a", tenant="lab"))

    assert answer.status_code == 201
    assert answer.headers["location"] == "/v1/tasks/a"
    found = wait_for(client, "a", "completed")
    assert found["submit_s"] <= found["start_s"] < found["end_s"]
    assert found["nodes"] in (["gpu0"], ["gpu1"], ["gpu2"], ["cpu0"])
    listed = client.get("/v1/tasks", params={"state": "completed", "limit": 1000}).json()
    assert found in listed["tasks"]
    assert listed["total"] == len(listed["tasks"])


def test_cancelling(client: Client) -> None:
    client.post("/v1/tasks", json=job("long", **LONG))
    wait_for(client, "long", "running")

    assert client.delete("/v1/tasks/long").status_code == 202

    found = wait_for(client, "long", "cancelled")
    assert found["reason"] == "cancelled by a user"
    assert client.delete("/v1/tasks/long").json()["state"] == "cancelled"


@pytest.mark.parametrize(
    ("change", "status", "reason"),
    [
        ({"id": "a b"}, 422, "body.id"),
        ({"id": "../x"}, 422, "body.id"),
        ({"demand": {"cpu": -1}}, 422, "demand"),
        ({"demand": {"quantum": 1}}, 422, "quantum"),
        ({"demand": {"cpu": 10_000}}, 422, "cpu"),
        ({"requested_time_s": 0}, 422, "requested_time_s"),
        ({"deadline_s": 0.0}, 422, "deadline_s"),
        ({"depends_on": ["nobody"]}, 422, "no task 'nobody'"),
        ({"colour": "red"}, 422, "colour"),
        ({"required_labels": ["zone-b"]}, 422, "zone-b"),
    ],
    ids=str,
)
def test_bad_tasks(client: Client, change: dict[str, Any], status: int, reason: str) -> None:
    answer = client.post("/v1/tasks", json={**job("bad"), **change})

    assert answer.status_code == status
    assert reason in answer.json()["detail"]
    assert client.get("/v1/tasks/bad").status_code == 404


def test_an_id_is_taken_in_once(client: Client) -> None:
    assert client.post("/v1/tasks", json=job("twice")).status_code == 201
    again = client.post("/v1/tasks", json=job("twice"))

    assert again.status_code == 409
    assert "submitted before" in again.json()["detail"]


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b'{"demand": NaN}', b"\xff\xfe"])
def test_bodies_that_are_none(client: Client, body: bytes) -> None:
    answer = client.post("/v1/tasks", content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code in (400, 422)
    assert isinstance(answer.json()["detail"], str)


def test_a_body_that_is_too_large(client: Client) -> None:
    large = job("large", working_directory="x" * 2_000_000)
    assert client.post("/v1/tasks", json=large).status_code == 413

    def chunks() -> Iterator[bytes]:
        for _ in range(40):
            yield b" " * 65_536

    assert client.post("/v1/tasks", content=chunks()).status_code == 413


ROUTES = [
    ("get", "/v1/tasks"), ("post", "/v1/tasks"), ("get", "/v1/tasks/a"), ("delete", "/v1/tasks/a"),
    ("post", "/v1/decide"), ("get", "/v1/nodes"), ("put", "/v1/nodes/gpu0/state"),
    ("get", "/v1/overview"), ("get", "/v1/policy"), ("post", "/v1/policy/reload"),
    ("post", "/v1/policy/rollback"), ("get", "/metrics"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), ROUTES)
@pytest.mark.parametrize(
    "header", ["", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer é"]
)
def test_nothing_without_the_token(client: Client, method: str, path: str, header: str) -> None:
    headers = {"Authorization": header.encode()}
    answer = client.request(method, path, headers=headers)

    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_every_route_is_in_the_list_above(client: Client) -> None:
    open_to_all = {"/healthz", "/readyz", "/kubernetes/filter", "/kubernetes/prioritize"}
    paths = client.get("/openapi.json").json()["paths"]
    found = {
        (method, path.replace("{task_id}", "a").replace("{name}", "gpu0"))
        for path, methods in paths.items()
        if path not in open_to_all
        for method in methods
    }
    assert found == set(ROUTES)


def test_health_readiness_and_headers(client: Client) -> None:
    for path in ("/healthz", "/readyz", "/"):
        answer = client.get(path, headers={"Authorization": ""})
        assert answer.status_code == 200
        assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.get("/readyz").json() == {"ready": True, "problem": ""}


def test_other_names_in_the_host_header_are_refused(client: Client) -> None:
    """A page elsewhere cannot reach the service under a name of its own (DNS rebinding)."""
    assert client.get("/healthz", headers={"Host": "evil.example"}).status_code == 400
    assert client.get("/healthz", headers={"Host": "localhost:8470"}).status_code == 200


def test_metrics(client: Client) -> None:
    text = client.get("/metrics").text

    for metric in METRICS:
        assert f"# TYPE {metric.name}" in text
    assert 'lepton_policy_events_total{event="policy-decided"}' in text


def test_nodes_come_and_go(client: Client) -> None:
    for state in ("draining", "down", "up"):
        answer = client.put("/v1/nodes/cpu0/state", json={"state": state})
        assert answer.json()["state"] == state
    (cpu,) = (node for node in client.get("/v1/nodes").json() if node["name"] == "cpu0")
    assert cpu["capacity"] == {"cpu": 32, "memory": 128}
    assert client.put("/v1/nodes/none/state", json={"state": "up"}).status_code == 404
    assert client.put("/v1/nodes/cpu0/state", json={"state": "gone"}).status_code == 422


def test_a_policy_is_exchanged_and_taken_back(client: Client) -> None:
    assert client.post("/v1/policy/rollback").status_code == 409
    before = client.get("/v1/policy").json()
    bad = client.post("/v1/policy/reload", json={"file": "bad.onnx"})
    assert bad.status_code == 422
    assert "damaged" in bad.json()["detail"]
    assert client.get("/v1/policy").json()["name"] == before["name"] == "sjf+easy"

    new = client.post("/v1/policy/reload", json={"file": "new.onnx"}).json()
    assert (new["name"], new["previous"], len(new["sha256"])) == ("new", "sjf+easy", 64)
    assert client.post("/v1/decide", json=described()).json()["policy"] == "new"
    old = client.post("/v1/policy/rollback").json()
    assert (old["name"], old["sha256"]) == ("sjf+easy", None)
    assert old["events"]["policy-reloaded"] == 1


@pytest.mark.parametrize("file", ["../new.onnx", "/etc/passwd", "new.pkl", ".onnx", "none.onnx"])
def test_only_files_of_the_folder(client: Client, file: str) -> None:
    assert client.post("/v1/policy/reload", json={"file": file}).status_code == 422


def described(**more: Any) -> dict[str, Any]:
    return {
        "nodes": [{"name": "x", "capacity": {"cpu": 4}}, {"name": "y", "capacity": {"cpu": 4}}],
        "pending": [
            job("big", demand={"cpu": 4}, requested_time_s=100),
            job("small", demand={"cpu": 2}, requested_time_s=10),
            job("pair", demand={"cpu": 2}, num_replicas=2, requested_time_s=50),
        ],
        **more,
    }


def test_stateless_decisions(client: Client) -> None:
    one = client.post("/v1/decide", json=described()).json()
    assert one["decisions"] == [{"action": "start", "task": "small", "nodes": ["x"]}]

    running = [{"task": job("old", demand={"cpu": 2}), "nodes": ["y"], "start_s": 1.0}]
    all_ = described(running=running, now_s=5.0, max_decisions=9)
    answer = client.post("/v1/decide", json=all_).json()
    assert [each["action"] for each in answer["decisions"]] == ["start", "start", "wait"]
    assert answer["decisions"][1] == {"action": "start", "task": "pair", "nodes": ["x", "y"]}
    assert answer["fallbacks"] == {}
    assert client.post("/v1/decide", json=all_).json() == answer
    assert client.get("/v1/tasks/small").status_code == 404


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"nodes": []}, 422),
        ({"pending": [job("a"), job("a")]}, 409),
        ({"pending": [job("a", demand={"cpu": 99})]}, 422),
        ({"pending": [job("a", submit_time_s=9.0)]}, 409),
        ({"pending": [job("a", depends_on=["b"])]}, 409),
        ({"running": [{"task": job("r", demand={"cpu": 4}), "nodes": ["z"]}]}, 409),
        ({"running": [{"task": job("r", demand={"cpu": 4}), "nodes": ["x"], "start_s": 9}]}, 409),
        ({"running": [{"task": job(n, demand={"cpu": 3}), "nodes": ["x"]} for n in "rs"]}, 409),
    ],
    ids=str,
)
def test_descriptions_that_cannot_be(client: Client, change: dict[str, Any], status: int) -> None:
    assert client.post("/v1/decide", json=described(**change)).status_code == status


def test_nothing_pending(client: Client) -> None:
    found = client.post("/v1/decide", json=described(pending=[])).json()
    assert found["decisions"] == [{"action": "wait", "task": None, "nodes": []}]


def test_the_overview(client: Client) -> None:
    found = client.get("/v1/overview").json()

    assert found["policy"]["fallback"] == "fcfs+easy"
    assert {node["name"] for node in found["nodes"]} == {"gpu0", "gpu1", "gpu2", "cpu0"}
    assert found["problem"] == ""
    assert {"started", "ended", "submitted"} <= {event["event"] for event in found["events"]}


def test_a_token_must_be_long() -> None:
    with pytest.raises(ConfigError, match="at least 16 characters"):
        ServeSettings.model_validate({"token": "short"}).with_token()
    first, second = (ServeSettings().with_token().token for _ in range(2))
    assert first is not None
    assert second is not None
    assert first.get_secret_value() != second.get_secret_value()
    assert TOKEN not in repr(settings())


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.org", "::"])
def test_it_listens_on_the_loopback_interface_only(host: str) -> None:
    with pytest.raises(ConfigError, match="may be reached from other machines"):
        bind(settings(host=host, port=0))


def test_a_port_in_use() -> None:
    first = bind(settings(port=0))
    with first, pytest.raises(ConfigError, match="cannot listen on"):
        bind(settings(port=first.getsockname()[1]))


def test_the_page_needs_nothing_from_elsewhere() -> None:
    folder = Path(__file__).parents[3] / "lepton_rl" / "integrations" / "http" / "static"
    for file in folder.iterdir():
        text = file.read_text(encoding="utf-8")
        assert "http://" not in text
        assert "https://" not in text
        assert "innerHTML" not in text
    assert "style=" not in (folder / "index.html").read_text(encoding="utf-8")
