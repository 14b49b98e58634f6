"""The scenarios by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from lepton_rl.core.errors import ConfigError
from lepton_rl.core.settings import load_settings
from lepton_rl.workloads.scenarios.assembly import ScenarioConfig
from lepton_rl.workloads.scenarios.autonomous_driving import (
    AutonomousDrivingConfig,
    generate_autonomous_driving,
)
from lepton_rl.workloads.scenarios.edge import EdgeConfig, generate_edge
from lepton_rl.workloads.scenarios.load_balancing import (
    LoadBalancingConfig,
    generate_load_balancing,
)
from lepton_rl.workloads.scenarios.ml_platform import MLPlatformConfig, generate_ml_platform
from lepton_rl.workloads.scenarios.stream_processing import (
    StreamProcessingConfig,
    generate_stream_processing,
)
from lepton_rl.workloads.scenarios.virtualisation import (
    VirtualisationConfig,
    generate_virtualisation,
)
from lepton_rl.workloads.workload import Workload

__all__ = ["SCENARIOS", "Scenario", "generate_scenario"]


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario.

    Attributes:
        name: as the source of a workload, and of the shipped configuration.
        title: for tables.
        config: model of its settings.
        generate: draws its workload.
    """

    name: str
    title: str
    config: type[ScenarioConfig]
    generate: Callable[[Any, np.random.Generator], Workload]


SCENARIOS: Mapping[str, Scenario] = MappingProxyType(
    {
        each.name: each
        for each in (
            Scenario("ml-platform", "ML platform", MLPlatformConfig, generate_ml_platform),
            Scenario(
                "autonomous-driving",
                "Autonomous driving",
                AutonomousDrivingConfig,
                generate_autonomous_driving,
            ),
            Scenario(
                "virtualisation", "Virtualisation", VirtualisationConfig, generate_virtualisation
            ),
            Scenario(
                "load-balancing", "Load balancing", LoadBalancingConfig, generate_load_balancing
            ),
            Scenario(
                "stream-processing",
                "Stream processing",
                StreamProcessingConfig,
                generate_stream_processing,
            ),
            Scenario("edge", "Edge", EdgeConfig, generate_edge),
        )
    }
)
"""Name -> scenario."""


def generate_scenario(name: str, settings: Mapping[str, object], seed: int) -> Workload:
    """Draw the workload of a scenario; the same settings and seed give the same one.

    Args:
        name: of `SCENARIOS`.
        settings: of its config.
        seed: of everything random.

    Raises:
        ConfigError: an unknown setting (with the nearest right one), a bad value, or a load that
            the scenario cannot have.
    """
    if "processors" in settings:
        raise ConfigError(
            f"{name}: processors is not for scenarios, which bring their cluster; use scale"
        )
    scenario = SCENARIOS[name]
    config = load_settings(scenario.config, settings, name)
    return scenario.generate(config, np.random.default_rng(seed))
