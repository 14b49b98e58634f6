"""EndedTasks: how tasks ended, in room that does not grow with every task there ever was."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np

from lepton_rl.core.checks import require_count
from lepton_rl.core.tasks import TaskState
from lepton_rl.system.life import Entry

__all__ = ["MOST_KEPT", "EndedTasks", "Ending", "IdSet"]

MOST_KEPT = 10**9
"""Largest `keep_ended`: any task that ever ended."""

_REMEMBERED = 10_000
"""Answers of `find` that are kept, the latest asked for."""

_RECENT = 4096
"""Ids that wait to be packed."""

_BYTES = 8


@dataclass(frozen=True, slots=True)
class Ending:
    """How a task ended.

    Attributes:
        state: its final state.
        reason: why, "" where there is nothing to say, or nobody knows any more.
        exit_code: of the program that ended its last run, None where nobody knows.
        attempts: how often it was started; None where nobody knows any more.
    """

    state: TaskState
    reason: str = ""
    exit_code: int | None = None
    attempts: int | None = None

    @classmethod
    def of(cls, entry: Entry) -> Ending:
        """What stays of a task that has ended."""
        return cls(entry.state, entry.reason, entry.exit_code, entry.attempts)


class IdSet:
    """A set of ids that only grows, in 8 bytes each and a few Python objects altogether.

    It holds fingerprints: an id that was added is always found; one that was not is taken for
    another with a chance of (ids held) / 2^64, 5e-12 for a hundred million.
    """

    def __init__(self) -> None:
        self._recent: set[int] = set()
        self._runs: list[np.ndarray[tuple[int], np.dtype[np.uint64]]] = []  # sorted, ever shorter

    def __len__(self) -> int:
        return len(self._recent) + sum(len(run) for run in self._runs)

    @property
    def num_objects(self) -> int:
        """Python objects that it holds."""
        return len(self._recent) + len(self._runs)

    def add(self, name: str) -> None:
        """Take in an id that it does not hold."""
        self._recent.add(_fingerprint(name))
        if len(self._recent) >= _RECENT:
            self._pack()

    def __contains__(self, name: str) -> bool:
        wanted = _fingerprint(name)
        return wanted in self._recent or any(_holds(run, wanted) for run in self._runs)

    def _pack(self) -> None:
        """Sort what is recent, together with all runs that are no longer than it."""
        parts = [np.fromiter(self._recent, np.uint64, len(self._recent))]
        while self._runs and len(self._runs[-1]) <= sum(len(part) for part in parts):
            parts.append(self._runs.pop())
        self._runs.append(np.sort(np.concatenate(parts)))
        self._recent.clear()


def _fingerprint(name: str) -> int:
    return int.from_bytes(blake2b(name.encode(), digest_size=_BYTES).digest(), "little")


def _holds(run: np.ndarray[tuple[int], np.dtype[np.uint64]], wanted: int) -> bool:
    place = int(np.searchsorted(run, np.uint64(wanted)))
    return place < len(run) and int(run[place]) == wanted


class EndedTasks:
    """How each task ended: of the latest in full, of all others the final state (`IdSet`).

    Args:
        keep: of how many tasks, those that ended last, it keeps reason, exit code and number of
            attempts (>= 0); None for all.

    Attributes:
        find: how a task ended that is not kept here in full, by its id; None if nobody knows. The
            journal answers, where there is one.

    Raises:
        ConfigError: `keep` is not such a number.
    """

    def __init__(self, keep: int | None = None) -> None:
        self._keep = None if keep is None else require_count(keep, "keep_ended", MOST_KEPT, least=0)
        self.find: Callable[[str], Ending | None] = lambda task_id: None
        self._kept: OrderedDict[str, Ending] = OrderedDict()  # in order of their ends
        self._forgotten: dict[TaskState, IdSet] = {}
        self._found: OrderedDict[str, Ending] = OrderedDict()  # by `find`, latest asked for last

    @property
    def num_objects(self) -> int:
        """Python objects that it holds, kept endings and ids that wait to be packed."""
        packed = sum(ids.num_objects for ids in self._forgotten.values())
        return len(self._kept) + len(self._found) + packed

    def add(self, task_id: str, ending: Ending) -> None:
        """A task has ended; it never ends again."""
        self._kept[task_id] = ending
        if self._keep is None:
            return
        while len(self._kept) > self._keep:
            oldest, old = self._kept.popitem(last=False)
            self._forgotten.setdefault(old.state, IdSet()).add(oldest)

    def state_here(self, task_id: str) -> TaskState | None:
        """The final state of a task that was added, None of any other."""
        kept = self._kept.get(task_id)
        if kept is not None:
            return kept.state
        return next((state for state, ids in self._forgotten.items() if task_id in ids), None)

    def state_of(self, task_id: str) -> TaskState | None:
        """The final state of a task, here or before; None if nobody knows one."""
        here = self.state_here(task_id)
        if here is not None:
            return here
        found = self._look_up(task_id)
        return None if found is None else found.state

    def get(self, task_id: str) -> Ending | None:
        """All that is known of how a task ended, here or before; None if nothing is."""
        kept = self._kept.get(task_id)
        if kept is not None:
            return kept
        found = self._look_up(task_id)
        if found is not None:
            return found
        state = self.state_here(task_id)
        return None if state is None else Ending(state)

    def _look_up(self, task_id: str) -> Ending | None:
        """What `find` says; it is asked again about a task that it does not know (yet)."""
        found = self._found.get(task_id)
        if found is None:
            found = self.find(task_id)
        if found is not None:
            self._found[task_id] = found
            self._found.move_to_end(task_id)
            if len(self._found) > _REMEMBERED:
                self._found.popitem(last=False)
        return found
