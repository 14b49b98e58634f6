"""Heuristics behind the policy interface: the compiled dispatch rule, one decision at a time."""

from __future__ import annotations

from lepton_rl.core.direct import Direct
from lepton_rl.core.policy import Decision, Preempt, Start, Wait
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.rules.dispatch import (
    WAIT,
    DispatchRule,
    is_preemption,
    propose,
    victim_of,
)
from lepton_rl.core.rules.orders import Order, PriorityWeights, first_in_order
from lepton_rl.core.rules.placement import Place
from lepton_rl.core.rules.scratch import Scratch
from lepton_rl.core.tables import NO_TASK, Ints, View
from lepton_rl.policies.spec import make_rule, spec_of
from lepton_rl.policies.workspace import Workspace

__all__ = ["HeuristicPolicy"]


class HeuristicPolicy:
    """Order x placement x backfilling, exactly as `lepton_rl.sim.replay` runs it.

    Args:
        order: which pending task comes first (`Order` or its name).
        place: which node each replica gets; None for least-loaded with the Lepton order and
            first-fit with all others.
        backfill: who may overtake a blocked task.
        weights: of the Lepton priority; None for the seed's 0.5, 0.5, 0.
        blocking: the RLScheduler protocol: the task that comes first stays first until it starts.
        preempt: while the task that comes first is blocked, stop preemptible ones that come after
            it; None for the order's own (only las does).

    Attributes:
        rule: the same in the form that the compiled simulator takes.

    Raises:
        ConfigError: an unknown name, or parts that do not go together.
    """

    def __init__(
        self,
        order: Order | str,
        place: Place | str | None = None,
        backfill: Backfill | str = Backfill.NONE,
        weights: PriorityWeights | None = None,
        blocking: bool = False,
        preempt: bool | None = None,
    ) -> None:
        self.rule: DispatchRule = make_rule(order, place, backfill, weights, blocking, preempt)
        self._workspace = Workspace(has_plan=self.rule.backfill == Backfill.CONSERVATIVE)
        self._propose = Direct(propose)

    def __repr__(self) -> str:
        return f"HeuristicPolicy({self.name!r})"

    @property
    def name(self) -> str:
        """Its spec, e.g. `f4+easy`, which `registry.heuristic` reads back."""
        return spec_of(self.rule)

    def reset(self) -> None:
        """Forget which task keeps the head (`blocking`); there is nothing else to forget."""
        self._workspace.clear()

    def decide(self, view: View) -> Decision:
        """The next decision; `view` is as before when it returns.

        Args:
            view: tables with a batch axis of 1.
        """
        scratch = self._workspace.fitting(view)
        if self.rule.blocking:
            _forget_departed(view, scratch)
        seen, work = self._workspace.ready(view)
        local = int(self._propose(seen, work, 0, self.rule))
        if local == WAIT:
            return Wait()
        if is_preemption(local):
            return Preempt(int(victim_of(local)))
        row = int(view.status["first_row"][0]) + local
        gang = int(view.tasks["replicas"][row])
        return Start(local, tuple(scratch.choice["node"][0, :gang].tolist()))

    def head(self, view: View) -> int:
        """Local index of the pending task that comes first in its order; see `RanksTasks`."""
        seen, _ = self._workspace.ready(view)
        return int(first_in_order(seen, 0, self.rule.order, self.rule.weights))

    def reindex(self, moved: Ints) -> None:
        """Follow the task that keeps the head; see `RemembersTasks`."""
        scratch = self._workspace.scratch
        if scratch is not None and scratch.blocked["task"][0] != NO_TASK:
            blocked = scratch.blocked["task"]
            blocked[0] = moved[blocked[0]]


def _forget_departed(view: View, scratch: Scratch) -> None:
    """A task that is pending no longer, for whatever reason, cannot keep the head."""
    pending = view.pending[0, : view.status["num_pending"][0]]
    if scratch.blocked["task"][0] not in pending:
        scratch.blocked["task"][0] = NO_TASK
