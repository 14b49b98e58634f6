"""Death between two steps of the protocol, where it hurts most and random times rarely hit."""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Callable
from typing import Any

from lepton_rl.integrations.local import LocalExecutor
from lepton_rl.system.journal import Journal


class Doom:
    """Kills this process at a step: just before or just after a call of journal or executor.

    Args:
        step: which, from 0; each call is two. None for never.
    """

    def __init__(self, step: int | None) -> None:
        self._step, self._steps = step, itertools.count()

    def watch(self, journal: Journal, executor: LocalExecutor) -> None:
        """Count the calls that make something durable or tell somebody something."""
        self._wrap(journal, "append")
        for name in ("start", "stop", "completions", "acknowledge"):
            self._wrap(executor, name)

    def _wrap(self, owner: object, name: str) -> None:
        call: Callable[..., Any] = getattr(owner, name)

        def wrapped(*arguments: Any, **options: Any) -> Any:
            if name == "completions":
                told = call(*arguments, **options)
                if told:  # it is asked many times when there is nothing to tell
                    self._pass()
                return told
            self._pass()
            answer = call(*arguments, **options)
            self._pass()
            return answer

        setattr(owner, name, wrapped)

    def _pass(self) -> None:
        if next(self._steps) == self._step:
            os.kill(os.getpid(), signal.SIGKILL)
