"""A steady load on the loopback interface: no task is lost, and memory stays flat."""

from __future__ import annotations

import gc
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lepton_rl.core.nodes import Cluster
from lepton_rl.core.tasks import Task
from lepton_rl.integrations.http.client import Client
from tests.integrations.http.conftest import LONG_S, TOKEN, make_service, serving

CLIENTS = 4


def resident_mb() -> float:
    """What this process holds now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 2**20


def submit(client: Client, first: int, count: int) -> None:
    for number in range(first, first + count):
        client.submit(Task(f"t{number}", {"cpu": 1 + number % 4}, 1.0, run_time_s=0.002))


def load(url: str, first: int, count: int) -> None:
    """`count` tasks from several clients, each of which waits for each answer."""
    share = count // CLIENTS
    with ThreadPoolExecutor(CLIENTS) as pool:
        clients = [Client(url, TOKEN) for _ in range(CLIENTS)]
        work = [
            pool.submit(submit, client, first + index * share, share)
            for index, client in enumerate(clients)
        ]
        for each in work:
            each.result(600)
        for client in clients:
            client.close()


def all_done(url: str, count: int) -> dict[str, int]:
    give_up = time.monotonic() + LONG_S
    with Client(url, TOKEN) as client:
        while True:
            ended = dict(client._call("GET", "/v1/overview")["ended"])
            if sum(ended.values()) >= count or time.monotonic() > give_up:
                return ended
            time.sleep(0.05)


@pytest.mark.parametrize(
    ("rounds", "count"),
    [(2, 100), pytest.param(6, 1000, marks=pytest.mark.slow)],
    ids=["short", "long"],
)
def test_no_task_is_lost_and_memory_is_flat(rounds: int, count: int, tmp_path: Path) -> None:
    service = make_service(
        journal=tmp_path / "journal.db", cluster=Cluster.pool(64), keep_ended=200
    )
    held = []
    with serving(service) as url:
        for number in range(rounds):
            load(url, number * count, count)
            assert all_done(url, (number + 1) * count) == {"completed": (number + 1) * count}
            gc.collect()
            held.append(resident_mb())
        assert not service.scheduler.monitor.incidents
    print("resident MiB after each round:", *(f"{each:.0f}" for each in held))
    assert held[-1] - held[len(held) // 2 - 1] < 30
