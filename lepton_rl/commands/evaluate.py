"""`lepton-rl evaluate`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from lepton_rl.commands.inputs import environment_for, open_with_log
from lepton_rl.commands.progress import log, progress_bar
from lepton_rl.commands.rivals import headline_of, rivals_of
from lepton_rl.commands.scenarios import run_scenarios
from lepton_rl.commands.trace_sets import run_packing, run_trace_set
from lepton_rl.core.errors import ConfigError
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
from lepton_rl.evaluate.backends import check_backend, open_backend
from lepton_rl.evaluate.catalogue import protocol_info
from lepton_rl.evaluate.cells import Runner, run_serially
from lepton_rl.evaluate.fgd import FGD_SEEDS
from lepton_rl.evaluate.hindsight import Hindsight
from lepton_rl.evaluate.kept import KeptCells
from lepton_rl.evaluate.learned import LearnedContender
from lepton_rl.evaluate.trace_sets import TRACE_SETS
from lepton_rl.policies.learned import LearnedPolicy, load_policy
from lepton_rl.policies.registry import rule_of
from lepton_rl.workloads.workload import Workload

__all__ = [
    "SOURCE_FILE",
    "EvaluateRequest",
    "Execution",
    "evaluate_policies",
    "render",
    "run_evaluation",
    "searching",
    "write_evaluation",
]

CELLS_FILE = "cells.jsonl"
SOURCE_FILE = "evaluated.yaml"


_BACKFILLS = {
    "none": Backfill.NONE,
    "easy": Backfill.EASY,
    "conservative": Backfill.CONSERVATIVE,
}


@dataclass(frozen=True, slots=True)
class Execution:
    """How cells are run; figures do not depend on it.

    Attributes:
        jobs: workers (>= 1).
        backend: one of `BACKENDS`.
        out: folder for documents and finished cells; None to keep nothing.
        resume: take what an earlier evaluation in `out` has finished.

    Raises:
        ConfigError: an unknown backend, no workers, or `resume` without `out`.
    """

    jobs: int = 1
    backend: str = "processes"
    out: Path | None = None
    resume: bool = False

    def __post_init__(self) -> None:
        check_backend(self.backend, self.jobs)
        if self.resume and self.out is None:
            raise ConfigError("--resume: say what to go on with: --out and the folder")

    @contextmanager
    def runner(self) -> Iterator[Runner]:
        """Runs cells until the context ends.

        Raises:
            ConfigError: Ray is not installed.
            InputFileError: the kept cells are something else.
        """
        with open_backend(self.backend, self.jobs) as runner:
            if self.out is None:
                yield runner
                return
            path = self.out / CELLS_FILE
            if not self.resume:
                path.unlink(missing_ok=True)
            kept = KeptCells(runner, path)
            if len(kept):
                log(f"{path}: {len(kept)} cells are finished and not run again")
            yield kept


@dataclass(frozen=True, slots=True)
class EvaluateRequest:
    """What to evaluate; see the options of the command."""

    workload: str | None
    policies: tuple[Path, ...]
    protocol: str
    split: str
    windows: int | None
    length: int
    backfill: str | None
    heuristics: tuple[str, ...]
    seed: int
    overrides: tuple[str, ...] = ()
    data: Path | None = None
    seeds: int = FGD_SEEDS
    hindsight: int = 0


def run_evaluation(
    request: EvaluateRequest, execution: Execution | None = None, *, as_json: bool
) -> str:
    """Evaluate and return what goes to stdout.

    Raises:
        LeptonError: a file, name or setting is wrong.
    """
    protocol_info(request.protocol)
    _refuse_unused(request)
    execution = execution or Execution()
    if request.protocol == "scenarios":
        return _on_scenarios(request, execution, as_json=as_json)
    if request.protocol == "fgd" or request.protocol in TRACE_SETS:
        return _on_traces(request, execution, as_json=as_json)
    environment = environment_for(request.workload or "hpc", request.overrides)
    policies = [load_policy(path) for path in request.policies]
    named = _rules(request.heuristics)
    workload = open_with_log(environment.workload)
    protocol = (
        RLSCHEDULER
        if request.protocol == "rlscheduler"
        else _heldout(request, environment, workload)
    )
    with execution.runner() as runner:
        evaluation = evaluate_policies(
            protocol,
            workload,
            policies,
            named or rivals_of(environment),
            headline=headline_of(environment),
            seed=request.seed,
            runner=runner,
            hindsight=searching(request.hindsight),
        )
    if execution.out is not None:
        write_evaluation(execution.out, evaluation)
        write_source(execution.out, environment, request.policies)
    return render(evaluation, as_json=as_json)


def searching(evaluations: int) -> Hindsight | None:
    """The search of `--hindsight N`; None for 0.

    Raises:
        ConfigError: below 0.
    """
    return Hindsight(evaluations) if evaluations else None


def _refuse_unused(request: EvaluateRequest) -> None:
    """Refuse options that the protocol would silently leave aside.

    Raises:
        ConfigError: there is one.
    """
    protocol = request.protocol
    if protocol in ("heldout", "rlscheduler"):
        given: dict[str, object] = {"--windows": request.windows, "--backfill": request.backfill}
        hint = "its windows and rules are fixed; the protocol heldout has these options"
        if protocol == "heldout":
            return
    else:
        given = {
            "--workload": request.workload,
            "--policy": request.policies,
            "--heuristic": request.heuristics,
            "--backfill": request.backfill,
            "--windows": request.windows,
            "--hindsight": request.hindsight if protocol not in TRACE_SETS else 0,
        }
        hint = (
            "it brings its own work and heuristics; for other work, or a policy, use the protocol"
            " heldout with --workload and --policy"
        )
    for option, value in given.items():
        if value not in (None, (), 0):
            raise ConfigError(f"{option}: protocol {protocol} does not take it: {hint}")


def _on_scenarios(request: EvaluateRequest, execution: Execution, *, as_json: bool) -> str:
    with execution.runner() as runner:
        return run_scenarios(Bootstrap(seed=request.seed), runner, as_json=as_json)


def _on_traces(request: EvaluateRequest, execution: Execution, *, as_json: bool) -> str:
    folder = request.data if request.data is not None else Path()
    with execution.runner() as runner:
        if request.protocol == "fgd":
            return run_packing(folder, request.seeds, runner, as_json=as_json)
        return run_trace_set(
            TRACE_SETS[request.protocol],
            folder,
            Bootstrap(seed=request.seed),
            searching(request.hindsight),
            runner,
            as_json=as_json,
        )


def evaluate_policies(
    protocol: EvaluationProtocol,
    workload: Workload,
    policies: Sequence[LearnedPolicy],
    rules: Mapping[str, DispatchRule],
    *,
    headline: str,
    seed: int = 0,
    runner: Runner = run_serially,
    hindsight: Hindsight | None = None,
) -> Evaluation:
    """Run `protocol` with a progress bar; see `lepton_rl.evaluate.evaluate` for the arguments."""
    contenders = [LearnedContender(_unique(policies, i), p) for i, p in enumerate(policies)]
    with progress_bar("evaluating", None) as report:
        return evaluate(
            protocol,
            workload,
            rules,
            contenders,
            headline=headline,
            bootstrap=Bootstrap(seed=seed),
            progress=report,
            runner=runner,
            hindsight=hindsight,
        )


def write_evaluation(out: Path, evaluation: Evaluation) -> None:
    """`evaluation.json` and `evaluation.txt` in the folder of a run."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "evaluation.json").write_text(render(evaluation, as_json=True), encoding="utf-8")
    (out / "evaluation.txt").write_text(render(evaluation, as_json=False), encoding="utf-8")


def write_source(out: Path, environment: EnvironmentConfig, policies: Sequence[Path]) -> None:
    """`evaluated.yaml`: what a report needs to replay windows of this evaluation."""
    source = {
        "environment": environment.model_dump(mode="json"),
        "policies": [str(path.absolute()) for path in policies],
    }
    text = yaml.safe_dump(source, sort_keys=False, allow_unicode=True)
    (out / SOURCE_FILE).write_text(text, encoding="utf-8")


def render(evaluation: Evaluation, *, as_json: bool) -> str:
    """Text for people or JSON for programs, ending in a newline."""
    if as_json:
        return json.dumps(to_json(evaluation), indent=2, allow_nan=False) + "\n"
    return to_text(evaluation)


def _rules(specs: Sequence[str]) -> dict[str, DispatchRule]:
    """Rule by spec.

    Raises:
        ConfigError: one is named twice, unknown, or has a backfilling of its own.
    """
    repeated = [spec for spec in specs if specs.count(spec) > 1]
    if repeated:
        raise ConfigError(f"--heuristic {repeated[0]}: named twice; name each once")
    return {spec: _order(spec) for spec in specs}


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
