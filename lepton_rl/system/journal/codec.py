"""Records as JSON and back, exactly; never a pickle.

Each container carries its type: `{"set": [...]}`, `{"tuple": [...]}`, `{"map": {...}}`, and a
record its name and the version of its meaning: `{"task": {"v": 1, "id": ...}}`. A field that a
record did not have when it was written gets its default; a field or version that this program does
not know is refused, because dropping it could change what the task is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from numbers import Integral, Real
from types import NoneType
from typing import Any

import numpy as np

from lepton_rl.core.checks import shown
from lepton_rl.core.errors import ConfigError
from lepton_rl.core.nodes import Node
from lepton_rl.core.tasks import Task
from lepton_rl.system.journal.events import (
    Cancelled,
    CancelRequested,
    Ended,
    NodeChanged,
    PoolChanged,
    Preempted,
    Requeued,
    Started,
    Starting,
    StopRequested,
    Submitted,
)
from lepton_rl.system.journal.ledger import ClusterState, ForgottenLife, TaskLife

__all__ = ["RECORD_VERSION", "from_json", "to_json"]

RECORD_VERSION = 1
"""To be raised when a field changes its meaning, not when one is added."""

_RECORDS: dict[str, type[Any]] = {
    "task": Task,
    "node": Node,
    "life": TaskLife,
    "forgotten": ForgottenLife,
    "cluster": ClusterState,
    "submitted": Submitted,
    "starting": Starting,
    "started": Started,
    "ended": Ended,
    "preempted": Preempted,
    "requeued": Requeued,
    "stop-requested": StopRequested,
    "cancel-requested": CancelRequested,
    "cancelled": Cancelled,
    "node-changed": NodeChanged,
    "pool-changed": PoolChanged,
}
_AS_THEY_ARE = frozenset((NoneType, str, bool, int, float))
_FIELDS = {kind: tuple(each.name for each in fields(kind)) for kind in _RECORDS.values()}
_NAMES = {kind: name for name, kind in _RECORDS.items()}


def to_json(value: object) -> str:
    """`value` as one line of ASCII.

    Raises:
        ConfigError: it holds something that JSON cannot give back exactly.
    """
    return json.dumps(_plain(value), allow_nan=False, separators=(",", ":"))


def from_json(text: str) -> Any:
    """What `to_json` made `text` of.

    Raises:
        ValueError: it is not such a text, or was written by another version.
        TypeError: likewise.
    """
    return _value(json.loads(text, parse_constant=_refuse_constant))


def _plain(value: object) -> Any:
    kind = type(value)
    if kind in _AS_THEY_ARE:
        return value
    if kind in _NAMES:
        content = {name: _plain(getattr(value, name)) for name in _FIELDS[kind]}
        return {_NAMES[kind]: {"v": RECORD_VERSION, **content}}
    if isinstance(value, str):  # a StrEnum is its name
        return str(value)
    if isinstance(value, tuple):
        return {"tuple": [_plain(each) for each in value]}
    if isinstance(value, frozenset) and all(isinstance(each, str) for each in value):
        return {"set": sorted(value)}
    if isinstance(value, Mapping) and all(isinstance(key, str) for key in value):
        return {"map": {key: _plain(each) for key, each in value.items()}}
    return _plain_scalar(value)


def _plain_scalar(value: object) -> bool | int | float:
    """A number of NumPy or of another library."""
    if isinstance(value, np.bool_):
        return bool(value)
    if isinstance(value, Integral):
        return int(value)
    if isinstance(value, Real) and float(value) == value:
        return float(value)
    raise ConfigError(
        "journal: expected numbers that a float holds exactly, strings, booleans, None, or"
        f" mappings, sets and tuples of them, got {shown(value)}"
    )


def _value(plain: Any) -> Any:
    if type(plain) in _AS_THEY_ARE:
        return plain
    if not isinstance(plain, dict):
        raise ValueError("a list without a type")
    ((tag, content),) = plain.items()
    if tag == "map":
        return {key: _value(each) for key, each in content.items()}
    if tag == "set":
        return frozenset(content)
    if tag == "tuple":
        return tuple(_value(each) for each in content)
    if tag not in _RECORDS:
        raise ValueError(f"unknown record {tag!r}")
    values = {
        key: each if type(each) in _AS_THEY_ARE else _value(each) for key, each in content.items()
    }
    version = values.pop("v")
    if version != RECORD_VERSION:
        raise ValueError(f"expected version {RECORD_VERSION} of {tag!r}, got {version!r}")
    return _RECORDS[tag](**values)


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number that was written here")
