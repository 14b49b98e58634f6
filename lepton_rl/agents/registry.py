"""Networks by name."""

from __future__ import annotations

from lepton_rl.agents.config import PPOConfig
from lepton_rl.agents.networks import PriorityNetwork, SchedulingNetwork, Widths
from lepton_rl.agents.two_tower import TwoTowerNetwork
from lepton_rl.encoding.observation import Observation

__all__ = ["network_of", "widths_of"]


def network_of(config: PPOConfig, widths: Widths) -> SchedulingNetwork:
    """A new network with random weights, as configured."""
    tasks, nodes, cluster, candidates = widths
    if config.network == "priority":
        return PriorityNetwork(tasks, nodes, cluster, config.hidden, candidates)
    return TwoTowerNetwork(
        tasks, nodes, cluster, config.hidden, candidates, num_latents=config.latents
    )


def widths_of(obs: Observation) -> Widths:
    """Features of a task, a node, the cluster and a candidate node, from a simulator's buffers."""
    candidates = obs.candidates.shape[-1] if obs.candidates.shape[1] > 0 else 0
    return obs.tasks.shape[-1], obs.nodes.shape[-1], obs.cluster.shape[-1], candidates
