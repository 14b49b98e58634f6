"""A policy that can do no harm: where it fails, a heuristic decides, and everybody is told."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from enum import StrEnum
from typing import Protocol, cast, runtime_checkable

from pydantic import Field

from lepton_rl.core.direct import Direct
from lepton_rl.core.errors import NotFiniteError
from lepton_rl.core.policy import Decision, Policy, RemembersTasks, Wait
from lepton_rl.core.settings import Settings
from lepton_rl.core.tables import Ints, View
from lepton_rl.encoding.limits import is_within_limits
from lepton_rl.encoding.observation import Observation
from lepton_rl.policies.bench import Bench
from lepton_rl.policies.combined import Combined
from lepton_rl.policies.deadline import DeadlineWorker, StalledError
from lepton_rl.policies.feasibility import Feasibility

__all__ = ["LATE", "Cause", "GuardSettings", "GuardedPolicy", "ShowsInputs"]

LATE = "policy-late"
"""Event: an answer that was used, but took longer than the budget."""

_BENCHED = "policy-benched"
_DECIDED = "policy-decided"
_NANOSECONDS_PER_US = 1000
_MICROS = 1e6
_log = logging.getLogger("lepton_rl.policies")


class Cause(StrEnum):
    """Why the fallback decided."""

    EXCEPTION = "exception"
    """the policy raised"""
    NOT_FINITE = "not-finite"
    """the network gave NaN or an infinity"""
    OUT_OF_RANGE = "out-of-range"
    """what the network was shown is not what its schema promises"""
    INFEASIBLE = "infeasible"
    """the decision cannot be carried out"""
    IDLE = "idle"
    """it waits although nothing runs, so it might wait for ever"""
    STALLED = "stalled"
    """no answer by the deadline"""
    BENCHED = "benched"
    """it failed too often in a row and is not asked for a while"""


class GuardSettings(Settings):
    """When a guard loses its trust.

    Attributes:
        budget_us: what an answer may take, in us (> 0); one that takes longer is used, and counts
            as a failure.
        patience: failures in a row after which the policy is benched (>= 1).
        bench_s: for how long the first time, in s; doubled each further time.
        longest_bench_s: at most, in s.
        deadline_us: wait no longer than this for an answer, in us, and let the fallback decide;
            None waits. It needs a thread and a copy of the view for each question, see
            docs/production.md for the cost.
    """

    budget_us: float = Field(5000.0, gt=0)
    patience: int = Field(5, ge=1)
    bench_s: float = Field(1.0, gt=0)
    longest_bench_s: float = Field(600.0, gt=0)
    deadline_us: float | None = Field(None, gt=0)


@runtime_checkable
class ShowsInputs(Protocol):
    """A policy that tells what its network was shown last."""

    @property
    def observed(self) -> Observation | None:
        """Buffers of the last decision; None before the first."""
        ...


class GuardedPolicy(Combined):
    """Asks `policy`; where that fails, `fallback`.

    Everything is counted by cause: `counts()` has `policy-decided`, `policy-late`,
    `policy-benched` and `fallback-<cause>` of `Cause`. A scheduler counts all but the first among
    its incidents.

    Args:
        policy: may do anything.
        fallback: a heuristic, which is trusted.
        settings: None for the defaults.
        clock: in s, for the bench; never goes back.
    """

    def __init__(
        self,
        policy: Policy,
        fallback: Policy,
        settings: GuardSettings | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(policy, fallback)
        self._policy, self._fallback = policy, fallback
        self._is_within_limits = Direct(is_within_limits)
        self._shows = policy if isinstance(policy, ShowsInputs) else None
        settings = settings or GuardSettings()
        self._budget_ns = settings.budget_us * _NANOSECONDS_PER_US
        self._bench = Bench(settings.patience, settings.bench_s, settings.longest_bench_s, clock)
        self._feasibility = Feasibility()
        self._deadline_s = None if settings.deadline_us is None else settings.deadline_us / _MICROS
        self._worker = None if self._deadline_s is None else DeadlineWorker(policy)
        self._is_stale = False  # the policy was stuck, and has missed what happened meanwhile

    def reset(self) -> None:
        """Let both forget everything; one that is stuck does once it has come back."""
        self._fallback.reset()
        self._bench.clear()
        if not self._is_stuck():
            self._policy.reset()

    def reindex(self, moved: Ints) -> None:
        """See `RemembersTasks`."""
        is_stuck = self._is_stuck()
        for part in (self._fallback,) if is_stuck else (self._policy, self._fallback):
            if isinstance(part, RemembersTasks):
                part.reindex(moved)

    def forgive(self) -> None:
        """Trust the policy as on its first day, e.g. after it was exchanged for a better one.

        Where it is stuck, that thread is given up, and another one asks.
        """
        self._bench.clear()
        if self._worker is not None and self._worker.is_busy:
            self._worker = DeadlineWorker(self._policy)

    def decide(self, view: View) -> Decision:
        """The policy's decision, or the fallback's; see `core.policy.Policy`."""
        if self._bench.is_benched:
            return self._fall_back(view, Cause.BENCHED)
        began_ns = time.perf_counter_ns()
        try:
            decision = self._ask(view)
            cause = self._problem(view, decision)
        except StalledError:
            cause = Cause.STALLED
        except NotFiniteError:
            cause = Cause.NOT_FINITE
        except Exception:
            _log.debug("policy %r failed", self.name, exc_info=True)
            cause = Cause.EXCEPTION
        if cause is not None:
            self._has_failed()
            return self._fall_back(view, cause)
        self._judge_time(time.perf_counter_ns() - began_ns)
        return cast(Decision, decision)

    def _ask(self, view: View) -> object:
        if self._worker is None or self._deadline_s is None:
            return self._policy.decide(view)
        if self._is_stale and not self._worker.is_busy:
            self._policy.reset()
            self._is_stale = False
        return self._worker.ask(view, self._deadline_s)

    def _problem(self, view: View, decision: object) -> Cause | None:
        """Why an answer must not be used, None if it may."""
        observed = None if self._shows is None else self._shows.observed
        if observed is not None and not self._is_within_limits(observed):
            return Cause.OUT_OF_RANGE
        if not self._feasibility.allows(view, decision):
            return Cause.INFEASIBLE
        status = view.status
        if isinstance(decision, Wait) and not status["num_running"][0] and status["num_pending"][0]:
            return Cause.IDLE
        return None

    def _judge_time(self, took_ns: int) -> None:
        self._count(_DECIDED)
        if took_ns <= self._budget_ns:
            self._bench.succeeded()
            return
        self._count(LATE, incident=True)
        self._has_failed()

    def _has_failed(self) -> None:
        if self._bench.failed():
            self._count(_BENCHED, incident=True)
            _log.warning("policy %r is not asked for a while: it failed too often", self.name)

    def _fall_back(self, view: View, cause: Cause) -> Decision:
        self._count(f"fallback-{cause}", incident=True)
        return self._fallback.decide(view)

    def _is_stuck(self) -> bool:
        stuck = self._worker is not None and self._worker.is_busy
        self._is_stale |= stuck
        return stuck
