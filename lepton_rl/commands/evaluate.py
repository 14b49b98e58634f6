"""`lepton-rl evaluate`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lepton_rl.commands.inputs import environment_for, open_with_log
from lepton_rl.commands.progress import progress_bar
from lepton_rl.core.errors import ConfigError
from lepton_rl.core.naming import did_you_mean
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.rules.dispatch import DispatchRule
from lepton_rl.envs.config import EnvironmentConfig
from lepton_rl.evaluate import (
    RLSCHEDULER,
    Bootstrap,
    Evaluation,
    EvaluationProtocol,
    evaluate,
    heldout,
    to_json,
    to_text,
)
from lepton_rl.evaluate.learned import LearnedContender
from lepton_rl.policies.learned import LearnedPolicy, load_policy
from lepton_rl.policies.registry import BASELINES, rule_of
from lepton_rl.workloads.workload import Workload

__all__ = ["EvaluateRequest", "evaluate_policies", "run_evaluation"]

_PROTOCOLS = ("heldout", "rlscheduler")
_BACKFILLS = {
    "none": Backfill.NONE,
    "easy": Backfill.EASY,
    "conservative": Backfill.CONSERVATIVE,
}


@dataclass(frozen=True, slots=True)
class EvaluateRequest:
    """What to evaluate; see the options of the command."""

    workload: str
    policies: tuple[Path, ...]
    protocol: str
    split: str
    windows: int | None
    length: int
    backfill: str | None
    heuristics: tuple[str, ...]
    seed: int
    overrides: tuple[str, ...] = ()


def run_evaluation(request: EvaluateRequest, *, as_json: bool) -> str:
    """Evaluate and return what goes to stdout.

    Raises:
        LeptonError: a file, name or setting is wrong.
    """
    if request.protocol not in _PROTOCOLS:
        hint = did_you_mean(request.protocol, _PROTOCOLS)
        raise ConfigError(f"--protocol {request.protocol}: unknown protocol; {hint}")
    environment = environment_for(request.workload, request.overrides)
    policies = [load_policy(path) for path in request.policies]
    rules = {spec: _order(spec) for spec in request.heuristics or BASELINES}
    workload = open_with_log(environment.workload)
    protocol = (
        RLSCHEDULER
        if request.protocol == "rlscheduler"
        else _heldout(request, environment, workload)
    )
    evaluation = evaluate_policies(protocol, workload, policies, rules, seed=request.seed)
    return render(evaluation, as_json=as_json)


def evaluate_policies(
    protocol: EvaluationProtocol,
    workload: Workload,
    policies: Sequence[LearnedPolicy],
    rules: dict[str, DispatchRule] | None = None,
    *,
    seed: int = 0,
) -> Evaluation:
    """Run `protocol` with a progress bar; heuristics default to all baselines."""
    contenders = [LearnedContender(_unique(policies, i), p) for i, p in enumerate(policies)]
    with progress_bar("evaluating", None) as report:
        return evaluate(
            protocol,
            workload,
            rules if rules is not None else {name: rule_of(name) for name in BASELINES},
            contenders,
            bootstrap=Bootstrap(seed=seed),
            progress=report,
        )


def render(evaluation: Evaluation, *, as_json: bool) -> str:
    """Text for people or JSON for programs, ending in a newline."""
    if as_json:
        return json.dumps(to_json(evaluation), indent=2, allow_nan=False) + "\n"
    return to_text(evaluation)


def _order(spec: str) -> DispatchRule:
    """The rule of a heuristic, whose backfilling the protocol decides for all alike."""
    rule = rule_of(spec)
    if rule.backfill != Backfill.NONE or rule.blocking:
        raise ConfigError(
            f"--heuristic {spec}: the protocol says who may overtake; name order and placement"
            " only, and choose with --backfill"
        )
    return rule


def _heldout(
    request: EvaluateRequest, environment: EnvironmentConfig, workload: Workload
) -> EvaluationProtocol:
    backfill = request.backfill if request.backfill is not None else environment.backfill
    if backfill not in _BACKFILLS:
        raise ConfigError(f"--backfill {backfill}: expected none, easy or conservative")
    return heldout(
        workload,
        split=request.split,
        length=request.length,
        count=request.windows,
        backfill=_BACKFILLS[backfill],
        train=environment.workload.train,
        validation=environment.workload.validation,
    )


def _unique(policies: Sequence[LearnedPolicy], index: int) -> str:
    """Its name, with a number where an earlier policy has the same."""
    name = policies[index].name
    earlier = sum(policy.name == name for policy in policies[:index])
    return f"{name}-{earlier + 1}" if earlier else name
