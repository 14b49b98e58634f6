"""What all steps of a scheduler work on."""

from __future__ import annotations

from lepton_rl.core.clock import to_seconds
from lepton_rl.core.policy import CountsEvents, Policy
from lepton_rl.system.executor import Completion, Executor, Resumable, UsesCards
from lepton_rl.system.monitor import Monitor
from lepton_rl.system.pool import ResourcePool
from lepton_rl.system.queue import TaskQueue
from lepton_rl.system.quotas import Quotas
from lepton_rl.system.recording import Recorder
from lepton_rl.system.state import Tables

__all__ = ["EXECUTOR_ERROR", "Parts"]

EXECUTOR_ERROR = "executor-error"


class Parts:
    """The parts of a scheduler; `Scheduler` is its public face and sets these up."""

    queue: TaskQueue
    pool: ResourcePool
    monitor: Monitor
    _tables: Tables
    _policy: Policy
    _counting: CountsEvents | None  # the policy, if it is made of others
    _executor: Executor
    _resumable: Resumable | None  # the executor, if it is one
    _uses_cards: UsesCards | None  # likewise
    _recorder: Recorder
    _quotas: Quotas
    _strict: bool
    _falls_back: bool  # the policy has raised at this instant
    _ended: list[Completion]  # have ended, but their turn has not come yet

    def _follow_policy(self, policy: Policy) -> None:
        """Let this policy decide."""
        self._policy = policy
        self._counting = policy if isinstance(policy, CountsEvents) else None

    def _employ(self, executor: Executor) -> None:
        """Let this executor run the tasks."""
        self._executor = executor
        self._resumable = executor if isinstance(executor, Resumable) else None
        self._uses_cards = executor if isinstance(executor, UsesCards) else None

    @property
    def now_us(self) -> int:
        """The clock, in us; 0 before the first event."""
        return int(self._tables.view.status["now_us"][0])

    @property
    def now_s(self) -> float:
        """The clock, in seconds."""
        return float(to_seconds(self.now_us))
