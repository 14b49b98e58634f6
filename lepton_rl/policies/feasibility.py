"""Whether a decision can be carried out, asked before anybody tries."""

from __future__ import annotations

import numpy as np

from lepton_rl.core.direct import Direct
from lepton_rl.core.policy import Preempt, Start, Wait
from lepton_rl.core.rules.backfill import take_chosen, undo_choice
from lepton_rl.core.tables import NO_NODE, View
from lepton_rl.policies.workspace import Workspace

__all__ = ["Feasibility"]


class Feasibility:
    """Checks decisions by the rules that the system applies; the view is as before afterwards."""

    def __init__(self) -> None:
        self._workspace = Workspace(has_plan=False)
        self._take_chosen, self._undo_choice = Direct(take_chosen), Direct(undo_choice)

    def allows(self, view: View, decision: object) -> bool:
        """Whether the system would carry out `decision`; anything may be asked about.

        A `Start` without nodes is allowed if its task is pending: the system looks for room.
        """
        if isinstance(decision, Wait):
            return True
        if not isinstance(decision, Start | Preempt) or not _is_whole(decision.task):
            return False
        if isinstance(decision, Preempt):
            return _may_be_stopped(view, int(decision.task))
        count = int(view.status["num_pending"][0])
        if int(decision.task) not in view.pending[0, :count]:
            return False
        return not decision.nodes or self._has_room(view, decision)

    def _has_room(self, view: View, decision: Start) -> bool:
        local, last = int(decision.task), len(view.nodes.rows) - 1
        row = int(view.status["first_row"][0]) + local
        replicas = int(view.tasks["replicas"][row])
        known = all(_is_whole(m) and 0 <= m <= last for m in decision.nodes)
        if not known or len(decision.nodes) != replicas:
            return False
        seen, work = self._workspace.ready(view)
        choice = self._workspace.fitting(view).choice
        choice["node"], choice["cards"] = NO_NODE, 0
        choice["node"][0, :replicas] = decision.nodes
        if self._take_chosen(seen, work, 0, local) >= 0:
            return False
        self._undo_choice(seen, work, 0, row)
        return True


def _may_be_stopped(view: View, local: int) -> bool:
    count = int(view.status["num_running"][0])
    if local not in view.running[0, :count]:
        return False
    row = int(view.status["first_row"][0]) + local
    return bool(view.tasks["preemptible"][row]) and not view.spans["stopping"][0, local]


def _is_whole(value: object) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)
