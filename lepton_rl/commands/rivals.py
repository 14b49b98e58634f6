"""What a policy is measured by, and against whom, in an environment."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from lepton_rl.core.rules.dispatch import DispatchRule
from lepton_rl.envs.config import EnvironmentConfig
from lepton_rl.policies.registry import BASELINES, rule_of

__all__ = ["headline_of", "rivals_of"]

_HEADLINES: Mapping[str, str] = MappingProxyType(
    {
        "bounded-slowdown": "mean_bounded_slowdown",
        "wait": "mean_wait_s",
        "turnaround": "mean_turnaround_s",
        "deadlines": "deadline_misses",
    }
)
"""Objective -> the metric that its rewards add up to."""

_URGENT = ("edf", "least-slack")
_PLACES = ("best-fit", "least-loaded", "tetris", "gpu-packing", "fgd", "fastest")


def headline_of(environment: EnvironmentConfig) -> str:
    """The metric that ranks in an environment: that of its (first) objective."""
    return _HEADLINES[environment.named_objectives()[0]]


def rivals_of(environment: EnvironmentConfig) -> dict[str, DispatchRule]:
    """The heuristics to beat in an environment: name -> rule, without backfilling.

    All baseline orders, those by deadline where deadlines count; where the policy chooses nodes,
    each of them with its own placement (first-fit, mostly) and with each placement rule.
    """
    orders = (*BASELINES, *(_URGENT if "deadlines" in environment.named_objectives() else ()))
    if not environment.choose_nodes:
        return {name: rule_of(name) for name in orders}
    pairs = [f"{order}+{place}" for order in orders for place in _PLACES]
    return {spec: rule_of(spec) for spec in (*orders, *pairs)}
