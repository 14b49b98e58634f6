"""The Lepton system: queue, pool, scheduler, executor, monitor.

submit -> TaskQueue -> Scheduler(policy) -> ResourcePool -> Executor -> Monitor
"""

from lepton_rl.system.clocks import MonotonicClock
from lepton_rl.system.executor import Completion, Executor, Outcome, Resumable, UsesCards
from lepton_rl.system.monitor import EventLog, Histogram, Interruption, Monitor, TaskRecord
from lepton_rl.system.pool import Refusal, ResourcePool
from lepton_rl.system.queue import TaskQueue
from lepton_rl.system.scheduler import EventBatching, Scheduler
from lepton_rl.system.simulated import Failures, SimulatedExecutor

__all__ = [
    "Completion",
    "EventBatching",
    "EventLog",
    "Executor",
    "Failures",
    "Histogram",
    "Interruption",
    "Monitor",
    "MonotonicClock",
    "Outcome",
    "Refusal",
    "ResourcePool",
    "Resumable",
    "Scheduler",
    "SimulatedExecutor",
    "TaskQueue",
    "TaskRecord",
    "UsesCards",
]
