"""From what the scheduler says to what goes over the wire."""

from __future__ import annotations

from lepton_rl.core.clock import to_seconds
from lepton_rl.integrations.http.models import NodeOut, Overview, PolicyOut, TaskOut
from lepton_rl.integrations.http.service import Service
from lepton_rl.system.metrics.figures import allocated_shares, longest_wait_s, tasks_by_state
from lepton_rl.system.status import NodeStatus, TaskStatus, node_statuses, queue_status

__all__ = ["node_out", "overview", "policy_out", "task_out"]

_SHOWN = 50
"""Pending and running tasks on the live page, of each."""


def task_out(status: TaskStatus) -> TaskOut:
    """A task."""
    record = status.record
    submit_us, start_us, end_us = (
        (None, None, None)
        if record is None
        else (record.submit_us, record.first_start_us, record.end_us)
    )
    return TaskOut(
        id=status.id,
        state=status.state.value,
        reason=status.reason,
        submit_s=_seconds(submit_us),
        start_s=_seconds(start_us),
        end_s=_seconds(end_us),
        nodes=list(status.nodes),
        demand={} if status.task is None else dict(status.task.demand),
    )


def node_out(status: NodeStatus) -> NodeOut:
    """A node."""
    node = status.node
    return NodeOut(
        name=node.name,
        state=status.state,
        load=status.load,
        capacity=dict(node.capacity),
        free=status.free,
        device_model=node.device_model,
        held_for=status.held_for,
    )


def policy_out(service: Service) -> PolicyOut:
    """Who decides."""
    policies = service.policies
    counting = service.scheduler._counting
    return PolicyOut(
        name=policies.current.name,
        previous=None if policies.previous is None else policies.previous.name,
        fallback=policies.fallback,
        sha256=policies.sha256,
        events={} if counting is None else dict(counting.counts()),
    )


def overview(service: Service) -> Overview:
    """Everything on the live page."""
    scheduler = service.scheduler
    with scheduler._changed:
        monitor = scheduler.monitor
        pending, running = queue_status(scheduler, _SHOWN)
        names = tuple(node.name for node in scheduler.pool.cluster.nodes)
        return Overview(
            now_s=scheduler.now_s,
            policy=policy_out(service),
            tasks={labels[0]: int(count) for labels, count in tasks_by_state(scheduler).items()},
            ended=dict(monitor.outcomes),
            decisions=dict(monitor.decisions),
            incidents=dict(monitor.incidents),
            allocated={kind[0]: share for kind, share in allocated_shares(scheduler).items()},
            longest_wait_s=longest_wait_s(scheduler),
            mean_wait_s=monitor.waits.mean,
            nodes=[node_out(status) for status in node_statuses(scheduler)],
            pending=[task_out(status) for status in pending],
            running=[task_out(status) for status in running],
            events=service.recent.latest(names),
            problem=service.problem,
        )


def _seconds(time_us: int | None) -> float | None:
    return None if time_us is None else float(to_seconds(time_us))
