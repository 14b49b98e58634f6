"""The latest events, for the live page."""

from __future__ import annotations

from collections import deque

from lepton_rl.core.clock import to_seconds
from lepton_rl.integrations.http.models import EventOut

__all__ = ["RecentEvents"]


class RecentEvents:
    """Keeps the latest events of a `Monitor`; give it to `Monitor(on_event=...)`.

    Args:
        keep: how many.
    """

    def __init__(self, keep: int) -> None:
        self._events: deque[tuple[str, int, dict[str, object]]] = deque(maxlen=keep)

    def __call__(self, event: str, now_us: int, **figures: object) -> None:
        """Keep one event."""
        self._events.append((event, now_us, figures))

    def latest(self, names: tuple[str, ...]) -> list[EventOut]:
        """Newest first.

        Args:
            names: of the nodes, by index.
        """
        return [_event(*each, names) for each in reversed(tuple(self._events))]


def _event(event: str, now_us: int, figures: dict[str, object], names: tuple[str, ...]) -> EventOut:
    nodes = figures.get("nodes", ())
    assert isinstance(nodes, tuple)
    task = figures.get("task")
    words = (str(figures.get(key, "")) for key in ("cause", "outcome", "reason"))
    return EventOut(
        time_s=float(to_seconds(now_us)),
        event=event,
        task=None if task is None else str(task),
        nodes=[names[m] for m in nodes if m < len(names)],
        detail=" ".join(word for word in words if word),
    )
