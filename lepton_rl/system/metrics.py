"""What operators watch of a scheduler: every figure with its name, unit and labels.

Names follow the conventions of Prometheus (base units at the end, `_total` for counters). Labels
have few values: kinds, states, causes, and, where asked for, nodes; never tasks. docs/monitoring.md
has the same as a table; `lepton_rl.integrations.prometheus` exports it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from lepton_rl.core.nodes import NodeState
from lepton_rl.core.tasks import TaskState
from lepton_rl.core.version import VERSION
from lepton_rl.system.life import StopReason
from lepton_rl.system.monitor import Histogram
from lepton_rl.system.scheduler import Scheduler

__all__ = [
    "METRICS",
    "NODE_LOAD",
    "Distribution",
    "Metric",
    "MetricKind",
    "Reading",
    "read_metrics",
]


class MetricKind(StrEnum):
    """What a figure does over time."""

    COUNTER = "counter"
    """it only grows"""
    GAUGE = "gauge"
    """it goes up and down"""
    HISTOGRAM = "histogram"
    """a `Distribution`"""
    INFO = "info"
    """always 1; the labels are the information"""


@dataclass(frozen=True, slots=True)
class Distribution:
    """A histogram at one moment.

    Attributes:
        buckets: upper bound and number of values up to it, the last bound infinity.
        sum: of all values.
    """

    buckets: tuple[tuple[float, int], ...]
    sum: float

    @classmethod
    def of(cls, histogram: Histogram) -> Distribution:
        """A copy of what a histogram has now."""
        return cls(tuple(histogram.cumulative()), histogram.sum)


Labels = tuple[str, ...]
Value = Mapping[Labels, float] | float | Distribution


@dataclass(frozen=True, slots=True)
class Metric:
    """One figure.

    Attributes:
        name: as exported.
        kind: what it does over time.
        help: one sentence.
        read: its value now, or one for each value of its labels. The scheduler is locked.
        labels: their names.
    """

    name: str
    kind: MetricKind
    help: str
    read: Callable[[Scheduler], Value]
    labels: Labels = ()


@dataclass(frozen=True, slots=True)
class Reading:
    """One figure and its value."""

    metric: Metric
    value: Value


def read_metrics(scheduler: Scheduler, *, node_loads: bool = False) -> list[Reading]:
    """All figures, of one moment.

    Args:
        scheduler: is locked meanwhile; live or not.
        node_loads: with `NODE_LOAD`, a figure for each node.
    """
    wanted = (*METRICS, NODE_LOAD) if node_loads else METRICS
    with scheduler._changed:
        return [Reading(metric, metric.read(scheduler)) for metric in wanted]


def _by(values: Mapping[str, float]) -> Mapping[Labels, float]:
    return {(name,): value for name, value in values.items()}


def _histogram(name: str, help_: str, attribute: str) -> Metric:
    def read(scheduler: Scheduler) -> Distribution:
        return Distribution.of(getattr(scheduler.monitor, attribute))

    return Metric(name, MetricKind.HISTOGRAM, help_, read)


def _info(scheduler: Scheduler) -> Mapping[Labels, float]:
    return {(VERSION, scheduler._policy.name): 1}


def _tasks(scheduler: Scheduler) -> Mapping[Labels, float]:
    """Unfinished tasks by state."""
    queue = scheduler.queue
    on_nodes, num_pending = queue.on_nodes(), len(queue.waiting())
    num_preempted = sum(entry.state is TaskState.PREEMPTED for entry in on_nodes)
    return _by(
        {
            TaskState.SUBMITTED.value: queue.num_unfinished - num_pending - len(on_nodes),
            TaskState.PENDING.value: num_pending,
            TaskState.RUNNING.value: len(on_nodes) - num_preempted,
            TaskState.PREEMPTED.value: num_preempted,
        }
    )


def _longest_wait_s(scheduler: Scheduler) -> float:
    """The wait so far of the task that has been pending longest; 0 if none is."""
    first_us = min((entry.submit_us for entry in scheduler.queue.waiting()), default=None)
    return 0.0 if first_us is None else max(0, scheduler.now_us - first_us) / 1e6


def _allocated_now(scheduler: Scheduler) -> Mapping[Labels, float]:
    pool = scheduler.pool
    names = pool.cluster.schema.names
    allocated, available = pool.allocated_units().tolist(), pool.available_units().tolist()
    return {
        (name,): used / offered if offered else 0.0
        for name, used, offered in zip(names, allocated, available, strict=True)
    }


def _nodes(scheduler: Scheduler) -> Mapping[Labels, float]:
    states = list(scheduler.node_states().values())
    return _by({state.value: states.count(state) for state in NodeState})


def _outcomes(scheduler: Scheduler) -> Mapping[Labels, float]:
    final = {state.value: 0 for state in TaskState if state.is_final}
    return _by({**final, **scheduler.monitor.outcomes})


def _decisions(scheduler: Scheduler) -> Mapping[Labels, float]:
    return _by({"preempt": 0, **scheduler.monitor.decisions})


def _interruptions(scheduler: Scheduler) -> Mapping[Labels, float]:
    known = ("failed", StopReason.PREEMPT, StopReason.NODE_LOST, StopReason.SHUTDOWN)
    return _by({**{str(why): 0 for why in known}, **scheduler.monitor.interruptions})


_GAUGE, _COUNTER = MetricKind.GAUGE, MetricKind.COUNTER

NODE_LOAD = Metric(
    "lepton_node_load_ratio",
    _GAUGE,
    "Load C/T of a node, its dominant share in use, 0 to 1.",
    lambda scheduler: _by(scheduler.pool.loads()),
    ("node",),
)

METRICS = (
    Metric(
        "lepton_scheduler_info",
        MetricKind.INFO,
        "Version of lepton-rl and name of the policy.",
        _info,
        ("version", "policy"),
    ),
    Metric(
        "lepton_clock_seconds",
        _GAUGE,
        "The scheduler's clock: Unix time with a journal, else since it began.",
        lambda scheduler: scheduler.now_s,
    ),
    Metric("lepton_tasks", _GAUGE, "Tasks that have not ended, by state.", _tasks, ("state",)),
    Metric(
        "lepton_longest_pending_wait_seconds",
        _GAUGE,
        "Time since submission of the pending task that waits longest; 0 if none is pending.",
        _longest_wait_s,
    ),
    Metric(
        "lepton_allocated_ratio",
        _GAUGE,
        "Share of the available capacity of a resource kind that is in use now, 0 to 1.",
        _allocated_now,
        ("kind",),
    ),
    Metric(
        "lepton_utilisation_ratio",
        _GAUGE,
        "Allocated over available resource-seconds of a kind since the monitor began, 0 to 1.",
        lambda scheduler: _by(scheduler.monitor.utilisation()),
        ("kind",),
    ),
    Metric(
        "lepton_allocated_resource_seconds_total",
        _COUNTER,
        "What was in use of a resource kind, in its unit (core, GiB, card) times seconds.",
        lambda scheduler: _by(scheduler.monitor.usage.allocated_seconds()),
        ("kind",),
    ),
    Metric(
        "lepton_available_resource_seconds_total",
        _COUNTER,
        "What was available of a resource kind, in its unit (core, GiB, card) times seconds.",
        lambda scheduler: _by(scheduler.monitor.usage.available_seconds()),
        ("kind",),
    ),
    Metric("lepton_nodes", _GAUGE, "Nodes, by state.", _nodes, ("state",)),
    Metric(
        "lepton_reserved_nodes",
        _GAUGE,
        "Nodes that are held for a critical task.",
        lambda scheduler: len(scheduler.pool.holders()),
    ),
    Metric(
        "lepton_power_watts",
        _GAUGE,
        "Power that the nodes draw now, by their idle and peak watts.",
        lambda scheduler: scheduler.pool.watts(),
    ),
    Metric(
        "lepton_energy_joules_total",
        _COUNTER,
        "Energy that the nodes have drawn (3.6e6 J are 1 kWh).",
        lambda scheduler: scheduler.monitor.usage.energy_joules,
    ),
    Metric(
        "lepton_tasks_submitted_total",
        _COUNTER,
        "Tasks taken in; those restored from a journal do not count.",
        lambda scheduler: scheduler.monitor.num_submitted,
    ),
    Metric(
        "lepton_tasks_ended_total",
        _COUNTER,
        "Tasks that have reached a final state.",
        _outcomes,
        ("outcome",),
    ),
    Metric(
        "lepton_interruptions_total",
        _COUNTER,
        "Runs after which a task was pending again, by reason.",
        _interruptions,
        ("reason",),
    ),
    Metric(
        "lepton_decisions_total",
        _COUNTER,
        "Decisions of the policy: start, preempt, wait, or refused (infeasible).",
        _decisions,
        ("decision",),
    ),
    Metric(
        "lepton_incidents_total",
        _COUNTER,
        "What failed and was survived, by cause.",
        lambda scheduler: _by(scheduler.monitor.incidents),
        ("cause",),
    ),
    _histogram(
        "lepton_decision_seconds", "Real time the policy took for one decision.", "decision_times"
    ),
    _histogram("lepton_wait_seconds", "First start - submit, of tasks that have started.", "waits"),
    _histogram(
        "lepton_run_time_seconds", "Time on nodes, all runs, of completed tasks.", "run_times"
    ),
    _histogram("lepton_turnaround_seconds", "End - submit, of completed tasks.", "turnarounds"),
    _histogram(
        "lepton_slowdown_ratio", "Turnaround over run time, of completed tasks.", "slowdowns"
    ),
    _histogram(
        "lepton_bounded_slowdown_ratio",
        "max(1, turnaround / max(run time, 10 s)), of completed tasks.",
        "bounded_slowdowns",
    ),
)
"""Every figure but `NODE_LOAD`, which has one value for each node."""
