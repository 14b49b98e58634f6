"""Every figure of a scheduler.

Names follow the conventions of Prometheus (base units at the end, `_total` for counters). Labels
have few values: kinds, states, causes, and, where asked for, nodes; never tasks.
"""

from __future__ import annotations

from lepton_rl.system.metrics.figures import (
    allocated_shares,
    decisions,
    info,
    interruptions,
    labelled,
    longest_wait_s,
    nodes_by_state,
    outcomes,
    policy_events,
    tasks_by_state,
)
from lepton_rl.system.metrics.metric import Distribution, Metric, MetricKind, Reading
from lepton_rl.system.scheduler import Scheduler

__all__ = ["METRICS", "NODE_LOAD", "read_metrics"]


def read_metrics(scheduler: Scheduler, *, node_loads: bool = False) -> list[Reading]:
    """All figures, of one moment.

    Args:
        scheduler: is locked meanwhile; live or not.
        node_loads: with `NODE_LOAD`, a figure for each node.
    """
    wanted = (*METRICS, NODE_LOAD) if node_loads else METRICS
    with scheduler._changed:
        return [Reading(metric, metric.read(scheduler)) for metric in wanted]


def _histogram(name: str, help_: str, attribute: str) -> Metric:
    def read(scheduler: Scheduler) -> Distribution:
        return Distribution.of(getattr(scheduler.monitor, attribute))

    return Metric(name, MetricKind.HISTOGRAM, help_, read)


_GAUGE, _COUNTER = MetricKind.GAUGE, MetricKind.COUNTER

NODE_LOAD = Metric(
    "lepton_node_load_ratio",
    _GAUGE,
    "Load C/T of a node, its dominant share in use, 0 to 1.",
    lambda scheduler: labelled(scheduler.pool.loads()),
    ("node",),
)

METRICS = (
    Metric(
        "lepton_scheduler_info",
        MetricKind.INFO,
        "Version of lepton-rl and name of the policy.",
        info,
        ("version", "policy"),
    ),
    Metric(
        "lepton_clock_seconds",
        _GAUGE,
        "The scheduler's clock: Unix time with a journal, else since it began.",
        lambda scheduler: scheduler.now_s,
    ),
    Metric(
        "lepton_tasks", _GAUGE, "Tasks that have not ended, by state.", tasks_by_state, ("state",)
    ),
    Metric(
        "lepton_longest_pending_wait_seconds",
        _GAUGE,
        "Time since submission of the pending task that waits longest; 0 if none is pending.",
        longest_wait_s,
    ),
    Metric(
        "lepton_allocated_ratio",
        _GAUGE,
        "Share of the available capacity of a resource kind that is in use now, 0 to 1.",
        allocated_shares,
        ("kind",),
    ),
    Metric(
        "lepton_utilisation_ratio",
        _GAUGE,
        "Allocated over available resource-seconds of a kind since the monitor began, 0 to 1.",
        lambda scheduler: labelled(scheduler.monitor.utilisation()),
        ("kind",),
    ),
    Metric(
        "lepton_allocated_resource_seconds_total",
        _COUNTER,
        "What was in use of a resource kind, in its unit (core, GiB, card) times seconds.",
        lambda scheduler: labelled(scheduler.monitor.usage.allocated_seconds()),
        ("kind",),
    ),
    Metric(
        "lepton_available_resource_seconds_total",
        _COUNTER,
        "What was available of a resource kind, in its unit (core, GiB, card) times seconds.",
        lambda scheduler: labelled(scheduler.monitor.usage.available_seconds()),
        ("kind",),
    ),
    Metric("lepton_nodes", _GAUGE, "Nodes, by state.", nodes_by_state, ("state",)),
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
        outcomes,
        ("outcome",),
    ),
    Metric(
        "lepton_interruptions_total",
        _COUNTER,
        "Runs after which a task was pending again, by reason.",
        interruptions,
        ("reason",),
    ),
    Metric(
        "lepton_decisions_total",
        _COUNTER,
        "Decisions of the policy: start, preempt, wait, or refused (infeasible).",
        decisions,
        ("decision",),
    ),
    Metric(
        "lepton_incidents_total",
        _COUNTER,
        "What failed and was survived, by cause.",
        lambda scheduler: labelled(scheduler.monitor.incidents),
        ("cause",),
    ),
    Metric(
        "lepton_policy_events_total",
        _COUNTER,
        "What became of the answers of a guarded, shadowed or reloaded policy, by event.",
        policy_events,
        ("event",),
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
