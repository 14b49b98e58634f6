"""What Prometheus reads is what the scheduler did, and what docs/monitoring.md says."""

from __future__ import annotations

import re
import sys
import urllib.request
from pathlib import Path

import pytest

from lepton_rl.core.errors import ConfigError
from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.tasks import Task
from lepton_rl.integrations import prometheus
from lepton_rl.policies.registry import heuristic
from lepton_rl.system import Monitor, Scheduler
from lepton_rl.system.metrics import METRICS, NODE_LOAD
from lepton_rl.system.monitor.histogram import (
    LATENCY_BUCKETS_S,
    SLOWDOWN_BUCKETS,
    TIME_BUCKETS_S,
)

client = pytest.importorskip(
    "prometheus_client", reason="needs prometheus_client: the extra `serve`"
)
parser = pytest.importorskip("prometheus_client.parser")
openmetrics = pytest.importorskip("prometheus_client.openmetrics.exposition")

DOCS = Path(__file__).parents[2] / "docs" / "monitoring.md"
CLUSTER = Cluster(
    (
        Node("a", {"cpu": 4, "gpu": 2}, idle_watts=100, peak_watts=300),
        Node("b", {"cpu": 4}, idle_watts=50, peak_watts=50),
    )
)
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples_of(text: str) -> Samples:
    """(name, labels) -> value."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parser.text_string_to_metric_families(text)
        for sample in family.samples
    }


def scrape(scheduler: Scheduler, *, node_loads: bool = False) -> Samples:
    registry = client.CollectorRegistry()
    registry.register(prometheus.SchedulerCollector(scheduler, node_loads=node_loads))
    return samples_of(client.generate_latest(registry).decode())


def at(samples: Samples, name: str, **labels: str) -> float:
    return samples[name, tuple(sorted(labels.items()))]


@pytest.fixture
def scheduler() -> Scheduler:
    """At 20 s `long` runs on all of node a, `waits` is pending, `short` has completed."""
    system = Scheduler(CLUSTER, heuristic("fcfs"))
    system.submit_all(
        [
            Task("short", {"cpu": 4, "gpu": 1}, 10, run_time_s=10),
            Task("long", {"cpu": 4, "gpu": 2}, 100, submit_time_s=2, run_time_s=100),
            Task("waits", {"cpu": 4, "gpu": 1}, 50, submit_time_s=5, run_time_s=50),
            Task("later", {"cpu": 1}, 50, submit_time_s=500, run_time_s=50),
        ]
    )
    system.run_until(20)
    return system


def test_figures_by_hand(scheduler: Scheduler) -> None:
    found = scrape(scheduler)

    assert at(found, "lepton_clock_seconds") == 20
    states = {"submitted": 1, "pending": 1, "running": 1, "preempted": 0}
    for state, count in states.items():
        assert at(found, "lepton_tasks", state=state) == count
    assert at(found, "lepton_longest_pending_wait_seconds") == 15
    assert at(found, "lepton_allocated_ratio", kind="cpu") == 0.5
    assert at(found, "lepton_allocated_ratio", kind="gpu") == 1
    assert at(found, "lepton_allocated_resource_seconds_total", kind="cpu") == 4 * 20
    assert at(found, "lepton_available_resource_seconds_total", kind="cpu") == 8 * 20
    assert at(found, "lepton_utilisation_ratio", kind="cpu") == 0.5
    assert at(found, "lepton_utilisation_ratio", kind="gpu") == (1 * 10 + 2 * 10) / (2 * 20)
    assert at(found, "lepton_power_watts") == 350
    assert at(found, "lepton_energy_joules_total") == pytest.approx(350 * 20)
    assert at(found, "lepton_tasks_submitted_total") == 4
    assert at(found, "lepton_tasks_ended_total", outcome="completed") == 1
    assert at(found, "lepton_tasks_ended_total", outcome="failed") == 0
    assert at(found, "lepton_decisions_total", decision="start") == 2
    assert at(found, "lepton_wait_seconds_count") == 2
    assert at(found, "lepton_wait_seconds_sum") == 0 + 8
    assert at(found, "lepton_wait_seconds_bucket", le="1.0") == 1
    assert at(found, "lepton_wait_seconds_bucket", le="10.0") == 2
    assert at(found, "lepton_wait_seconds_bucket", le="+Inf") == 2
    assert at(found, "lepton_turnaround_seconds_sum") == 10
    decisions = scheduler.monitor.decision_times.count
    assert at(found, "lepton_decision_seconds_count") == decisions > 0


def test_nodes_and_what_goes_wrong(scheduler: Scheduler) -> None:
    scheduler.monitor.incident("policy-error")
    scheduler.fail_node("a")
    scheduler.run_until(21)
    found = scrape(scheduler)

    assert at(found, "lepton_nodes", state="down") == 1
    assert at(found, "lepton_nodes", state="up") == 1
    assert at(found, "lepton_interruptions_total", reason="node-lost") == 1
    assert at(found, "lepton_incidents_total", cause="policy-error") == 1
    assert at(found, "lepton_tasks", state="pending") == 2


def test_the_info_names_the_policy(scheduler: Scheduler) -> None:
    (labels,) = (labels for name, labels in scrape(scheduler) if name == "lepton_scheduler_info")

    assert dict(labels)["policy"] == scheduler._policy.name


def test_nodes_are_opt_in_and_tasks_never_are_labels(scheduler: Scheduler) -> None:
    without, with_nodes = scrape(scheduler), scrape(scheduler, node_loads=True)

    assert at(with_nodes, "lepton_node_load_ratio", node="a") == 1
    assert at(with_nodes, "lepton_node_load_ratio", node="b") == 0
    assert "lepton_node_load_ratio" not in {name for name, _ in without}
    values = {value for _, labels in with_nodes for _, value in labels}
    assert not values & {"short", "long", "waits", "later"}


def test_the_number_of_series_does_not_grow_with_tasks() -> None:
    def series(tasks: int) -> int:
        system = Scheduler(CLUSTER, heuristic("fcfs"), monitor=Monitor(CLUSTER, keep_ended=5))
        for number in range(tasks):
            system.submit(Task(f"t{number}", {"cpu": 1}, 10, number, 10, tenant=f"user-{number}"))
        system.run()
        return len(scrape(system))

    assert series(3) == series(60)


def documented() -> dict[str, tuple[str, str]]:
    """Name -> (type, labels) of the table in the docs."""
    rows = re.findall(r"^\| `(lepton_\w+)` \| (\w+) \| ([^|]*)\|", DOCS.read_text(), re.M)
    return {name: (kind, labels.replace("`", "").strip()) for name, kind, labels in rows}


def test_the_docs_have_every_metric_and_no_other() -> None:
    ours = {
        metric.name: (metric.kind.value, ", ".join(metric.labels))
        for metric in (*METRICS, NODE_LOAD)
    }

    assert documented() == ours


def test_what_is_exported_is_what_the_docs_say(scheduler: Scheduler) -> None:
    registry = prometheus.registry_of(scheduler, node_loads=True)
    text = client.generate_latest(registry).decode()
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.M))
    helps = dict(re.findall(r"^# HELP (\S+) (.+)$", text, re.M))

    as_gauge = {"info": "gauge"}  # the text format knows no infos
    assert types == {name: as_gauge.get(kind, kind) for name, (kind, _) in documented().items()}
    assert helps.keys() == types.keys()


def test_the_docs_have_the_buckets() -> None:
    found = {
        name: tuple(float(each) for each in bounds.replace(",", "").split())
        for name, bounds in re.findall(r"^- (times|slowdowns|decisions)[^:]*: ([\d., e-]+)$",
                                       DOCS.read_text(), re.M)
    }  # fmt: skip

    assert found == {
        "times": TIME_BUCKETS_S,
        "slowdowns": SLOWDOWN_BUCKETS,
        "decisions": LATENCY_BUCKETS_S,
    }


@pytest.mark.parametrize("metric", [*METRICS, NODE_LOAD], ids=lambda metric: metric.name)
def test_names_follow_the_conventions(metric) -> None:  # type: ignore[no-untyped-def]
    assert re.fullmatch(r"lepton_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind == "counter")
    assert metric.name.endswith("_info") == (metric.kind == "info")
    assert metric.help.endswith(".")


def test_the_newer_text_format(scheduler: Scheduler) -> None:
    """OpenMetrics, which Prometheus asks for, has a stricter parser."""
    text = openmetrics.generate_latest(prometheus.registry_of(scheduler, node_loads=True))
    parse = pytest.importorskip("prometheus_client.openmetrics.parser")

    families = list(parse.text_string_to_metric_families(text.decode()))
    assert len(families) == len(METRICS) + 1


def test_two_schedulers_do_not_share_a_registry_by_accident(scheduler: Scheduler) -> None:
    registry = prometheus.registry_of(scheduler)

    with pytest.raises(ValueError, match="Duplicated timeseries"):
        registry.register(prometheus.SchedulerCollector(scheduler))


def test_a_text_file(scheduler: Scheduler, tmp_path: Path) -> None:
    path = tmp_path / "lepton.prom"
    prometheus.write_textfile(scheduler, path)

    assert at(samples_of(path.read_text()), "lepton_clock_seconds") == 20
    assert list(tmp_path.iterdir()) == [path]


def test_serving_on_the_loopback_interface(scheduler: Scheduler) -> None:
    with prometheus.MetricsServer(scheduler, port=0) as server:
        address = server._server.server_address[0]
        url = f"http://{prometheus.LOOPBACK}:{server.port}/metrics"
        with urllib.request.urlopen(url, timeout=30) as reply:
            found = samples_of(reply.read().decode())
    server.close()

    assert address == "127.0.0.1"
    assert at(found, "lepton_tasks", state="running") == 1
    assert not server._thread.is_alive()


def test_a_live_scheduler_can_be_read_while_it_works() -> None:
    system = Scheduler(CLUSTER, heuristic("fcfs"))
    system.start()
    for number in range(20):
        system.submit(Task(f"t{number}", {"cpu": 1}, 0.01, run_time_s=0.01))
        scrape(system)
    assert system.stop(drain=True, timeout_s=60)
    found = scrape(system)

    assert at(found, "lepton_tasks_ended_total", outcome="completed") == 20
    assert at(found, "lepton_wait_seconds_count") == 20


@pytest.mark.parametrize("port", [-1, 65_536, "http"])
def test_ports(scheduler: Scheduler, port: int) -> None:
    with pytest.raises(ConfigError, match="metrics: port must be a whole number from 0 to 65535"):
        prometheus.MetricsServer(scheduler, port)


def test_without_the_library(scheduler: Scheduler, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "prometheus_client"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [_Hides("prometheus_client"), *sys.meta_path])

    with pytest.raises(ConfigError, match=r"pip install 'lepton-rl\[serve\]'"):
        prometheus.SchedulerCollector(scheduler)


class _Hides:
    """An import finder for which a package is not installed."""

    def __init__(self, package: str) -> None:
        self._package = package

    def find_spec(self, name: str, path: object = None, target: object = None) -> None:
        if name.split(".")[0] == self._package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
