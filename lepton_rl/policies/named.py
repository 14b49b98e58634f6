"""A policy by one word: a heuristic, a policy file, or a shipped policy."""

from __future__ import annotations

from pathlib import Path

from lepton_rl.core.errors import ConfigError
from lepton_rl.core.policy import Policy
from lepton_rl.policies.learned import load_policy
from lepton_rl.policies.registry import heuristic
from lepton_rl.policies.shipped import shipped_policies

__all__ = ["is_learned", "policy_named"]


def is_learned(name: str) -> bool:
    """Whether a name stands for a trained policy."""
    return Path(name).suffix == ".onnx" or name in shipped_policies()


def policy_named(name: str) -> Policy:
    """The policy of a file (`.onnx`), of a shipped name, or of a heuristic's spec.

    Raises:
        ArtifactError: the file is refused.
        ConfigError: no such heuristic.
    """
    if is_learned(name):
        return load_policy(name)
    try:
        return heuristic(name)
    except ConfigError as error:
        shipped = ", ".join(shipped_policies()) or "none"
        raise ConfigError(f"{error} (shipped policies: {shipped}; files end in .onnx)") from error
