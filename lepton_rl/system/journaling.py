"""A scheduler's events, written into a journal; loaded only where there is one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from lepton_rl.core.clock import MICROSECOND
from lepton_rl.core.errors import JournalError, StateError
from lepton_rl.core.nodes import Node, NodeState
from lepton_rl.core.tasks import Task, TaskState
from lepton_rl.system import journal as written
from lepton_rl.system.journal import Journal, JournalEvent
from lepton_rl.system.life import Entry, StopReason
from lepton_rl.system.pool import ResourcePool
from lepton_rl.system.recording import Recorder

__all__ = ["JournalRecorder"]

_ENDED = {
    TaskState.COMPLETED: written.Outcome.COMPLETED,
    TaskState.FAILED: written.Outcome.FAILED,
    TaskState.TIMED_OUT: written.Outcome.TIMED_OUT,
}
_STOPPING = {
    StopReason.PREEMPT: written.Stopping.PREEMPT,
    StopReason.NODE_LOST: written.Stopping.NODE_LOST,
    StopReason.SHUTDOWN: written.Stopping.SHUTDOWN,
}
_WHY = {
    None: written.Why.FAILED,
    StopReason.NODE_LOST: written.Why.NODE_LOST,
    StopReason.SHUTDOWN: written.Why.NOT_STARTED,
}


class JournalRecorder(Recorder):
    """Writes everything into a journal.

    What is told before it happens is durable when the call returns. What is told after it has
    happened is so at the end of the batch, except that a start which the executor has confirmed
    waits for the next write or `beat`: a restarted scheduler asks the executor all the same.

    Args:
        journal: open for writing.
        pool: names nodes and cards.
    """

    def __init__(self, journal: Journal, pool: ResourcePool) -> None:
        self._journal, self._pool = journal, pool
        self._waiting: list[JournalEvent] = []  # have happened, and are not durable yet
        self._batches = 0  # that have begun, one within the other

    @contextmanager
    def batch(self) -> Iterator[None]:
        """See `Recorder`; what has happened before an error is written too."""
        self._batches += 1
        try:
            yield
        finally:
            self._batches -= 1
            self._flush()

    def submitted(self, tasks: Sequence[Task], now_us: int) -> None:
        """See `Recorder`."""
        events = [written.Submitted(now_us, task) for task in tasks]
        self._journal.append([*self._waiting, *events])
        self._waiting.clear()

    def starting(self, entry: Entry, nodes: Sequence[int], now_us: int) -> None:
        """See `Recorder`."""
        names = tuple(self._pool.cluster.nodes[m].name for m in nodes)
        cards = self._pool.cards_held(entry.local)
        which = cards if any(cards) else ()
        self._announce(written.Starting(now_us, entry.task.id, entry.attempts, names, which))

    def started(self, entry: Entry, now_us: int) -> None:
        """See `Recorder`."""
        self._waiting.append(written.Started(now_us, entry.task.id, entry.attempts))

    def not_started(self, entry: Entry, now_us: int, *, counts: bool = False) -> None:
        """See `Recorder`."""
        why = written.Why.FAILED if counts else written.Why.NOT_STARTED
        self._write(written.Requeued(now_us, entry.task.id, entry.attempts, why))

    def lost(self, entry: Entry, now_us: int) -> None:
        """See `Recorder`."""
        why = written.Why.NODE_LOST
        self._write(written.Requeued(now_us, entry.task.id, entry.attempts, why))

    def interrupted(
        self,
        entry: Entry,
        stopping: StopReason | None,
        kept_us: int,
        exit_code: int | None,
        now_us: int,
    ) -> None:
        """See `Recorder`."""
        kept_s, task_id, attempt = kept_us / MICROSECOND, entry.task.id, entry.attempts
        if stopping is StopReason.PREEMPT:
            self._write(written.Preempted(now_us, task_id, attempt, kept_s))
        else:
            why = _WHY[stopping]
            self._write(written.Requeued(now_us, task_id, attempt, why, exit_code, kept_s))

    def stop_requested(self, entry: Entry, why: StopReason, now_us: int) -> None:
        """See `Recorder`."""
        attempt, stopping = entry.attempts, _STOPPING[why]
        self._announce(written.StopRequested(now_us, entry.task.id, attempt, stopping))

    def cancel_requested(self, entry: Entry, now_us: int) -> None:
        """See `Recorder`."""
        self._announce(written.CancelRequested(now_us, entry.task.id))

    def ended(self, entry: Entry, now_us: int) -> None:
        """See `Recorder`."""
        task_id, reason = entry.task.id, entry.reason
        if entry.state is TaskState.CANCELLED:
            self._write(written.Cancelled(now_us, task_id, reason))
        else:
            outcome, code = _ENDED[entry.state], entry.exit_code
            self._write(written.Ended(now_us, task_id, entry.attempts, outcome, code, reason))

    def node_changed(self, name: str, state: NodeState, now_us: int) -> None:
        """See `Recorder`."""
        self._announce(written.NodeChanged(now_us, name, written.NodeState(state.value)))

    def pool_changed(self, nodes: Sequence[Node], now_us: int) -> None:
        """See `Recorder`."""
        self._announce(written.PoolChanged(now_us, tuple(nodes)))

    def beat(self) -> None:
        """See `Recorder`."""
        self._flush()
        self._fatal(self._journal.heartbeat)

    def close(self) -> None:
        """See `Recorder`."""
        self._flush()

    def _announce(self, event: JournalEvent) -> None:
        """Write what is about to happen; if that fails, it must not happen."""
        if self._batches:
            self._waiting.append(event)
            return
        self._fatal(lambda: self._journal.append([*self._waiting, event]))
        self._waiting.clear()

    def _write(self, event: JournalEvent) -> None:
        """Write what has happened."""
        self._waiting.append(event)
        self._flush()

    def _flush(self) -> None:
        if self._waiting and not self._batches:
            self._fatal(lambda: self._journal.append(self._waiting))
            self._waiting.clear()

    def _fatal(self, write: Callable[[], None]) -> None:
        """What the journal does not take must not happen: another scheduler may own it now."""
        try:
            write()
        except StateError as error:
            raise JournalError(f"the journal refuses what this scheduler does: {error}") from error
