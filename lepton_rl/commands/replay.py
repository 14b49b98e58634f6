"""`lepton-rl replay`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

from lepton_rl.commands.inputs import environment_for, open_with_log
from lepton_rl.commands.progress import log
from lepton_rl.core.errors import ConfigError
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.schedule import Schedule
from lepton_rl.evaluate.contenders import Contender, HeuristicContender
from lepton_rl.evaluate.learned import LearnedContender
from lepton_rl.evaluate.replaying import RECORDED, Compared, compare_blocks, from_journal
from lepton_rl.evaluate.statistics import Bootstrap
from lepton_rl.policies.learned import load_policy
from lepton_rl.policies.named import is_learned
from lepton_rl.policies.registry import rule_of
from lepton_rl.system.journal import Journal
from lepton_rl.workloads.workload import Workload

__all__ = ["ReplayRequest", "run_replay"]

_BACKFILLS = {"none": Backfill.NONE, "easy": Backfill.EASY, "conservative": Backfill.CONSERVATIVE}


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """What was asked for on the command line; see `lepton-rl replay --help`."""

    policy: str
    journal: str | None
    workload: str | None
    against: str
    backfill: str
    blocks: int
    tasks: int | None
    seed: int
    overrides: tuple[str, ...] = ()


def run_replay(request: ReplayRequest, *, as_json: bool) -> str:
    """Replay and return what goes to stdout.

    Raises:
        LeptonError: a file, name or number is wrong.
    """
    if (request.journal is None) == (request.workload is None):
        raise ConfigError("replay: say --journal or --workload, one of them")
    if request.backfill not in _BACKFILLS:
        raise ConfigError(f"--backfill {request.backfill}: expected none, easy or conservative")
    workload, happened = _work(request)
    backfill = _BACKFILLS[request.backfill]
    candidate, other = _contender(request.policy), _contender(request.against)
    ours = candidate.schedule(workload, workload.cluster, backfill)
    others = {other.name: other.schedule(workload, workload.cluster, backfill)}
    if happened is not None:
        others = {RECORDED: happened, **others}
    bootstrap = Bootstrap(seed=request.seed)
    compared = [
        compare_blocks(ours, theirs, name, request.blocks, bootstrap)
        for name, theirs in others.items()
    ]
    if as_json:
        facts = {
            "workload": workload.name,
            "tasks": len(workload),
            "policy": candidate.name,
            "backfill": request.backfill,
            "skipped": dict(workload.skipped),
            "compared": [asdict(each) for each in compared],
        }
        return json.dumps(facts, indent=2, allow_nan=False) + "\n"
    return _in_words(workload, candidate.name, request.backfill, compared)


def _work(request: ReplayRequest) -> tuple[Workload, Schedule | None]:
    if request.journal is not None:
        with Journal.open(request.journal, read_only=True) as journal:
            found = from_journal(journal, request.tasks)
        for reason, count in found.workload.skipped.items():
            log(f"{found.workload.name}: {count} tasks: {reason}")
        return found.workload, found.schedule
    assert request.workload is not None
    environment = environment_for(request.workload, request.overrides)
    whole = open_with_log(environment.workload)
    count = min(len(whole), request.tasks or len(whole))
    return whole.window(len(whole) - count, count), None


def _contender(name: str) -> Contender:
    if is_learned(name):
        policy = load_policy(name)
        return LearnedContender(policy.name, policy)
    rule = rule_of(name)
    if rule.backfill != Backfill.NONE or rule.blocking:
        raise ConfigError(
            f"replay: {name}: name order and placement only, and choose with --backfill"
        )
    return HeuristicContender(name, rule)


def _in_words(workload: Workload, name: str, backfill: str, compared: list[Compared]) -> str:
    lines = [f"{workload.name}: {len(workload)} tasks under {name}, backfill {backfill}"]
    for each in compared:
        for figure, difference in each.differences.items():
            ours, theirs = each.means[figure]
            interval = difference.difference_interval
            span = (
                f" [{interval.low:+.4g}, {interval.high:+.4g}] at {interval.level:.0%}"
                if interval is not None
                else f" ({difference.note})"
            )
            lines.append(
                f"{figure:18}{ours:.4g} against {theirs:.4g} of {each.other}:"
                f" {difference.difference:+.4g}{span}: {difference.verdict}"
            )
    if any(each.other == RECORDED for each in compared):
        lines.append(
            "(recorded times include what no simulation knows: delays of the executor, nodes that"
            f" were down; against {compared[-1].other} both sides are simulated)"
        )
    return "\n".join(lines) + "\n"
