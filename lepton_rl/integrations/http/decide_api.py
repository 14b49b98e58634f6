"""`/v1/decide`: what the policy would do on a cluster that the caller describes."""

from __future__ import annotations

from collections import Counter

from fastapi import APIRouter

from lepton_rl.core.policy import Decision, Preempt, Start
from lepton_rl.integrations.http.described import snapshot_of
from lepton_rl.integrations.http.models import Choice, DecideRequest, DecideResponse
from lepton_rl.integrations.http.policies import ServedPolicies
from lepton_rl.system.snapshot import Snapshot

__all__ = ["decide_router"]


def decide_router(policies: ServedPolicies) -> APIRouter:
    """The route."""
    router = APIRouter(prefix="/v1/decide", tags=["decide"])

    @router.post("")
    def decide(request: DecideRequest) -> DecideResponse:
        """Decisions about a described cluster; nothing is kept, and nothing is started."""
        snapshot = snapshot_of(request)
        with policies.lock:
            guard = policies.twin
            guard.reset()
            before = Counter(guard.counts())
            choices = _choices(snapshot, policies, request.max_decisions)
            found = Counter(guard.counts()) - before
        fallbacks = {name: times for name, times in found.items() if name.startswith("fallback")}
        return DecideResponse(policy=policies.current.name, decisions=choices, fallbacks=fallbacks)

    return router


def _choices(snapshot: Snapshot, policies: ServedPolicies, most: int) -> list[Choice]:
    """Ask until the policy waits, carrying out what it decides."""
    choices: list[Choice] = []
    while len(choices) < most and snapshot.queue.num_pending > 0:
        decision = policies.twin.decide(snapshot.view)
        if isinstance(decision, Start):
            decision = snapshot.apply(decision)
        choices.append(_choice(snapshot, decision))
        if not isinstance(decision, Start):
            break
    return choices or [Choice(action="wait")]


def _choice(snapshot: Snapshot, decision: Decision) -> Choice:
    if isinstance(decision, Start):
        nodes = snapshot.nodes_of(decision.nodes)
        return Choice(action="start", task=snapshot.task_of(decision.task), nodes=nodes)
    if isinstance(decision, Preempt):
        return Choice(action="preempt", task=snapshot.task_of(decision.task))
    return Choice(action="wait")
