"""Kubernetes' scheduler extender, by the documented JSON; never tried on a live cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from httpx import Client

from lepton_rl.core.tasks import Task
from lepton_rl.integrations.http.extender import pod_demand
from tests.integrations.http.conftest import client_of, make_service


def pod(**requests: str) -> dict[str, Any]:
    named = {name.replace("_", "/"): amount for name, amount in requests.items()}
    named = {"nvidia.com/gpu" if name == "gpu" else name: each for name, each in named.items()}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "train", "namespace": "lab", "uid": "1"},
        "spec": {"containers": [{"name": "main", "resources": {"requests": named}}]},
    }


def node(name: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": {"a": "b"}}, "status": {"allocatable": {}}}


NAMES = ["gpu0", "gpu1", "gpu2", "cpu0", "stranger"]


@pytest.fixture(scope="module")
def client() -> Iterator[Client]:
    service = make_service()
    with client_of(service, kubernetes=True) as found:
        half = Task("half", {"cpu": 8, "gpu": 2}, 600.0, run_time_s=600.0)
        service.scheduler.submit(half)
        service.scheduler.drain("gpu2")
        import time

        while not service.scheduler.queue.on_nodes():
            time.sleep(0.01)
        yield found


def test_filter_by_names(client: Client) -> None:
    asked = {"Pod": pod(cpu="500m", gpu="3"), "Nodes": None, "NodeNames": NAMES}
    found = client.post("/kubernetes/filter", json=asked).json()

    assert found["NodeNames"] == ["gpu1"]
    assert found["Nodes"] is None
    assert found["FailedNodes"] == {
        "gpu0": "not enough gpu",
        "gpu2": "the node is draining",
        "cpu0": "not enough gpu",
        "stranger": "not a node of lepton-rl",
    }
    assert found["FailedAndUnresolvableNodes"] == {}
    assert found["Error"] == ""


def test_filter_with_whole_nodes_in_lower_case(client: Client) -> None:
    items = [node(name) for name in NAMES]
    listed = {"apiVersion": "v1", "kind": "NodeList", "metadata": {}, "items": items}
    found = client.post("/kubernetes/filter", json={"pod": pod(cpu="9"), "nodes": listed}).json()

    assert [each["metadata"]["name"] for each in found["Nodes"]["items"]] == ["gpu1", "cpu0"]
    assert found["Nodes"]["items"][0] == node("gpu1"), "as it came"
    assert found["Nodes"]["kind"] == "NodeList"
    assert found["NodeNames"] is None


def test_prioritize(client: Client) -> None:
    asked = {"Pod": pod(cpu="1"), "NodeNames": NAMES}
    found = client.post("/kubernetes/prioritize", json=asked).json()

    assert found == [
        {"Host": "gpu0", "Score": 5},
        {"Host": "gpu1", "Score": 10},
        {"Host": "gpu2", "Score": 0},
        {"Host": "cpu0", "Score": 10},
        {"Host": "stranger", "Score": 0},
    ]


@pytest.mark.parametrize(
    "arguments",
    [
        {"Pod": pod(cpu="much"), "NodeNames": NAMES},
        {"Pod": pod(cpu="-1"), "NodeNames": NAMES},
        {"Pod": pod(), "NodeNames": "gpu0"},
        {"Pod": [], "NodeNames": NAMES},
        {"Pod": pod(), "Nodes": {"items": [{}]}},
        {"Pod": pod(), "Nodes": 3},
    ],
    ids=str,
)
def test_problems_are_told_in_the_answer(client: Client, arguments: dict[str, Any]) -> None:
    found = client.post("/kubernetes/filter", json=arguments)

    assert found.status_code == 200
    assert found.json()["Error"].startswith("lepton-rl cannot read the arguments: ")
    assert client.post("/kubernetes/prioritize", json=arguments).status_code == 200


@pytest.mark.parametrize(
    ("quantity", "cores"),
    [("1", 1), ("500m", 0.5), ("2e3", 2000), ("1k", 1000), ("0.25", 0.25), ("1Ki", 1024)],
)
def test_quantities(quantity: str, cores: float) -> None:
    assert pod_demand(pod(cpu=quantity)) == {"cpu": cores}


def test_memory_containers_and_init_containers() -> None:
    whole = pod(memory="2Gi", cpu="1")
    whole["spec"]["containers"].append({"resources": {"limits": {"cpu": "2", "ephemeral": "1"}}})
    whole["spec"]["initContainers"] = [{"resources": {"requests": {"memory": "8589934592"}}}]

    assert pod_demand(whole) == {"cpu": 3.0, "memory": 8.0}


def test_they_are_off_unless_asked_for() -> None:
    with client_of(make_service()) as found:
        answer = found.post("/kubernetes/filter", json={})
    assert answer.status_code in (404, 405)
