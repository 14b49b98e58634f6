"""Work space of a policy, which follows the shapes of the views it is shown."""

from __future__ import annotations

from lepton_rl.core.by_reference import Handle
from lepton_rl.core.rules.conservative import plan_segments
from lepton_rl.core.rules.scratch import Scratch, empty_scratch
from lepton_rl.core.tables import View

__all__ = ["Workspace"]


class Workspace:
    """Scratch for views with a batch axis of 1.

    Args:
        has_plan: whether the rules include conservative backfilling.
    """

    def __init__(self, *, has_plan: bool) -> None:
        self._has_plan = has_plan
        self._scratch: Scratch | None = None
        self._seen: tuple[View, Scratch] | None = None
        self._handles: tuple[View, Scratch] | None = None  # of exactly what was seen

    def clear(self) -> None:
        """Forget everything, also who keeps the head (`blocking`)."""
        self._scratch = self._seen = self._handles = None

    @property
    def scratch(self) -> Scratch | None:
        """What `fitting` gave last, None if it was never asked."""
        return self._scratch

    def fitting(self, view: View) -> Scratch:
        """Work space of the view's shapes; who keeps the head is remembered across a change."""
        old, seen = self._scratch, self._seen
        if seen is not None and seen[0] is view and seen[1] is old and not self._has_plan:
            return seen[1]  # the arrays of a view keep their shapes
        segments = self._segments(view)
        if old is not None and _fits(old, view, segments):
            return old
        gang = view.held.shape[2]
        self._scratch = empty_scratch(view.nodes, 1, gang, 1 << max(0, segments - 1).bit_length())
        if old is not None:
            self._scratch.blocked[:] = old.blocked
        return self._scratch

    def ready(self, view: View) -> tuple[View, Scratch]:
        """The view and work space that fits it, as compiled functions take them fastest."""
        scratch = self.fitting(view)
        seen = self._seen
        if seen is None or self._handles is None or seen[0] is not view or seen[1] is not scratch:
            self._handles = Handle.standing_for(view), Handle.standing_for(scratch)
            self._seen = view, scratch
        return self._handles

    def _segments(self, view: View) -> int:
        return plan_segments(int(view.status["num_running"][0])) if self._has_plan else 0


def _fits(scratch: Scratch, view: View, segments: int) -> bool:
    return bool(
        scratch.choice.shape[1] == view.held.shape[2]
        and scratch.pool.card_free.shape == view.pool.card_free.shape
        and scratch.free.shape[1] == len(view.nodes.total)
        and scratch.pool.rows.shape == view.pool.rows.shape
        and scratch.pool.rows.dtype == view.pool.rows.dtype
        and len(scratch.plan.begin_us) >= segments
    )
