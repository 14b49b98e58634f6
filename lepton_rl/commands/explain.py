"""`lepton-rl explain`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from lepton_rl.core.errors import ConfigError, InputFileError
from lepton_rl.core.policy import Policy, Preempt, Start
from lepton_rl.core.rules.dispatch import WAIT
from lepton_rl.core.rules.orders import score
from lepton_rl.core.rules.placement import has_room_now
from lepton_rl.encoding.observation import Observation
from lepton_rl.integrations.http.described import snapshot_of
from lepton_rl.integrations.http.models import DecideRequest
from lepton_rl.policies.explain import explain
from lepton_rl.policies.heuristic import HeuristicPolicy
from lepton_rl.policies.learned import LearnedPolicy
from lepton_rl.policies.named import policy_named
from lepton_rl.system.snapshot import Snapshot

__all__ = ["run_explanation"]

_MOST_SCORES = 10
_MEANING = "effect: by how much the lead over the next best falls without the feature, in logits"


def run_explanation(policy: str, state: Path, features: int, *, as_json: bool) -> str:
    """What is decided and why; returns what goes to stdout.

    Raises:
        LeptonError: the policy or the file is not as it should be.
    """
    chosen = policy_named(policy)
    snapshot = snapshot_of(_read(state))
    facts = {
        "policy": chosen.name,
        **_decision(snapshot, chosen),
        **_why(snapshot, chosen, features),
    }
    if as_json:
        return json.dumps(facts, indent=2, allow_nan=False) + "\n"
    return _in_words(facts)


def _read(state: Path) -> DecideRequest:
    try:
        return DecideRequest.model_validate_json(state.read_bytes())
    except OSError as error:
        raise InputFileError(f"cannot read {state}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "expected nodes and pending"
        raise ConfigError(f"{state}: {where}: {first['msg']}") from error


def _decision(snapshot: Snapshot, policy: Policy) -> dict[str, Any]:
    decision = policy.decide(snapshot.view)
    facts: dict[str, Any] = {"action": type(decision).__name__.lower()}
    if isinstance(decision, Start | Preempt):
        facts["task"] = snapshot.task_of(decision.task)
    if isinstance(decision, Start):
        facts["nodes"] = snapshot.nodes_of(decision.nodes)
    return facts


def _why(snapshot: Snapshot, policy: Policy, features: int) -> dict[str, Any]:
    """What moved the choice of who comes first, and of the node for its first replica."""
    view, count = snapshot.view, int(snapshot.view.status["num_pending"][0])
    if isinstance(policy, HeuristicPolicy):
        rule = policy.rule
        scores = {
            snapshot.task_of(local): float(score(rule.order, view, 0, local, rule.weights))
            for local in view.pending[0, :count].tolist()
        }
        first = sorted(scores.items(), key=lambda each: each[1])[:_MOST_SCORES]
        return {"scores": dict(first), "note": "the lowest score comes first"}
    if not isinstance(policy, LearnedPolicy) or count == 0:
        return {}
    head = policy.head(view)
    facts: dict[str, Any] = {"first": "wait" if head == WAIT else snapshot.task_of(head)}
    effects = {"features": _effects(policy, policy.observe(view), features)}
    if policy.chooses_nodes and head != WAIT and has_room_now(view, 0, head):
        effects["node_features"] = _effects(policy, policy.observe_nodes(view, head), features)
    facts |= {name: found for name, found in effects.items() if found}
    facts["note"] = _MEANING if any(effects.values()) else "there was nothing to choose between"
    return facts


def _effects(policy: LearnedPolicy, obs: Observation, most: int) -> dict[str, float]:
    """The strongest effects by feature; none where there was one choice."""
    if obs.action_mask.sum() < 2:
        return {}
    return {each.feature: each.effect for each in explain(policy, obs)[:most]}


def _in_words(facts: dict[str, Any]) -> str:
    target = f" {facts['task']}" if "task" in facts else ""
    nodes = f" on {', '.join(facts['nodes'])}" if facts.get("nodes") else ""
    lines = [f"{facts['policy']}: {facts['action']}{target}{nodes}"]
    if facts.get("first") not in (None, facts.get("task")):
        lines.append(f"first in its order: {facts['first']}, which is blocked or waits")
    for key in ("features", "node_features", "scores"):
        lines += [f"  {name:32}{value:+.4g}" for name, value in facts.get(key, {}).items()]
    if "note" in facts:
        lines.append(f"({facts['note']})")
    return "\n".join(lines) + "\n"
