"""Heuristics behind the policy interface: the compiled dispatch rule, one decision at a time."""

from __future__ import annotations

from lepton_rl.core.policy import Decision, Start, Wait
from lepton_rl.core.rules.backfill import Backfill, Scratch, empty_scratch, undo_choice
from lepton_rl.core.rules.dispatch import WAIT, DispatchRule, decide
from lepton_rl.core.rules.orders import Order, PriorityWeights
from lepton_rl.core.rules.placement import Place
from lepton_rl.core.tables import NO_TASK, Ints, View
from lepton_rl.policies.spec import make_rule, spec_of

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
    ) -> None:
        self.rule: DispatchRule = make_rule(order, place, backfill, weights, blocking)
        self._scratch: Scratch | None = None

    def __repr__(self) -> str:
        return f"HeuristicPolicy({self.name!r})"

    @property
    def name(self) -> str:
        """Its spec, e.g. `f4+easy`, which `registry.heuristic` reads back."""
        return spec_of(self.rule)

    def reset(self) -> None:
        """Forget which task keeps the head (`blocking`); there is nothing else to forget."""
        self._scratch = None

    def decide(self, view: View) -> Decision:
        """The next decision; `view` is as before when it returns.

        Args:
            view: tables with a batch axis of 1.
        """
        scratch = self._fitting(view)
        if self.rule.blocking:
            _forget_departed(view, scratch)
        local = int(decide(view, scratch, 0, self.rule))
        if local == WAIT:
            return Wait()
        row = int(view.status["first_row"][0]) + local
        undo_choice(view, scratch, 0, row)
        gang = int(view.tasks["replicas"][row])
        return Start(local, tuple(scratch.choice["node"][0, :gang].tolist()))

    def reindex(self, moved: Ints) -> None:
        """Follow the task that keeps the head; see `RemembersTasks`."""
        if self._scratch is not None and self._scratch.blocked["task"][0] != NO_TASK:
            blocked = self._scratch.blocked["task"]
            blocked[0] = moved[blocked[0]]

    def _fitting(self, view: View) -> Scratch:
        """Work space of the view's shapes; who keeps the head is remembered across a change."""
        old, gang = self._scratch, view.held.shape[2]
        if old is not None and _fits(old, view):
            return old
        self._scratch = empty_scratch(view.nodes, 1, gang)
        if old is not None:
            self._scratch.blocked[:] = old.blocked
        return self._scratch


def _fits(scratch: Scratch, view: View) -> bool:
    return bool(
        scratch.choice.shape[1] == view.held.shape[2]
        and scratch.pool.card_free.shape == view.pool.card_free.shape
        and scratch.pool.rows.shape == view.pool.rows.shape
        and scratch.pool.rows.dtype == view.pool.rows.dtype
    )


def _forget_departed(view: View, scratch: Scratch) -> None:
    """A task that is pending no longer, for whatever reason, cannot keep the head."""
    pending = view.pending[0, : view.status["num_pending"][0]]
    if scratch.blocked["task"][0] not in pending:
        scratch.blocked["task"][0] = NO_TASK
