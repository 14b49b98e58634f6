"""Asking a policy in a thread of its own, for no longer than one is willing to wait."""

from __future__ import annotations

import threading
from typing import Any, cast

import numpy as np

from lepton_rl.core.policy import Policy
from lepton_rl.core.tables import View

__all__ = ["DeadlineWorker", "StalledError"]


class StalledError(Exception):
    """The policy has not answered in time, or is still busy with an earlier question."""


class DeadlineWorker:
    """A thread that asks a policy.

    The policy sees a copy of the view, because the scheduler goes on while it may still be reading.
    Nothing can end a thread in Python: one that is stuck is left alone, and the policy is not asked
    again until it has come back; so there is never more than one. A policy that holds the
    interpreter's lock in one endless call of C code stalls everything, whatever is done here.

    Args:
        policy: only this thread asks it.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._asked, self._answered = threading.Event(), threading.Event()
        self._answered.set()
        self._copy: View | None = None
        self._result: object = None
        self._error: Exception | None = None
        self._thread: threading.Thread | None = None

    @property
    def is_busy(self) -> bool:
        """Whether the policy is still at it."""
        return not self._answered.is_set()

    def ask(self, view: View, deadline_s: float) -> object:
        """What the policy decides.

        Raises:
            StalledError: no answer in time.
            Exception: what the policy raises.
        """
        if self.is_busy:
            raise StalledError
        self._copy = _copied(view, self._copy)
        self._answered.clear()
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="lepton-policy", daemon=True)
            self._thread.start()
        self._asked.set()
        if not self._answered.wait(deadline_s):
            raise StalledError
        if self._error is not None:
            raise self._error
        return self._result

    def _work(self) -> None:
        while True:
            self._asked.wait()
            self._asked.clear()
            self._result, self._error = None, None
            try:
                assert self._copy is not None
                self._result = self._policy.decide(self._copy)
            except Exception as error:
                self._error = error
            self._answered.set()


def _copied(view: View, into: View | None) -> View:
    """A copy of the view, in the arrays of the last one where they fit."""
    if into is not None and _have_equal_shapes(view, into):
        _write(view, into)
        return into
    return cast(View, _copy_of(view))


def _have_equal_shapes(one: Any, other: Any) -> bool:
    if isinstance(one, tuple):
        return all(map(_have_equal_shapes, one, other))
    return bool(one.shape == other.shape and one.dtype == other.dtype)


def _write(source: Any, target: Any) -> None:
    if isinstance(source, tuple):
        for each, into in zip(source, target, strict=True):
            _write(each, into)
    else:
        np.copyto(target, source)


def _copy_of(value: Any) -> Any:
    return type(value)(*map(_copy_of, value)) if isinstance(value, tuple) else value.copy()
