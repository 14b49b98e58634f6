"""Asking a policy in a thread of its own, for no longer than one is willing to wait."""

from __future__ import annotations

import threading
import weakref
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
        self._policy, self._desk = policy, _Desk()
        self._thread: threading.Thread | None = None
        weakref.finalize(self, self._desk.close)

    @property
    def is_busy(self) -> bool:
        """Whether the policy is still at it."""
        return not self._desk.answered.is_set()

    def ask(self, view: View, deadline_s: float) -> object:
        """What the policy decides.

        Raises:
            StalledError: no answer in time.
            Exception: what the policy raises.
        """
        desk = self._desk
        if self.is_busy:
            raise StalledError
        desk.view = _copied(view, desk.view)
        desk.answered.clear()
        if self._thread is None:
            self._thread = threading.Thread(
                target=_work, args=(desk, self._policy), name="guarded-policy", daemon=True
            )
            self._thread.start()
        desk.asked.set()
        if not desk.answered.wait(deadline_s):
            raise StalledError
        if desk.error is not None:
            raise desk.error
        return desk.result


class _Desk:
    """What a worker and its thread share; the thread does not keep the worker alive."""

    def __init__(self) -> None:
        self.asked, self.answered = threading.Event(), threading.Event()
        self.answered.set()
        self.is_closed = False
        self.view: View | None = None
        self.result: object = None
        self.error: Exception | None = None

    def close(self) -> None:
        """End the thread, once it has nothing to do."""
        self.is_closed = True
        self.asked.set()


def _work(desk: _Desk, policy: Policy) -> None:
    while True:
        desk.asked.wait()
        desk.asked.clear()
        if desk.is_closed:
            return
        desk.result, desk.error = None, None
        try:
            assert desk.view is not None
            desk.result = policy.decide(desk.view)
        except Exception as error:
            desk.error = error
        desk.answered.set()


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
