"""Events as lines of JSON, one an event, for log collectors."""

from __future__ import annotations

import json
import logging
from typing import TextIO

from lepton_rl.core.clock import to_seconds

__all__ = ["EventLog"]

_log = logging.getLogger("lepton_rl.system")


class EventLog:
    """Writes each event of a `Monitor` as one line; give it to `Monitor(on_event=...)`.

    A line has `time_s` (the scheduler's clock), `event`, and what docs/monitoring.md lists for it.
    A stream that cannot be written to stops no scheduler: the event is lost, and counted.

    Args:
        stream: takes the lines; flushed after each.

    Attributes:
        lost: events that could not be written.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.lost = 0

    def __call__(self, event: str, now_us: int, **figures: object) -> None:
        """Write one line."""
        line = json.dumps({"time_s": float(to_seconds(now_us)), "event": event, **figures})
        try:
            self._stream.write(f"{line}\n")
            self._stream.flush()
        except (OSError, ValueError) as error:  # ValueError: it is closed
            if not self.lost:
                _log.warning("the event log cannot be written: %s", error)
            self.lost += 1
