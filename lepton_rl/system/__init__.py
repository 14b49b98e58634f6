"""The Lepton system: queue, pool, scheduler, executor, monitor.

submit -> TaskQueue -> Scheduler(policy) -> ResourcePool -> Executor -> Monitor
"""

from lepton_rl.system.executor import Completion, Executor, SimulatedExecutor
from lepton_rl.system.monitor import Monitor, TaskRecord
from lepton_rl.system.pool import Refusal, ResourcePool
from lepton_rl.system.queue import TaskQueue
from lepton_rl.system.scheduler import EventBatching, Scheduler

__all__ = [
    "Completion",
    "EventBatching",
    "Executor",
    "Monitor",
    "Refusal",
    "ResourcePool",
    "Scheduler",
    "SimulatedExecutor",
    "TaskQueue",
    "TaskRecord",
]
