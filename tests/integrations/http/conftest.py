"""A service of simulated tasks, in this process and over real sockets."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.policy import Policy
from lepton_rl.integrations.http.policies import ServedPolicies
from lepton_rl.integrations.http.service import Made, Service
from lepton_rl.integrations.http.settings import ServeSettings
from lepton_rl.policies.guard import GuardSettings
from lepton_rl.policies.registry import heuristic
from lepton_rl.system import Scheduler
from lepton_rl.system.journal import Journal
from lepton_rl.system.monitor import Monitor
from lepton_rl.system.monitor.monitor import Listener

pytest.importorskip("fastapi", reason="needs lepton-rl[serve]")

from lepton_rl.integrations.http.app import create_app
from lepton_rl.integrations.http.server import make_server

TOKEN = "t0ken-for-tests-0123456789"
AUTHORISED = {"Authorization": f"Bearer {TOKEN}"}
CLUSTER = Cluster(
    (
        *(Node(f"gpu{m}", {"cpu": 16, "memory": 64, "gpu": 4}, "A100") for m in range(3)),
        Node("cpu0", {"cpu": 32, "memory": 128}, labels=frozenset({"zone-a"})),
    )
)
EASYGOING = GuardSettings(budget_us=60e6)
LONG_S = 60.0


def make_service(
    policy: Policy | None = None,
    journal: Path | None = None,
    cluster: Cluster = CLUSTER,
    keep_ended: int = 10_000,
) -> Service:
    def make(acting: Policy, listener: Listener) -> Made:
        opened = None if journal is None else Journal.open(journal)
        monitor = Monitor(cluster, keep_ended=keep_ended, on_event=listener)
        scheduler = Scheduler(cluster, acting, None, monitor, strict=False, journal=opened)
        return Made(scheduler, opened)

    policies = ServedPolicies(lambda: policy or heuristic("sjf+easy"), guard=EASYGOING)
    return Service(make, policies)


def settings(**more: object) -> ServeSettings:
    return ServeSettings.model_validate({"token": TOKEN, **more})


@contextmanager
def serving(service: Service, **more: object) -> Iterator[str]:
    """The service on a free port of the loopback interface; yields its address."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = make_server(create_app(service, settings(**more)))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    give_up = time.monotonic() + LONG_S
    while not server.started:
        assert thread.is_alive()
        assert time.monotonic() < give_up
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(LONG_S)
        listening.close()
    assert not thread.is_alive()


@contextmanager
def client_of(service: Service, **more: object) -> Iterator[httpx.Client]:
    """A plain HTTP client with the token, of the service on a real socket."""
    with (
        serving(service, **more) as url,
        httpx.Client(base_url=url, headers=AUTHORISED, timeout=LONG_S) as found,
    ):
        yield found
