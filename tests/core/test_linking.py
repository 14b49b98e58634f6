"""Functions that compiled code calls are translated once, and compiled within their callers."""

from __future__ import annotations

from typing import Any

import pytest
from numba.core.codegen import JITCPUCodegen

from lepton_rl.core.compiled import _OPTIONS, compiled


@compiled
def _twice(value: int) -> int:
    return 2 * value


@compiled
def _sum_of_twice(count: int) -> int:
    total = _twice(3)  # a constant is an integer like others
    for value in range(count):
        total += _twice(value)
    return total


def test_only_what_python_calls_is_compiled() -> None:
    assert _sum_of_twice(4) == 6 + 2 * (0 + 1 + 2 + 3)
    assert len(_sum_of_twice.signatures) == 1  # type: ignore[attr-defined]
    assert _twice.signatures == []  # type: ignore[attr-defined]


def test_python_may_call_the_inner_one_as_well() -> None:
    assert _sum_of_twice(1) == 6
    assert _twice(21) == 42
    assert _twice.signatures != []  # type: ignore[attr-defined]


def test_several_callers_share_a_translation() -> None:
    @compiled
    def other(value: int) -> int:
        return _twice(value) + _twice(1)

    assert other(5) == 12
    assert other(2) == 6


def test_what_is_only_translated_never_becomes_machine_code(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Code that is optimised would call what is not, where both have the same name."""
    added: list[str] = []
    add_module = JITCPUCodegen._add_module

    def note(self: Any, module: Any) -> Any:
        added.append(module.name)
        return add_module(self, module)

    monkeypatch.setattr(JITCPUCodegen, "_add_module", note)
    monkeypatch.setitem(_OPTIONS, "cache", False)

    @compiled
    def inner(value: int) -> int:
        return value + 1

    @compiled
    def outer(value: int) -> int:
        return inner(value) + inner(2)

    assert outer(3) == 7
    assert [name.split(".")[-1] for name in added] == ["outer"]
