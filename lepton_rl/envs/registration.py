"""Environment ids."""

from __future__ import annotations

from typing import Any

__all__ = ["ENVIRONMENTS", "register_all"]

_LUBLIN = {"classes": ["whole-sample"], "load": 0.9, "num_tasks": 20_000}


def _scenario(source: str, objective: str) -> dict[str, Any]:
    """A scenario on its unlike machines, where which node takes a task matters too."""
    return {
        "workload": {"source": source},
        "backfill": "easy",
        "objective": objective,
        "choose_nodes": True,
    }


ENVIRONMENTS: dict[str, dict[str, Any]] = {
    "lepton_rl/HPC-v0": {"workload": {"source": "lublin", "settings": _LUBLIN}},
    "lepton_rl/HPCBackfill-v0": {
        "workload": {"source": "lublin", "settings": _LUBLIN},
        "backfill": "easy",
    },
    "lepton_rl/MLPlatform-v0": _scenario("ml-platform", "turnaround"),
    "lepton_rl/AutonomousDriving-v0": _scenario("autonomous-driving", "deadlines"),
    "lepton_rl/Virtualisation-v0": _scenario("virtualisation", "turnaround"),
    "lepton_rl/LoadBalancing-v0": _scenario("load-balancing", "turnaround"),
    "lepton_rl/StreamProcessing-v0": _scenario("stream-processing", "deadlines"),
    "lepton_rl/Edge-v0": _scenario("edge", "deadlines"),
}
"""Id -> settings of `EnvironmentConfig`."""


def register_all() -> None:
    """Register every id; a second call changes nothing.

    Raises:
        ModuleNotFoundError: Gymnasium is not installed.
    """
    from gymnasium.envs.registration import register, registry

    for name, settings in ENVIRONMENTS.items():
        if name not in registry:
            register(
                name,
                entry_point="lepton_rl.envs.single:SchedulingEnv",
                vector_entry_point="lepton_rl.envs.vector:SchedulingVectorEnv",
                kwargs={"config": settings},
            )
