"""Says when machine code is being made, which takes half a minute the first time.

One line at level INFO of the logger `lepton_rl.compilation`, once a process; the commands show it.
"""

from __future__ import annotations

import logging
from typing import Any

from numba.core import event

__all__ = ["announce_compilation"]

_log = logging.getLogger("lepton_rl.compilation")


class _Announcer(event.Listener):
    """Tells of the first function of ours that is not found among those kept on disk."""

    def __init__(self) -> None:
        self._told = False

    def on_start(self, event: Any) -> None:
        function = event.data["dispatcher"].py_func
        if not self._told and function.__module__.startswith("lepton_rl."):
            self._told = True
            _log.info(
                "compiling the scheduling rules for this machine: once after each installation,"
                " about half a minute"
            )

    def on_end(self, event: Any) -> None:
        """Nothing to say."""


def announce_compilation() -> None:
    """Have the first compilation of this process told."""
    event.register("numba:compile", _Announcer())
