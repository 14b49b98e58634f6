"""One snapshot as a policy sees it: the live system's own queue, pool and tables."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lepton_rl.core.clock import to_us
from lepton_rl.core.errors import ConfigError, InfeasibleDecisionError, InfeasibleTaskError
from lepton_rl.core.intake import node_table
from lepton_rl.core.nodes import NodeState
from lepton_rl.core.rules.fit import replica_capacity
from lepton_rl.core.tables import View
from lepton_rl.core.tasks import Task
from lepton_rl.integrations.slurm.records import SlurmJob, Snapshot
from lepton_rl.integrations.slurm.settings import SlurmSettings
from lepton_rl.integrations.slurm.translate import Translator
from lepton_rl.system.pool import ResourcePool
from lepton_rl.system.queue import TaskQueue
from lepton_rl.system.state import Tables

__all__ = ["Candidate", "Picture", "Promise"]

_log = logging.getLogger("lepton_rl.slurm")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A pending job that a policy may decide about.

    Attributes:
        name: as `scontrol` takes it: `12`, `12_3`, `12_[1-4]`.
        job: its record.
    """

    name: str
    job: SlurmJob


@dataclass(frozen=True, slots=True)
class Promise:
    """A job that was released to nodes and has not started there yet.

    Attributes:
        candidate: which.
        nodes: one for each replica.
    """

    candidate: Candidate
    nodes: tuple[str, ...]


class Picture:
    """Queue, pool and tables of one moment.

    They are the classes that the live scheduler is made of, so a policy sees Slurm's cluster
    through the same encoder and under the same rules as in training.

    Args:
        snapshot: what Slurm says.
        candidates: jobs that the policy may decide about.
        promises: jobs that have nodes already, though they do not run.
        settings: how to translate.
        origin_s: Unix time of 0 on the policies' clock.

    Attributes:
        left_out: name -> why this candidate cannot be shown to a policy.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        candidates: Sequence[Candidate],
        promises: Sequence[Promise],
        settings: SlurmSettings,
        origin_s: float,
    ) -> None:
        described = [each.job for each in candidates]
        described += [each.candidate.job for each in promises]
        self._translator = Translator(snapshot.nodes, described, settings, origin_s)
        self.cluster = self._translator.cluster
        self._tables = Tables(node_table(self.cluster))
        self.queue = TaskQueue(self.cluster, self._tables)
        self.pool = ResourcePool(self.cluster, self._tables)
        self.left_out: dict[str, str] = {}
        self._now_us = int(to_us(self._translator.seconds(snapshot.now_s)))
        self._occupy(snapshot.jobs)
        for promise in promises:
            self._keep(promise)
        self._close_nodes(snapshot)
        self._set_clock(self._now_us)
        for candidate in candidates:
            self._offer(candidate)

    @property
    def view(self) -> View:
        """What a policy sees; it changes with every start."""
        return self._tables.view

    def node_names(self, nodes: Iterable[int]) -> tuple[str, ...]:
        """Names of nodes by index."""
        return tuple(self.cluster.nodes[m].name for m in nodes)

    def start(self, local: int, nodes: tuple[int, ...]) -> None:
        """From now on this task runs, as far as further decisions go.

        Raises:
            InfeasibleDecisionError: there is no room for it.
        """
        self.pool.allocate(local, nodes)
        self.queue.start(local, nodes)

    def on_distinct_nodes(self, local: int, nodes: tuple[int, ...]) -> tuple[int, ...]:
        """These nodes if they differ, else others with room; none if there are too few.

        Slurm counts the nodes of a job; two replicas on one node are not what its user asked for.
        """
        if len(set(nodes)) == len(nodes):
            return nodes
        view = self._tables.view
        every = dict.fromkeys([*nodes, *range(len(self.cluster.nodes))])
        having = [
            m for m in every
            if replica_capacity(view.tasks, view.nodes, view.pool, 0, local, m) > 0
        ]  # fmt: skip
        return tuple(having[: len(nodes)]) if len(having) >= len(nodes) else ()

    def take_out(self, local: int) -> str:
        """Hide a pending task from the policy; returns its name."""
        task_id = self.queue.task_at(local).id
        self.queue.withhold(self.queue.entry(task_id))
        return task_id

    def _occupy(self, jobs: Iterable[SlurmJob]) -> None:
        """Take what running jobs hold, in the order in which they began."""
        running = [job for job in jobs if job.holds_nodes]
        for job in sorted(running, key=lambda job: job.start_s):
            for share in job.shares:
                if self.pool.slots.knows(share.node):
                    task = self._translator.held(job, share, f"{job.id}@{share.node}")
                    self._run(task, (share.node,), self._translator.seconds(job.start_s))

    def _keep(self, promise: Promise) -> None:
        known = all(self.pool.slots.knows(name) for name in promise.nodes)
        try:
            task = self._translator.task(promise.candidate.job, promise.candidate.name)
        except ConfigError:
            return
        if known and len(promise.nodes) == task.num_replicas:
            self._run(task, promise.nodes, self._now_us / 1e6)

    def _run(self, task: Task, names: Sequence[str], start_s: float) -> None:
        """Slurm has given it these nodes; where we see no room, the nodes take nothing more."""
        nodes = tuple(self.pool.slots.index_of(name) for name in names)
        try:
            self.queue.submit(task)
        except InfeasibleTaskError as error:
            self._give_up(names, error)
            return
        self._set_clock(min(self._now_us, int(to_us(start_s))))
        entry = self.queue.entry(task.id)
        self.queue.admit(entry)
        try:
            self.start(entry.local, nodes)
        except InfeasibleDecisionError as error:
            self.queue.withhold(entry)
            self._give_up(names, error)

    def _give_up(self, names: Sequence[str], error: Exception) -> None:
        _log.warning("nodes %s are left alone in this round: %s", ", ".join(names), error)
        for name in names:
            self.pool.slots.set_state(self.pool.slots.index_of(name), NodeState.DRAINING)

    def _close_nodes(self, snapshot: Snapshot) -> None:
        """Only now: what runs on them had to be taken first."""
        for node in snapshot.nodes:
            m = self.pool.slots.index_of(node.name)
            if node.is_reserved or not node.is_usable:
                self.pool.slots.set_state(m, NodeState.DRAINING)
            self.pool.set_state(m, self.pool.slots.states[m])

    def _offer(self, candidate: Candidate) -> None:
        try:
            task = self._translator.task(candidate.job, candidate.name)
            self.queue.submit(task)
        except (ConfigError, InfeasibleTaskError) as error:
            self.left_out[candidate.name] = str(error)
            return
        self.queue.admit(self.queue.entry(task.id))

    def _set_clock(self, now_us: int) -> None:
        self._tables.view.status["now_us"] = now_us
