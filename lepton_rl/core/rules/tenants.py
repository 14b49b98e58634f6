"""What each tenant holds and has used, for the orders that share a cluster among tenants."""

from __future__ import annotations

import math

from lepton_rl.core.clock import MICROSECOND
from lepton_rl.core.compiled import compiled
from lepton_rl.core.rules.kinds import num_devices, num_divisible
from lepton_rl.core.tables import NodeTable, View

__all__ = [
    "dominant_share",
    "fair_share",
    "forget_tenants",
    "hold_for_tenant",
    "main_kind",
    "main_share",
    "mean_usage_s",
]

USAGE_S = 7 * 86_400 / math.log(2.0)
"""Time constant of the decay of usage, in s: a half-life of 7 days, Slurm's default."""


@compiled
def forget_tenants(view: View, b: int) -> None:
    """Nobody holds or has used anything."""
    for tenant in range(view.tenants.shape[1]):
        view.tenants[b, tenant].usage_s = 0.0
        view.tenants[b, tenant].updated_us = 0
        for k in range(view.nodes.total.shape[0]):
            view.tenants[b, tenant].used[k] = 0


@compiled
def hold_for_tenant(view: View, b: int, row: int, sign: int) -> None:
    """The tenant of task `row` holds its demand (`sign` 1), or does so no longer (-1).

    A tenant alone shares with nobody; then nothing is counted.
    """
    if view.tenants.shape[1] == 1:
        return
    tenant = view.tasks[row].tenant
    view.tenants[b, tenant].usage_s = _usage_s(view, b, tenant)
    view.tenants[b, tenant].updated_us = view.status[b].now_us
    for k in range(view.nodes.total.shape[0]):
        units = view.tasks[row].demand[k] * view.tasks[row].replicas
        view.tenants[b, tenant].used[k] += sign * units


@compiled
def dominant_share(view: View, b: int, tenant: int) -> float:
    """Largest share, over the kinds, of the cluster that the tenant's running tasks hold.

    Ghodsi et al., "Dominant resource fairness" (NSDI'11).
    """
    share = 0.0
    for k in range(view.nodes.total.shape[0]):
        if view.nodes.total[k] > 0:
            share = max(share, view.tenants[b, tenant].used[k] / view.nodes.total[k])
    return share


@compiled
def main_kind(nodes: NodeTable) -> int:
    """The cluster's first device kind; without any, its first kind."""
    return num_divisible(nodes) if num_devices(nodes) > 0 else 0


@compiled
def main_share(view: View, b: int, tenant: int) -> float:
    """Share of the cluster's `main_kind` that the tenant holds."""
    k = main_kind(view.nodes)
    return view.tenants[b, tenant].used[k] / max(1, view.nodes.total[k])


@compiled
def _usage_s(view: View, b: int, tenant: int) -> float:
    """Dominant share x time that a tenant has used by now, decayed, in cluster-seconds."""
    record = view.tenants[b, tenant]
    span_s = (view.status[b].now_us - record.updated_us) / MICROSECOND
    kept = math.exp(-span_s / USAGE_S)
    return record.usage_s * kept + dominant_share(view, b, tenant) * USAGE_S * (1.0 - kept)


@compiled
def mean_usage_s(view: View, b: int) -> float:
    """Mean usage of the tenants that have used anything; 0 if fewer than two have."""
    total = 0.0
    active = 0
    for tenant in range(view.tenants.shape[1]):
        used_s = _usage_s(view, b, tenant)
        if used_s > 0.0:
            total += used_s
            active += 1
    return total / active if active > 1 else 0.0


@compiled
def fair_share(view: View, b: int, tenant: int, mean_s: float) -> float:
    """Slurm's fair-share factor 2^(-usage / share), 0 to 1, with equal shares for all tenants.

    Args:
        view: what there is to see.
        b: environment.
        tenant: whose.
        mean_s: what `mean_usage_s` gives now.
    """
    if mean_s <= 0.0:
        return 1.0
    return 2.0 ** (-_usage_s(view, b, tenant) / mean_s)
