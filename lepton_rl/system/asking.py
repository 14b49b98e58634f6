"""Asking the policy, and checking what it answers."""

from __future__ import annotations

import logging
import time

import numpy as np

from lepton_rl.core.checks import shown
from lepton_rl.core.errors import InfeasibleDecisionError
from lepton_rl.core.policy import Preempt, Start, Wait
from lepton_rl.core.tables import View
from lepton_rl.core.tasks import TaskState
from lepton_rl.system.parts import Parts
from lepton_rl.system.pool import Refusal

__all__ = ["POLICY_ERROR", "AskingPolicy"]

POLICY_ERROR = "policy-error"

_log = logging.getLogger("lepton_rl.system")


class AskingPolicy(Parts):
    """What happens between the policy and a decision that can be carried out."""

    def assess(self) -> View:
        """Step 2: what the policy may look at: queue, nodes, running tasks, reservations, clock."""
        return self._tables.view

    def _ask(self) -> object:
        """The policy's decision; where it raises and may, that of first come, first served."""
        if not self._falls_back:
            try:
                return self._timed_decision()
            except InfeasibleDecisionError:
                raise
            except Exception:
                if self._strict:
                    raise
                self.monitor.incident(POLICY_ERROR)
                _log.exception("policy %r failed; first come, first served", self._policy.name)
                self._falls_back = True
        head = int(self._tables.view.pending[0, 0])
        try:
            return Start(head, self.pool.least_loaded(head))
        except InfeasibleDecisionError:
            return Wait()

    def _timed_decision(self) -> object:
        """The policy's decision; how long it took is told to the monitor, also where it raises."""
        asked_ns = time.perf_counter_ns()
        try:
            return self._policy.decide(self.assess())
        finally:
            self.monitor.decided_in(time.perf_counter_ns() - asked_ns)
            if self._counting is not None:
                for cause in self._counting.take_incidents():
                    self.monitor.incident(cause)

    def _checked(self, decision: object) -> Start | Preempt:
        """`decision` about a task that it can be made about, in plain integers."""
        if isinstance(decision, Preempt):
            return self._checked_preemption(decision)
        if not isinstance(decision, Start):
            raise InfeasibleDecisionError(
                "expected Start or Wait of lepton_rl.core.policy", Refusal.NOT_A_DECISION
            )
        local = decision.task
        if not isinstance(local, int | np.integer) or not self.queue.is_pending(int(local)):
            raise InfeasibleDecisionError(
                f"expected the local index of a pending task (an entry of view.pending), got"
                f" {local!r}",
                Refusal.NOT_PENDING,
            )
        nodes = (m.item() if isinstance(m, np.generic) else m for m in decision.nodes)
        return Start(int(local), tuple(nodes))

    def _checked_preemption(self, decision: Preempt) -> Preempt:
        local = decision.task
        entry = self.queue.entry_at(int(local)) if isinstance(local, int | np.integer) else None
        if entry is None or entry.state is not TaskState.RUNNING or entry.stopping is not None:
            raise InfeasibleDecisionError(
                "expected the local index of a running task (an entry of view.running) that is not"
                f" being stopped, got {local!r}",
                Refusal.NOT_RUNNING,
            )
        if not entry.task.preemptible:
            raise InfeasibleDecisionError(
                "expected a task that is preemptible", Refusal.NOT_PREEMPTIBLE
            )
        return Preempt(int(local))

    def _explained(self, asked: object, error: InfeasibleDecisionError) -> Exception:
        """The error with who decided what, and when; the policy's own errors say it themselves."""
        if not error.cause:
            return error
        what = shown(asked)
        has_task = error.cause not in (Refusal.NOT_PENDING, Refusal.NOT_RUNNING)
        if isinstance(asked, Start | Preempt) and has_task:
            what += f" (task {self.queue.task_at(asked.task).id!r})"
        return InfeasibleDecisionError(
            f"policy {self._policy.name!r} at {self.now_s:g} s decided {what}: {error}", error.cause
        )
