"""Reading settings: safe YAML, unknown keys refused with the nearest right name."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from lepton_rl.core.checks import shown
from lepton_rl.core.errors import ConfigError, InputFileError
from lepton_rl.core.naming import did_you_mean

__all__ = ["Settings", "apply_overrides", "load_settings", "read_yaml", "require_mapping"]

S = TypeVar("S", bound="Settings")


class Settings(BaseModel):
    """Base of every component's configuration model: frozen, closed, strict about numbers."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True
    )

    @field_validator("*", mode="before")
    @classmethod
    def _only_numbers_are_numbers(cls, value: object, info: ValidationInfo) -> object:
        """Pydantic would take `true` for 1 and a quoted "3" for 3."""
        annotation = cls.model_fields[info.field_name or ""].annotation
        accepted = set(get_args(annotation) or (annotation,))
        if isinstance(value, bool | str) and accepted <= {int, float, NoneType}:
            raise ValueError("expected a number")
        return value


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which also refuses a key given twice and reads 1e-3 as a number."""

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and (key.tag, key.value) in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"{key.value!r} given twice", problem_mark=key.start_mark
                )
            seen.add((key.tag, str(key.value)))
        return node


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"[-+]?[0-9]+(\.[0-9]*)?[eE][-+]?[0-9]+$"),
    list("-+0123456789"),
)

_NOT_YAML = (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError)
"""What PyYAML raises on bad input: besides its own errors, those of int(), dates and dicts."""


def _parse(text: str) -> object:
    loader = _Loader(text)
    try:
        return loader.get_single_data()
    finally:
        loader.dispose()


def read_yaml(path: str | Path) -> object:
    """Parse one YAML document; nothing in it can run code.

    Raises:
        InputFileError: the file is missing, unreadable, not UTF-8 or not YAML.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise InputFileError(f"cannot read {path}: {_reason(error)}") from error
    try:
        return _parse(text)
    except _NOT_YAML as error:
        raise InputFileError(f"{path} is not valid YAML: {_reason(error)}") from error


def require_mapping(data: object, where: str, keys: Collection[str] | None) -> Mapping[str, Any]:
    """`data` as a mapping with string keys, all of them in `keys` unless that is None.

    Raises:
        ConfigError: it is something else, or has an unknown key.
    """
    if not isinstance(data, Mapping) or not all(isinstance(key, str) for key in data):
        raise ConfigError(f"{where}: expected a mapping of names to values, got {shown(data)}")
    for key in data:
        if keys is not None and key not in keys:
            raise ConfigError(f"{where}: unknown key {key!r}; {did_you_mean(key, keys)}")
    return data


def apply_overrides(data: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """`data` with each `a.b=value` set; values are parsed as YAML (`3`, `true`, `[1, 2]`).

    Raises:
        ConfigError: an override has no `=` or an empty name, its value is not YAML, or it walks
            into a value that is not a mapping.
    """
    result = dict(data)
    for override in overrides:
        name, separator, text = override.partition("=")
        *parents, last = (part.strip() for part in name.split("."))
        if not separator or not all([*parents, last]):
            raise ConfigError(f"--set {override!r}: expected name=value, e.g. train.seed=3")
        target = result
        for parent in parents:
            inner = target.get(parent)
            if not isinstance(inner, Mapping | None):
                raise ConfigError(f"--set {override!r}: {parent!r} has no settings below it")
            target[parent] = dict(inner or {})
            target = target[parent]
        try:
            target[last] = _parse(text)
        except _NOT_YAML as error:
            reason = _reason(error)
            raise ConfigError(f"--set {override!r}: the value is not YAML: {reason}") from error
    return result


def load_settings(model: type[S], data: object, where: str) -> S:
    """Validate `data` into `model`.

    Raises:
        ConfigError: names the setting, what was expected and what came; for an unknown setting,
            the nearest right name.
    """
    if data is None:
        data = {}
    try:
        return model.model_validate(data)
    except ValidationError as error:
        problems = "; ".join(_problem(model, dict(each)) for each in error.errors())
        raise ConfigError(f"{where}: {problems}") from error


def _problem(model: type[BaseModel], error: Mapping[str, Any]) -> str:
    location = error["loc"]
    name = ".".join(str(part) for part in location) or "(top level)"
    if error["type"] == "extra_forbidden":
        hint = did_you_mean(str(location[-1]), _siblings(model, location))
        return f"unknown setting {name!r}; {hint}"
    if error["type"] == "missing":
        return f"{name}: required, but not set"
    return f"{name}: {error['msg'].removeprefix('Value error, ')}, got {shown(error['input'])}"


def _siblings(model: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    """Names allowed beside the setting at `location`, also in `Inner | None` or `list[Inner]`."""
    for part in location[:-1]:
        field = model.model_fields.get(str(part))
        annotation = field.annotation if field else None
        for each in (annotation, *get_args(annotation)):
            if isinstance(each, type) and issubclass(each, BaseModel):
                model = each
                break
    return list(model.model_fields)


def _reason(error: Exception) -> str:
    """What went wrong, in one line."""
    text = error.strerror if isinstance(error, OSError) else str(error)
    return " ".join((text or type(error).__name__).split())
