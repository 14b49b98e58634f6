"""Reading a scheduler, which is locked meanwhile."""

from __future__ import annotations

from collections.abc import Mapping

from lepton_rl.core.clock import to_seconds
from lepton_rl.core.nodes import NodeState
from lepton_rl.core.tasks import TaskState
from lepton_rl.core.version import VERSION
from lepton_rl.system.life import StopReason
from lepton_rl.system.metrics.metric import Labels
from lepton_rl.system.scheduler import Scheduler

__all__ = [
    "allocated_shares",
    "decisions",
    "info",
    "interruptions",
    "labelled",
    "longest_wait_s",
    "nodes_by_state",
    "outcomes",
    "policy_events",
    "tasks_by_state",
]


def labelled(values: Mapping[str, float]) -> Mapping[Labels, float]:
    """Values by their one label."""
    return {(name,): value for name, value in values.items()}


def info(scheduler: Scheduler) -> Mapping[Labels, float]:
    """Version and policy."""
    return {(VERSION, scheduler._policy.name): 1}


def tasks_by_state(scheduler: Scheduler) -> Mapping[Labels, float]:
    """Unfinished tasks by state."""
    queue = scheduler.queue
    on_nodes, num_pending = queue.on_nodes(), len(queue.waiting())
    num_preempted = sum(entry.state is TaskState.PREEMPTED for entry in on_nodes)
    return labelled(
        {
            TaskState.SUBMITTED.value: queue.num_unfinished - num_pending - len(on_nodes),
            TaskState.PENDING.value: num_pending,
            TaskState.RUNNING.value: len(on_nodes) - num_preempted,
            TaskState.PREEMPTED.value: num_preempted,
        }
    )


def longest_wait_s(scheduler: Scheduler) -> float:
    """The wait so far of the task that has been pending longest; 0 if none is."""
    first_us = min((entry.submit_us for entry in scheduler.queue.waiting()), default=None)
    return 0.0 if first_us is None else float(to_seconds(max(0, scheduler.now_us - first_us)))


def allocated_shares(scheduler: Scheduler) -> Mapping[Labels, float]:
    """Share of what is available of each kind that is in use now, 0 to 1."""
    pool = scheduler.pool
    names = pool.cluster.schema.names
    allocated, available = pool.allocated_units().tolist(), pool.available_units().tolist()
    return {
        (name,): used / offered if offered else 0.0
        for name, used, offered in zip(names, allocated, available, strict=True)
    }


def nodes_by_state(scheduler: Scheduler) -> Mapping[Labels, float]:
    """Nodes that are there."""
    states = list(scheduler.node_states().values())
    return labelled({state.value: states.count(state) for state in NodeState})


def outcomes(scheduler: Scheduler) -> Mapping[Labels, float]:
    """Ended tasks by final state; all states are there from the beginning."""
    final = {state.value: 0 for state in TaskState if state.is_final}
    return labelled({**final, **scheduler.monitor.outcomes})


def decisions(scheduler: Scheduler) -> Mapping[Labels, float]:
    """Decisions by kind; all kinds are there from the beginning."""
    return labelled({"preempt": 0, **scheduler.monitor.decisions})


def policy_events(scheduler: Scheduler) -> Mapping[Labels, float]:
    """What became of the answers of a guarded, shadowed or reloaded policy; else nothing."""
    counting = scheduler._counting
    return {} if counting is None else labelled(counting.counts())


def interruptions(scheduler: Scheduler) -> Mapping[Labels, float]:
    """Interruptions by reason; the reasons of our own are there from the beginning."""
    known = ("failed", StopReason.PREEMPT, StopReason.NODE_LOST, StopReason.SHUTDOWN)
    return labelled({**{str(why): 0 for why in known}, **scheduler.monitor.interruptions})
