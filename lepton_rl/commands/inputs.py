"""Configurations, workloads and policies by name or file, as commands take them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lepton_rl.core.errors import InputFileError
from lepton_rl.core.naming import did_you_mean
from lepton_rl.core.settings import load_settings, read_yaml, require_mapping
from lepton_rl.envs.config import EnvironmentConfig

__all__ = ["environment_for", "raw_config", "shipped_configs"]

_CONFIGS = Path(__file__).parents[1] / "configs"
_TRACES = (".swf", ".swf.gz")


def shipped_configs() -> list[str]:
    """Names of the configurations in the package."""
    return sorted(path.stem for path in _CONFIGS.glob("*.yaml"))


def raw_config(name: str) -> Mapping[str, Any]:
    """Settings of a shipped configuration or of a YAML file, not yet validated.

    Raises:
        InputFileError: neither a shipped name nor a readable YAML file.
        ConfigError: the file is not a mapping.
    """
    if name in shipped_configs():
        data = read_yaml(_CONFIGS / f"{name}.yaml")
    elif Path(name).suffix in {".yaml", ".yml"}:
        data = read_yaml(name)
    else:
        raise InputFileError(
            f"configuration {name!r}: expected a YAML file or the name of a shipped one;"
            f" {did_you_mean(name, shipped_configs())}"
        )
    return require_mapping({} if data is None else data, name, None)


def environment_for(workload: str) -> EnvironmentConfig:
    """The environment of a configuration, or defaults around a trace.

    Args:
        workload: a trace (.swf, .swf.gz), a shipped configuration, or a YAML file.

    Raises:
        ConfigError: it is none of these, or its settings are wrong.
    """
    if workload.lower().endswith(_TRACES):
        return load_settings(EnvironmentConfig, {"workload": {"source": workload}}, workload)
    if Path(workload).suffix in {".yaml", ".yml"} or workload in shipped_configs():
        return load_settings(
            EnvironmentConfig, raw_config(workload).get("environment"), f"{workload}: environment"
        )
    raise InputFileError(
        f"workload {workload!r}: expected a trace ending in {' or '.join(_TRACES)}, a YAML file or"
        f" the name of a shipped configuration; {did_you_mean(workload, shipped_configs())}"
    )
