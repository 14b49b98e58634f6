"""Calls of compiled functions that happen too often to look at the arguments each time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar

from numba import typeof

__all__ = ["Direct"]

P = ParamSpec("P")
R = TypeVar("R")


class Direct(Generic[P, R]):
    """A compiled function that finds out what it is given once for its first argument.

    Numba looks at the type of every argument in every call, which takes longer than a decision of a
    small simulation: about a microsecond where a tuple is among them. Here that is done again only
    when the first argument, tables or a `Handle` of them, is another object than the last time.

    With the same first argument, all others must be of the same types as they were: a wrong one is
    not noticed. Not to be shared by threads.

    Args:
        function: made by `core.compiled`.
    """

    __slots__ = ("_call", "_first", "_function")

    def __init__(self, function: Callable[P, R]) -> None:
        self._function: Any = function
        self._first: object = self  # nothing was given yet
        self._call: Callable[..., R] = function

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call it, by position."""
        if args[0] is not self._first:
            self._call = self._function.compile(tuple(map(typeof, args)))
            self._first = args[0]
        return self._call(*args)

    def __reduce__(self) -> tuple[type[Direct[P, R]], tuple[Any]]:
        return Direct, (self._function,)
