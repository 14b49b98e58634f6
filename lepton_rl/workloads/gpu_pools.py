"""Pools of GPU nodes for traces that name jobs and cards, but no machine."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from lepton_rl.core.nodes import MAX_CARDS, Cluster, Node
from lepton_rl.core.resources import CARD
from lepton_rl.core.settings import Settings
from lepton_rl.workloads.task_columns import count

__all__ = ["GpuPoolSettings", "gang_demand", "gpu_pool", "typed_pool", "whole_node_gangs"]

Ints = NDArray[np.int64]

_MOST_NODES = 1_000_000


class GpuPoolSettings(Settings):
    """A pool of equal GPU nodes.

    Attributes:
        nodes: how many.
        cards_per_node: GPUs of each.
    """

    nodes: int = Field(ge=1, le=_MOST_NODES)
    cards_per_node: int = Field(default=8, ge=1, le=MAX_CARDS)


def gpu_pool(settings: GpuPoolSettings) -> Cluster:
    """Equal nodes that have nothing but GPUs."""
    cards = settings.cards_per_node
    return Cluster(tuple(Node(f"gpu-{n}", {"gpu": cards}) for n in range(settings.nodes)))


def typed_pool(
    nodes: Mapping[str, int], cards_per_node: int, speeds: Mapping[str, Mapping[str, float]]
) -> Cluster:
    """GPU nodes of several device models.

    Args:
        nodes: device model -> how many nodes have it.
        cards_per_node: GPUs of each node.
        speeds: device model -> task class -> speed factor.
    """
    return Cluster(
        tuple(
            Node(f"{model}-{n}", {"gpu": cards_per_node}, model, speed_factors=speeds[model])
            for model, number in nodes.items()
            for n in range(number)
        )
    )


def gang_demand(
    num_gpus: Ints, per_node: int, skipped: dict[str, int]
) -> tuple[dict[str, Ints], Ints]:
    """`whole_node_gangs` as the demand of a replica, in milli-cards, and replicas."""
    cards, replicas = whole_node_gangs(num_gpus, per_node, skipped)
    return {"gpu": cards * CARD}, replicas


def whole_node_gangs(num_gpus: Ints, per_node: int, skipped: dict[str, int]) -> tuple[Ints, Ints]:
    """Jobs of more cards than a node has, as gangs of whole nodes.

    Args:
        num_gpus: `(N,)` cards a job asks for.
        per_node: cards of a node.
        skipped: gains the jobs that get more cards than they asked for.

    Returns:
        Cards of a replica and replicas, both `(N,)`.
    """
    is_gang = num_gpus > per_node
    rounded_up = is_gang & (num_gpus % per_node > 0)
    count(skipped, "not a whole number of nodes: rounded up to whole nodes", rounded_up)
    replicas = np.where(is_gang, -(-num_gpus // per_node), 1)
    return np.where(is_gang, per_node, num_gpus), replicas
