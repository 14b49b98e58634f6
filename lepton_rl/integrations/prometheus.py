"""Prometheus: the figures of `lepton_rl.system.metrics`, over HTTP or as a text file.

Needs prometheus_client (`pip install 'lepton-rl[serve]'`), which is loaded when it is used.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from wsgiref.simple_server import WSGIServer

from lepton_rl.core.checks import require_count
from lepton_rl.core.errors import ConfigError
from lepton_rl.system.metrics import (
    METRICS,
    NODE_LOAD,
    Distribution,
    Metric,
    MetricKind,
    Reading,
    read_metrics,
)
from lepton_rl.system.scheduler import Scheduler

if TYPE_CHECKING:
    from prometheus_client.registry import CollectorRegistry

__all__ = ["LOOPBACK", "MetricsServer", "SchedulerCollector", "registry_of", "write_textfile"]

LOOPBACK = "127.0.0.1"
_LAST_PORT = 65_535


class SchedulerCollector:
    """Reads a scheduler each time it is scraped; register it with any `CollectorRegistry`.

    Args:
        scheduler: locked while it is read.
        node_loads: also the load of each node; as many series as there are nodes.

    Raises:
        ConfigError: prometheus_client is not installed.
    """

    def __init__(self, scheduler: Scheduler, *, node_loads: bool = False) -> None:
        self._core: Any = _library("metrics_core")
        self._scheduler, self._node_loads = scheduler, node_loads

    def describe(self) -> Iterable[Any]:
        """The families without values: a registry looks for names that are taken."""
        metrics = (*METRICS, NODE_LOAD) if self._node_loads else METRICS
        return [self._empty(metric) for metric in metrics]

    def collect(self) -> Iterable[Any]:
        """The families with the values of this moment."""
        readings = read_metrics(self._scheduler, node_loads=self._node_loads)
        return [self._family(reading) for reading in readings]

    def _empty(self, metric: Metric) -> Any:
        kinds = {
            MetricKind.COUNTER: self._core.CounterMetricFamily,
            MetricKind.GAUGE: self._core.GaugeMetricFamily,
            MetricKind.HISTOGRAM: self._core.HistogramMetricFamily,
            MetricKind.INFO: self._core.InfoMetricFamily,
        }
        return kinds[metric.kind](_family_name(metric), metric.help, labels=metric.labels)

    def _family(self, reading: Reading) -> Any:
        metric, value = reading.metric, reading.value
        family = self._empty(metric)
        if isinstance(value, Distribution):
            buckets = [(_bound(bound), count) for bound, count in value.buckets]
            family.add_metric([], buckets, value.sum)
            return family
        values = {(): value} if isinstance(value, int | float) else value
        for labels, each in values.items():
            if metric.kind is MetricKind.INFO:
                family.add_metric([], dict(zip(metric.labels, labels, strict=True)))
            else:
                family.add_metric(labels, each)
        return family


def registry_of(scheduler: Scheduler, *, node_loads: bool = False) -> CollectorRegistry:
    """A registry with the figures of one scheduler, and nothing else.

    Raises:
        ConfigError: prometheus_client is not installed.
    """
    registry: CollectorRegistry = _library("registry").CollectorRegistry()
    registry.register(SchedulerCollector(scheduler, node_loads=node_loads))
    return registry


def write_textfile(scheduler: Scheduler, path: str | Path, *, node_loads: bool = False) -> None:
    """Write the figures for the textfile collector of Prometheus' node exporter.

    The file is replaced in one step, so nobody reads half of it.

    Raises:
        ConfigError: prometheus_client is not installed.
        OSError: the file cannot be written.
    """
    registry = registry_of(scheduler, node_loads=node_loads)
    _library("exposition").write_to_textfile(str(path), registry)


class MetricsServer:
    """Serves the figures over HTTP at `/metrics`, from a thread, until it is closed.

    There is no authentication, so it listens on the loopback interface unless told otherwise.

    Args:
        scheduler: locked while it is read.
        port: 0 for any that is free.
        address: interface to listen on.
        node_loads: also the load of each node.

    Attributes:
        port: that it listens on.

    Raises:
        ConfigError: prometheus_client is not installed, or no such port.
        OSError: the port is in use, or there is no such address.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        port: int = 9464,
        address: str = LOOPBACK,
        *,
        node_loads: bool = False,
    ) -> None:
        port = require_count(port, "metrics: port", _LAST_PORT, least=0)
        registry = registry_of(scheduler, node_loads=node_loads)
        serve = _library("exposition").start_http_server
        self._server: WSGIServer
        self._thread: Thread
        self._server, self._thread = serve(port, address, registry)
        self.port = self._server.server_port

    def close(self) -> None:
        """Stop listening; nothing happens the second time."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _family_name(metric: Metric) -> str:
    """The library adds the endings of counters and infos itself."""
    return metric.name.removesuffix("_total").removesuffix("_info")


def _bound(upper: float) -> str:
    return "+Inf" if upper == float("inf") else repr(upper)


def _library(module: str) -> Any:
    try:
        return importlib.import_module(f"prometheus_client.{module}")
    except ModuleNotFoundError as error:
        raise ConfigError(
            "metrics for Prometheus need prometheus_client; install it with:"
            " pip install 'lepton-rl[serve]'"
        ) from error
