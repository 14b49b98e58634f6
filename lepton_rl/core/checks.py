"""Checks of what users hand in; each message says what was expected and what came."""

from __future__ import annotations

import math
import reprlib
from collections.abc import Mapping
from numbers import Integral, Real

import numpy as np

from lepton_rl.core.errors import ConfigError

__all__ = [
    "require_amounts",
    "require_count",
    "require_flag",
    "require_names",
    "require_number",
    "require_text",
    "shown",
]

_repr = reprlib.Repr()
_repr.maxstring = _repr.maxlong = _repr.maxother = 80


def shown(value: object) -> str:
    """`value` as messages print it: a repr that is cut where it gets long."""
    try:
        return _repr.repr(value)
    except ValueError:  # an integer of more digits than Python agrees to print
        return f"a huge {type(value).__name__}"


def require_number(value: object, expected: str) -> float:
    """`value` as a float; NaN, infinities, booleans and strings are no numbers.

    Args:
        value: what came.
        expected: start of the message, e.g. `task 'a': urgency must be a finite number`.

    Raises:
        ConfigError: it is not a finite real number.
    """
    if isinstance(value, Real) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    hint = "; write it without quotes" if isinstance(value, str) and _reads_as_number(value) else ""
    raise ConfigError(f"{expected}, got {shown(value)}{hint}")


def require_count(value: object, what: str, most: int, *, least: int = 1) -> int:
    """`value` as an int in `least`..`most`.

    Raises:
        ConfigError: it is not a whole number, or out of range.
    """
    if isinstance(value, Integral) and not isinstance(value, bool) and least <= int(value) <= most:
        return int(value)
    raise ConfigError(f"{what} must be a whole number from {least} to {most}, got {shown(value)}")


def require_flag(value: object, what: str) -> bool:
    """`value` as a bool; numbers and strings are no booleans.

    Raises:
        ConfigError: it is something else.
    """
    if isinstance(value, bool | np.bool_):
        return bool(value)
    raise ConfigError(f"{what} must be true or false, got {shown(value)}")


def require_text(value: object, what: str) -> str:
    """`value` as a non-empty string.

    Raises:
        ConfigError: it is something else.
    """
    if isinstance(value, str) and value:
        return value
    raise ConfigError(f"{what} must be a non-empty string, got {shown(value)}")


def require_names(value: object, what: str) -> frozenset[str]:
    """`value` as a set of non-empty strings.

    Raises:
        ConfigError: it is something else; a lone string is refused, it would be a set of letters.
    """
    if isinstance(value, list | tuple | set | frozenset) and all(
        isinstance(name, str) and name for name in value
    ):
        return frozenset(value)
    hint = f"; write [{value}]" if isinstance(value, str) and value else ""
    raise ConfigError(f"{what} must be a list of names, got {shown(value)}{hint}")


def require_amounts(value: object, what: str) -> dict[str, float]:
    """`value` as kind -> amount, none of them negative and at least one above 0.

    Raises:
        ConfigError: it is something else.
    """
    if not isinstance(value, Mapping) or not all(isinstance(kind, str) for kind in value):
        raise ConfigError(f"{what} must map resource kinds to amounts, got {shown(value)}")
    for kind, amount in value.items():
        expected = f"{what}: {kind} must be a finite amount >= 0"
        if require_number(amount, expected) < 0:
            raise ConfigError(f"{expected}, got {shown(amount)}")
    if not any(amount > 0 for amount in value.values()):
        raise ConfigError(f"{what} must have an amount above 0, got {shown(dict(value))}")
    return dict(value)


def _reads_as_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False
