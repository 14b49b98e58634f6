"""The seven steps of the Lepton system, and the loop that asks the policy.

receive, assess, balance, reserve, execute, feed back and complete are methods of these names;
assess, which is for the policy alone, stands in `lepton_rl.system.asking`.
"""

from __future__ import annotations

from dataclasses import replace

from lepton_rl.core.errors import InfeasibleDecisionError
from lepton_rl.core.policy import Decision, Preempt, Start, Wait
from lepton_rl.core.rules.signals import pass_time
from lepton_rl.system.asking import AskingPolicy
from lepton_rl.system.ending import EndingRuns
from lepton_rl.system.executor import Completion
from lepton_rl.system.life import StopReason
from lepton_rl.system.pool import Refusal
from lepton_rl.system.starting import StartingRuns

__all__ = ["Steps"]


class Steps(AskingPolicy, StartingRuns, EndingRuns):
    """What a scheduler does at one instant."""

    def receive(self, limit: int | None = None) -> int:
        """Step 1: tasks whose time has come become pending.

        Args:
            limit: take at most this many.

        Returns:
            How many did.
        """
        count = 0
        while count != limit and self.queue.receive(self.now_us) is not None:
            count += 1
        return count

    def balance(self, decision: Start | Preempt) -> Start | Preempt:
        """Step 3: a task without nodes gets the least loaded ones, R_min = argmin C_i / T_i.

        Raises:
            InfeasibleDecisionError: the task does not fit now.
        """
        if isinstance(decision, Preempt) or len(decision.nodes) > 0:
            return decision
        return replace(decision, nodes=self.pool.least_loaded(decision.task))

    def reserve(self) -> Start | None:
        """Step 4: hold nodes for the first critical task that cannot start, and for no other.

        Returns:
            The start of a task that had a reservation and fits now; None if there is none.
        """
        promised = self.pool.reserve()
        return None if promised is None else Start(*promised)

    def execute(self, decision: Start | Preempt) -> bool:
        """Step 5: allocate the nodes and start the task on them; all of it happens or nothing.

        A preempted task is told to stop; it gives back its nodes once it has.

        Returns:
            Whether it is done; False if the executor failed, which counts as a failure of the task.

        Raises:
            InfeasibleDecisionError: these nodes cannot be had.
            LeptonError: the executor cannot start it (strict mode).
        """
        if isinstance(decision, Preempt):
            entry = self.queue.entry_at(decision.task)
            assert entry is not None, "a decision that was not checked"
            self._stop_run(entry, StopReason.PREEMPT)
            self._settle_stopped()
            return True
        self.pool.allocate(decision.task, decision.nodes)
        return self._launch(decision)

    def feed_back(self, decision: Decision, refused: InfeasibleDecisionError | None = None) -> None:
        """Step 6: tell the monitor what was decided, and what became of it."""
        if refused is not None:
            self.monitor.refused(refused.cause or Refusal.NOT_A_DECISION)
        elif isinstance(decision, Start):
            task = self.queue.task_at(decision.task)
            self.monitor.started(task.id, decision.nodes, self.now_us)
        elif isinstance(decision, Preempt):
            self.monitor.preempted()
        else:
            self.monitor.waited()

    def complete(self, limit: int | None = None) -> int:
        """Step 7: runs that have ended give back their nodes, by end, then in order of arrival.

        Args:
            limit: take at most this many; the others wait for the next call.

        Returns:
            How many did.

        Raises:
            StateError: the executor tells the end of a task that is not running (strict mode).
        """
        self._collect()
        if not self._ended:
            return 0
        settled: list[Completion] = []
        with self._recorder.batch():
            while self._ended and len(settled) != limit:
                settled.append(self._ended.pop(0))
                self._settle(settled[-1])
        self._acknowledge(settled)
        return len(settled)

    def _move_clock(self, now_us: int) -> None:
        """The only place where time passes."""
        changed = self.pool.slots.has_changed
        available = self.pool.available_units() if changed else None
        allocated = self.pool.allocated_units()
        self.monitor.passed(now_us, allocated, available, self.pool.watts())
        if self.queue.has_resting and now_us > self.now_us:
            self.queue.wake()
        pass_time(self._tables.handle, 0, now_us)

    def _decide(self) -> None:
        """Ask the policy until it waits."""
        self._falls_back = False
        going = self._has_pending()
        if not going:
            self.reserve()  # renews what is expected of running tasks, here as in the simulator
        while going and self._has_pending():
            promised = self.reserve()
            going = self._decide_once() if promised is None else self._keep_promise(promised)

    def _keep_promise(self, decision: Start) -> bool:
        """Start a task that had a reservation, without asking the policy."""
        if self.execute(decision):
            self.feed_back(decision)
        return True

    def _has_pending(self) -> bool:
        if self._quotas:
            self._quotas.apply(self.queue)
        return self.queue.num_pending > 0

    def _decide_once(self) -> bool:
        """Ask the policy and do what it says; False if it waits, or decided what cannot be done."""
        asked: object = None
        try:
            asked = self._ask()
            if isinstance(asked, Wait):
                self.feed_back(asked)
                return False
            decision = self.balance(self._checked(asked))
            is_done = self.execute(decision)
        except InfeasibleDecisionError as error:
            if self._strict:
                raise self._explained(asked, error) from None
            self.feed_back(Wait(), error)
            return False
        if is_done:
            self.feed_back(decision)
        return True
