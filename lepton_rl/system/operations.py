"""What users and operators do to a scheduler: cancel tasks; nodes fail, drain, come and go."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Iterable
from typing import Concatenate, ParamSpec, TypeVar

from lepton_rl.core.errors import StateError
from lepton_rl.core.nodes import Node, NodeState
from lepton_rl.core.tasks import TaskState
from lepton_rl.system.life import Entry, StopReason
from lepton_rl.system.steps import Steps

__all__ = ["Operations", "locked"]

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S", bound="Operations")


def locked(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """A method that has the scheduler for itself; afterwards everybody who waits looks again."""

    @functools.wraps(method)
    def call(self: S, /, *args: P.args, **options: P.kwargs) -> R:
        with self._changed:
            try:
                return method(self, *args, **options)
            finally:
                self._changed.notify_all()

    return call


class Operations(Steps):
    """Cancelling tasks and changing nodes, from any thread."""

    _changed: threading.Condition
    _is_due: bool  # something has happened that the policy has not been asked about

    @locked
    def cancel(self, task_id: str, reason: str = "cancelled by a user") -> bool:
        """See that a task does not run any more.

        One that runs is stopped and is CANCELLED once it has; what depends on it is cancelled too.

        Returns:
            False if it has ended already.

        Raises:
            StateError: no such task was submitted.
        """
        if self.queue.state_of(task_id).is_final:
            return False
        entry = self.queue.entry(task_id)
        self._catch_up()
        self._recorder.cancel_requested(entry, self.now_us)
        self._is_due = True
        if entry.state.is_on_nodes:
            self._stop_run(entry, StopReason.CANCEL, reason)
            self._settle_stopped()
        else:
            self.queue.end(task_id, TaskState.CANCELLED, reason, self.now_us)
        return True

    @locked
    def fail_node(self, name: str) -> None:
        """A node is down: it takes no tasks, and what runs there is evicted.

        Evicted tasks (all replicas of a gang) are pending again once they have stopped, with their
        work up to the last checkpoint; that costs them no retry.

        Raises:
            StateError: there is no such node.
        """
        m = self.pool.slots.index_of(name)
        self._set_state(m, NodeState.DOWN)
        for entry in self._running_on(m):
            self._stop_run(entry, StopReason.NODE_LOST, f"node {name!r} went down")
        self._settle_stopped()

    @locked
    def drain(self, name: str) -> None:
        """A node takes no more tasks; what runs there may end.

        Raises:
            StateError: there is no such node, or it is down.
        """
        m = self.pool.slots.index_of(name)
        if self.pool.slots.states[m] is NodeState.DOWN:
            raise StateError(f"node {name!r} is down, so nothing runs there that could end")
        self._set_state(m, NodeState.DRAINING)

    @locked
    def resume(self, name: str) -> None:
        """A node that was draining or down is up again.

        Raises:
            StateError: there is no such node.
        """
        self._set_state(self.pool.slots.index_of(name), NodeState.UP)

    @locked
    def add_nodes(self, nodes: Iterable[Node]) -> None:
        """The cluster has more nodes from now on, all of them up.

        Raises:
            ConfigError: a name is taken, or a node has a kind that no node had at first.
        """
        self._catch_up()
        self.pool.slots.add(nodes)
        self._exchange_nodes()

    @locked
    def remove_node(self, name: str) -> None:
        """A node is no longer part of the cluster.

        Pending tasks that only this node could hold wait until another one is added. Its index is
        kept for it, should it come back.

        Raises:
            StateError: there is no such node, it is the last one, or something runs there.
        """
        self._catch_up()
        m = self.pool.slots.index_of(name)
        running = [entry.task.id for entry in self._running_on(m)]
        if running:
            raise StateError(
                f"task {running[0]!r} runs on node {name!r} ({len(running)} in all); drain it and"
                " wait, or fail it, and then remove it"
            )
        if len(self.pool.slots.present()) == 1:
            raise StateError(f"node {name!r} is the last one; a cluster has at least one node")
        self.pool.slots.remove(m)
        self._exchange_nodes()

    def node_states(self) -> dict[str, NodeState]:
        """Node name -> whether it takes tasks."""
        with self._changed:
            slots = self.pool.slots
            return {node.name: slots.states[slots.index_of(node.name)] for node in slots.present()}

    def _catch_up(self) -> None:
        """Move the clock to now, where it runs by itself."""

    def _set_state(self, m: int, state: NodeState) -> None:
        self._catch_up()
        self._recorder.node_changed(self.pool.cluster.nodes[m].name, state, self.now_us)
        self.pool.set_state(m, state)
        self._is_due = True

    def _exchange_nodes(self) -> None:
        self.pool.exchange_nodes()
        self.queue.redescribe(self.pool.slots.intake(self.queue.tenants))
        self._recorder.pool_changed(self.pool.slots.present(), self.now_us)
        self._is_due = True

    def _running_on(self, m: int) -> list[Entry]:
        return [entry for entry in self.queue.on_nodes() if m in entry.nodes]
