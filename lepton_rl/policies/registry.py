"""The heuristics by name."""

from __future__ import annotations

from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.rules.orders import Order, PriorityWeights
from lepton_rl.core.rules.placement import Place
from lepton_rl.policies.heuristic import HeuristicPolicy
from lepton_rl.policies.spec import parse_spec, rule_of

__all__ = ["ALL_ORDERS", "BASELINES", "heuristic", "rule_of"]

BASELINES = ("fcfs", "sjf", "ljf", "saf", "f1", "f2", "f3", "f4", "wfp3", "unicep", "lepton")
"""Orders that every learned policy is compared with, in the order of the tables."""

ALL_ORDERS = tuple(order.name.lower().replace("_", "-") for order in Order)
"""All orders there are: besides the baselines those by deadline, tenant and service so far, which
only differ from first come, first served where tasks have these."""


def heuristic(
    spec: str,
    *,
    place: Place | str | None = None,
    backfill: Backfill | str | None = None,
    weights: PriorityWeights | None = None,
    blocking: bool | None = None,
    preempt: bool | None = None,
) -> HeuristicPolicy:
    """The heuristic that `spec` names (see `lepton_rl.policies.spec`), e.g. `f4+easy`.

    `lepton` is the order by the Lepton priority on the least loaded nodes. Its reservation for
    critical tasks needs no name: the scheduler makes it whatever the policy is.

    Args:
        spec: which heuristic.
        place: overrides what the spec says; so do the others.
        backfill: who may overtake a blocked task.
        weights: of the Lepton priority.
        blocking: the RLScheduler protocol.
        preempt: whether tasks may be stopped for one that comes before them.

    Raises:
        ConfigError: an unknown name (with the nearest right one), or parts that do not go together.
    """
    named = {
        "place": place,
        "backfill": backfill,
        "weights": weights,
        "blocking": blocking,
        "preempt": preempt,
    }
    given = {key: value for key, value in named.items() if value is not None}
    return HeuristicPolicy(**{**parse_spec(spec), **given})
