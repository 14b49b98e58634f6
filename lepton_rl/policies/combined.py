"""What policies made of other policies share."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping

from lepton_rl.core.policy import CountsEvents, Policy, RemembersTasks
from lepton_rl.core.tables import Ints

__all__ = ["Combined"]

_MOST_INCIDENTS = 10_000
"""Kept until somebody takes them: a policy that no scheduler asks must not grow for ever."""


class Combined:
    """Hands on what concerns all parts, and counts events.

    Args:
        parts: the policies that it asks; the first gives the name.
    """

    def __init__(self, *parts: Policy) -> None:
        self._parts = list(parts)
        self._events: Counter[str] = Counter()
        self._incidents: deque[str] = deque(maxlen=_MOST_INCIDENTS)

    @property
    def name(self) -> str:
        """The name of the policy that acts."""
        return self._parts[0].name

    def reset(self) -> None:
        """Let every part forget everything."""
        for part in self._parts:
            part.reset()

    def reindex(self, moved: Ints) -> None:
        """See `RemembersTasks`."""
        for part in self._parts:
            if isinstance(part, RemembersTasks):
                part.reindex(moved)

    def counts(self) -> Mapping[str, int]:
        """See `CountsEvents`."""
        total = Counter(self._events)
        for part in self._parts:
            if isinstance(part, CountsEvents):
                total.update(part.counts())
        return total

    def take_incidents(self) -> list[str]:
        """See `CountsEvents`."""
        found = [self._incidents.popleft() for _ in range(len(self._incidents))]
        for part in self._parts:
            if isinstance(part, CountsEvents):
                found += part.take_incidents()
        return found

    def _count(self, event: str, *, incident: bool = False) -> None:
        self._events[event] += 1
        if incident:
            self._incidents.append(event)
