"""A view of a cluster that somebody describes, for decisions without a scheduler."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lepton_rl.core.clock import to_us
from lepton_rl.core.errors import InfeasibleDecisionError, StateError
from lepton_rl.core.intake import node_table
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.policy import Start
from lepton_rl.core.rules.signals import pass_time
from lepton_rl.core.tables import View
from lepton_rl.core.tasks import Task
from lepton_rl.system.pool import ResourcePool
from lepton_rl.system.queue import TaskQueue
from lepton_rl.system.state import Tables

__all__ = ["RunningTask", "Snapshot"]


@dataclass(frozen=True, slots=True)
class RunningTask:
    """A task that holds nodes.

    Attributes:
        task: which.
        nodes: name of the node of each replica.
        start_s: when it started (>= 0).
    """

    task: Task
    nodes: Sequence[str]
    start_s: float


class Snapshot:
    """Queue and pool at one moment.

    Args:
        cluster: the machines.
        running: what holds nodes.
        pending: what waits, in order of submission.
        now_s: the time; nothing was submitted or started later.

    Raises:
        LeptonError: a task or node is not as it should be, or what runs does not fit.
    """

    def __init__(
        self,
        cluster: Cluster,
        running: Sequence[RunningTask],
        pending: Sequence[Task],
        now_s: float,
    ) -> None:
        self._tables = Tables(node_table(cluster))
        self.queue = TaskQueue(cluster, self._tables)
        self.pool = ResourcePool(cluster, self._tables)
        self._names = [node.name for node in cluster.nodes]
        index = {name: m for m, name in enumerate(self._names)}
        now_us = int(to_us(now_s))
        for each in sorted(running, key=lambda each: each.start_s):
            self._start(each, index, now_us)
        pass_time(self._tables.handle, 0, now_us)
        for task in pending:
            self.queue.submit(task)
        while self.queue.receive(now_us) is not None:
            pass
        if self.queue.next_arrival_us() is not None:
            raise StateError(f"expected pending tasks that were submitted by {now_s:g} s")

    @property
    def view(self) -> View:
        """What a policy sees."""
        return self._tables.view

    def task_of(self, local: int) -> str:
        """Id of the task of a local index."""
        return self.queue.task_at(local).id

    def nodes_of(self, nodes: Sequence[int]) -> list[str]:
        """Names of nodes."""
        return [self._names[m] for m in nodes]

    def apply(self, decision: Start) -> Start:
        """Let a task run from now on; without nodes it gets the least loaded ones.

        Returns:
            The decision with its nodes.

        Raises:
            InfeasibleDecisionError: that cannot be.
        """
        nodes = decision.nodes or self.pool.least_loaded(decision.task)
        self.pool.allocate(decision.task, nodes)
        self.queue.start(decision.task, tuple(nodes))
        return Start(decision.task, tuple(nodes))

    def _start(self, running: RunningTask, index: Mapping[str, int], now_us: int) -> None:
        task, start_us = running.task, int(to_us(running.start_s))
        unknown = [name for name in running.nodes if name not in index]
        if unknown or start_us > now_us:
            what = f"on an unknown node, {unknown[0]!r}" if unknown else "later than now"
            raise StateError(f"task {task.id!r} runs {what}")
        pass_time(self._tables.handle, 0, start_us)
        self.queue.submit(task)
        if self.queue.receive(start_us) is None:
            raise StateError(f"task {task.id!r} started before it was submitted")
        try:
            self.apply(Start(self.queue.local_of(task.id), tuple(index[n] for n in running.nodes)))
        except InfeasibleDecisionError as error:
            raise StateError(f"running task {task.id!r}: {error}") from error
