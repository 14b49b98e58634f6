"""Bringing a new policy in with care: shadow mode and canary share."""

from __future__ import annotations

from collections.abc import Callable

from lepton_rl.core.policy import Decision, Policy
from lepton_rl.core.tables import View
from lepton_rl.policies.combined import Combined
from lepton_rl.policies.shares import is_drawn, require_share

__all__ = ["CanaryPolicy", "ShadowPolicy"]

OnDifference = Callable[[View, Decision, Decision], None]


class ShadowPolicy(Combined):
    """`primary` acts; `candidate` is asked too, and only compared.

    `counts()` has `shadow-agreed`, `shadow-differed` and `shadow-failed`: of an exception of the
    candidate nobody hears more than that. Its time comes on top of each decision it is asked about.

    Args:
        primary: decides.
        candidate: is watched.
        share: of the instants at which it is asked, 0 to 1.
        seed: which instants.
        on_difference: is told the view and both decisions where they differ; None for nobody.
    """

    def __init__(
        self,
        primary: Policy,
        candidate: Policy,
        share: float = 1.0,
        seed: int = 0,
        on_difference: OnDifference | None = None,
    ) -> None:
        super().__init__(primary, candidate)
        self._primary, self._candidate = primary, candidate
        self._share, self._seed = require_share(share, "shadow: share"), seed
        self._on_difference = on_difference

    def decide(self, view: View) -> Decision:
        """The primary's decision; see `core.policy.Policy`."""
        decision = self._primary.decide(view)
        if is_drawn(int(view.status["now_us"][0]), self._share, self._seed):
            self._compare(view, decision)
        return decision

    def _compare(self, view: View, decision: Decision) -> None:
        try:
            other = self._candidate.decide(view)
            differs = other != decision
            if differs and self._on_difference is not None:
                self._on_difference(view, decision, other)
        except Exception:  # whatever it is, nobody depends on the candidate
            self._count("shadow-failed", incident=True)
            return
        self._count("shadow-differed" if differs else "shadow-agreed")


class CanaryPolicy(Combined):
    """`candidate` decides at a share of the instants, `primary` at all others.

    Guard the candidate: `CanaryPolicy(primary, GuardedPolicy(candidate, primary), 0.05)`.
    `counts()` has `canary-primary` and `canary-candidate`.

    Args:
        primary: decides by default.
        candidate: decides at the others.
        share: of the candidate, 0 to 1; drawn by the instant, so a replay draws the same.
        seed: which instants.
    """

    def __init__(self, primary: Policy, candidate: Policy, share: float, seed: int = 0) -> None:
        super().__init__(primary, candidate)
        self._primary, self._candidate = primary, candidate
        self._share, self._seed = require_share(share, "canary: share"), seed

    def decide(self, view: View) -> Decision:
        """The decision of whose instant it is; see `core.policy.Policy`."""
        if is_drawn(int(view.status["now_us"][0]), self._share, self._seed):
            self._count("canary-candidate")
            return self._candidate.decide(view)
        self._count("canary-primary")
        return self._primary.decide(view)
