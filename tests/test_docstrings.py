"""Everything public has a docstring, and those that take arrays state a shape or a unit."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "lepton_rl"
MODULES = sorted(PACKAGE.rglob("*.py"))

ARRAYS = re.compile(r"\b(NDArray|ndarray|Tensor|Ints|Floats)\b")
"""Annotations of plain arrays. `Records` are tables; `core/tables.py` has the units of columns."""

STATED = re.compile(
    r"`\([\w*][^()`]*,[^()`]*\)`"  # a shape: `(N,)`, `(B, Q + 1)`
    r"|\b(in )?(us|s|seconds|microseconds|milli-cards|MiB|GiB|kWh)\b"  # a unit
    r"|\blocal ind(ex|ices)\b"  # of `core.tables`
)
POINTS_ELSEWHERE = re.compile(r"\b[Ss]ee (the class|`[\w.]+`)")
"""A method that says where its interface is described."""

EXEMPT: dict[str, str] = {
    "workloads/array_checks.py:ArraySpec.is_type_of": "takes an array of any shape and unit",
    "workloads/array_checks.py:ArraySpec.is_within": "takes an array of any shape and unit",
    "policies/artifact.py:Array.of": "takes an array of any shape and unit",
    "evaluate/report/chart.py:Axis.over": "takes values of any shape and unit",
}
"""Where an array has neither -> why."""

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def definitions(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, Definition]]:
    """Public classes, functions and methods, by their qualified names."""
    for node in body:
        if not isinstance(node, Definition) or node.name.startswith("_"):
            continue
        yield f"{prefix}{node.name}", node
        if isinstance(node, ast.ClassDef):
            yield from definitions(node.body, f"{prefix}{node.name}.")


def public(path: Path) -> list[tuple[str, Definition]]:
    """Those of a module, by `path:name`."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    place = path.relative_to(PACKAGE)
    return [(f"{place}:{name}", node) for name, node in definitions(tree.body)]


def takes_arrays(node: Definition) -> bool:
    if isinstance(node, ast.ClassDef):
        return False
    arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    annotations = (each.annotation for each in arguments if each.annotation is not None)
    return any(ARRAYS.search(ast.unparse(each)) for each in annotations)


def says(node: Definition) -> bool:
    text = ast.get_docstring(node) or ""
    return bool(STATED.search(text) or POINTS_ELSEWHERE.search(text))


def is_setter(node: Definition) -> bool:
    return any(ast.unparse(each).endswith(".setter") for each in node.decorator_list)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_everything_public_has_a_docstring(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    missing = [
        name for name, node in public(path) if not ast.get_docstring(node) and not is_setter(node)
    ]
    assert missing == []


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_arrays_have_a_shape_or_a_unit(path: Path) -> None:
    silent = [
        name
        for name, node in public(path)
        if takes_arrays(node) and not says(node) and name not in EXEMPT
    ]
    assert silent == []


def test_what_is_exempt_is_there_and_needs_it() -> None:
    needed = {
        name
        for path in MODULES
        for name, node in public(path)
        if takes_arrays(node) and not says(node)
    }
    assert set(EXEMPT) <= needed
    assert len(EXEMPT) <= 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Waits, `(N,)`.", True),
        ("`(B, Q + 1)` logits.", True),
        ("Times in s.", True),
        ("At most 1 us each.", True),
        ("See `SchedulingNetwork.forward`.", True),
        ("See the class (and think).", True),
        ("All the values (of any kind, really).", False),
        ("Whose this is.", False),
    ],
)
def test_what_counts_as_said(text: str, expected: bool) -> None:
    function = ast.parse(f'def f(x: NDArray):\n    """{text}"""').body[0]
    assert isinstance(function, ast.FunctionDef)
    assert takes_arrays(function)
    assert says(function) == expected
