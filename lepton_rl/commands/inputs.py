"""Configurations, workloads and policies by name or file, as commands take them."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lepton_rl.agents.config import TrainConfig
from lepton_rl.commands.progress import log
from lepton_rl.core.errors import InputFileError
from lepton_rl.core.naming import did_you_mean
from lepton_rl.core.settings import apply_overrides, load_settings, read_yaml, require_mapping
from lepton_rl.envs.config import EnvironmentConfig, WorkloadConfig
from lepton_rl.envs.episodes import load_workload
from lepton_rl.workloads.kinds import TRACE_SUFFIXES
from lepton_rl.workloads.workload import Workload

__all__ = [
    "environment_for",
    "is_trace",
    "located",
    "open_with_log",
    "raw_config",
    "shipped_configs",
]

_CONFIGS = Path(__file__).parents[1] / "configs"


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


def is_trace(source: str) -> bool:
    """Whether a workload is read from a file."""
    return source.lower().endswith(TRACE_SUFFIXES)


def located(config: TrainConfig) -> TrainConfig:
    """`config` with the absolute paths of its traces, if it has any, so that it holds anywhere.

    A path that is not there is looked for in the folder that LEPTON_DATA names.
    """
    environment, evolution = config.environment, config.evolution
    environment = environment.model_copy(update={"workload": _located(environment.workload)})
    others = {
        name: tuple(_located(each) for each in getattr(evolution, name))
        for name in ("also_train_on", "also_validate_on")
    }
    evolution = evolution.model_copy(update=others)
    return config.model_copy(update={"environment": environment, "evolution": evolution})


def _located(workload: WorkloadConfig) -> WorkloadConfig:
    if not is_trace(workload.source):
        return workload
    path = Path(workload.source)
    if (
        not path.exists()
        and (data := os.environ.get("LEPTON_DATA"))
        and (Path(data) / path).exists()
    ):
        path = data / path
    return workload.model_copy(update={"source": str(path.absolute())})


def open_with_log(config: WorkloadConfig) -> Workload:
    """Read or generate the workload; rows that were left out or changed are told on stderr.

    Raises:
        LeptonError: see `load_workload`.
    """
    workload = load_workload(config)
    for reason, count in workload.skipped.items():
        log(f"{workload.name}: {count} rows: {reason}")
    return workload


def environment_for(workload: str, overrides: Sequence[str] = ()) -> EnvironmentConfig:
    """The environment of a configuration, or defaults around a trace.

    Args:
        workload: a trace (docs/workloads.md has the kinds), a shipped configuration, or a YAML
            file of a training run.
        overrides: settings on top of it, `a.b=v`, named as in a training run
            (`environment.workload.processors=64`).

    Raises:
        ConfigError: it is none of these, or its settings are wrong.
    """
    if is_trace(workload):
        base: Mapping[str, Any] = {"environment": {"workload": {"source": workload}}}
        data = apply_overrides(base, overrides)
        return load_settings(TrainConfig, data, workload).environment
    if Path(workload).suffix in {".yaml", ".yml"} or workload in shipped_configs():
        data = apply_overrides(raw_config(workload), overrides)
        return located(load_settings(TrainConfig, data, workload)).environment
    raise InputFileError(
        f"workload {workload!r}: expected a trace ending in {', '.join(TRACE_SUFFIXES)}, a YAML"
        " file or the name of a shipped configuration;"
        f" {did_you_mean(workload, shipped_configs())}"
    )
