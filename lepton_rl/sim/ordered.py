"""Replaying a window in a given order of tasks, with full knowledge of their run times."""

from __future__ import annotations

import numpy as np

from lepton_rl.core.intake import node_table
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.rules.dispatch import DispatchRule
from lepton_rl.core.rules.orders import Order, PriorityWeights
from lepton_rl.core.rules.placement import Place
from lepton_rl.core.schedule import Schedule
from lepton_rl.core.tables import Ints, Records
from lepton_rl.sim.events import reset
from lepton_rl.sim.objective import Objective
from lepton_rl.sim.replay import run_to_end, schedule_of
from lepton_rl.sim.tables import empty_sim

__all__ = ["OrderedReplay"]

_BY_URGENCY = PriorityWeights(alpha=0.0, beta=1.0, gamma=0.0)


class OrderedReplay:
    """One window, replayed again and again under standard rules with different orders.

    Requested times are the true run times, so backfilling knows what nobody knows in advance.

    Args:
        tasks: by submit time.
        run_us: `(N,)` true run times in us.
        cluster: starts idle.
        place: placement rule.
        backfill: NONE, EASY or CONSERVATIVE.
        objective: what `cost` adds up.
    """

    def __init__(
        self,
        tasks: Records,
        run_us: Ints,
        cluster: Cluster,
        place: Place,
        backfill: Backfill,
        objective: Objective,
    ) -> None:
        self._rule = DispatchRule(
            int(Order.LEPTON), int(place), int(backfill), _BY_URGENCY, False, False
        )
        self._objective = int(objective)
        known = tasks.copy()
        known["requested_us"] = run_us
        self._sim = empty_sim(known, run_us, node_table(cluster), 1, len(run_us), self._rule)

    def cost(self, order: Ints) -> float:
        """Mean objective over the tasks; infinity if a task can never start.

        Args:
            order: `(N,)` task indices, who comes first first.
        """
        self._sim.state.tasks["urgency"][order] = -np.arange(len(order), dtype=np.float64)
        reset(self._sim, 0, 0, len(order))
        if not run_to_end(self._sim, 0, self._rule, self._objective):
            return float("inf")
        return float(self._sim.progress["cost"][0] / len(order))

    def schedule(self, order: Ints) -> Schedule:
        """What happens under an order `(N,)` that can be run; see `cost`."""
        self.cost(order)
        return schedule_of(self._sim)
