"""What a scheduler tells as it goes, for a journal to write down (`lepton_rl.system.journaling`).

Each method is called at one moment in the life of a task or node; docs/system.md and
docs/journal.md say what is durable before what.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from lepton_rl.core.nodes import Node, NodeState
from lepton_rl.core.tasks import Task
from lepton_rl.system.life import Entry, StopReason

__all__ = ["Recorder"]


class Recorder:
    """Writes nothing down."""

    @contextmanager
    def batch(self) -> Iterator[None]:
        """What is told meanwhile is durable after it: all of it together, or nothing."""
        yield

    def submitted(self, tasks: Sequence[Task], now_us: int) -> None:
        """Tasks are about to be taken in."""

    def starting(self, entry: Entry, nodes: Sequence[int], now_us: int) -> None:
        """The executor is about to be told to start a task, whose nodes are allocated."""

    def started(self, entry: Entry, now_us: int) -> None:
        """The executor has started it."""

    def not_started(self, entry: Entry, now_us: int, *, counts: bool = False) -> None:
        """The executor has refused it; `counts` if that is a failure of the task."""

    def lost(self, entry: Entry, now_us: int) -> None:
        """A restarted scheduler finds that the executor does not know a task that ran."""

    def interrupted(
        self,
        entry: Entry,
        stopping: StopReason | None,
        kept_us: int,
        exit_code: int | None,
        now_us: int,
    ) -> None:
        """A run is over and the task will be pending again; it failed if `stopping` is None."""

    def stop_requested(self, entry: Entry, why: StopReason, now_us: int) -> None:
        """A running task is about to be stopped, but not because a user wants it cancelled."""

    def cancel_requested(self, entry: Entry, now_us: int) -> None:
        """A user wants a task stopped; nothing has been done about it yet."""

    def ended(self, entry: Entry, now_us: int) -> None:
        """A task has reached a final state."""

    def node_changed(self, name: str, state: NodeState, now_us: int) -> None:
        """A node is up, draining or down."""

    def pool_changed(self, nodes: Sequence[Node], now_us: int) -> None:
        """The cluster consists of these nodes."""

    def beat(self) -> None:
        """The scheduler lives."""

    def close(self) -> None:
        """The scheduler has stopped."""
