"""Search for settings: trials of a training run, chosen by Optuna, in a database that resumes.

Trials are compared on the validation windows; test windows are never looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import optuna
import yaml

from lepton_rl.agents.config import TrainConfig
from lepton_rl.agents.run_folder import set_aside
from lepton_rl.agents.trial import RunTrial, run_trial
from lepton_rl.core.errors import ConfigError, LeptonError
from lepton_rl.core.settings import apply_overrides, load_settings
from lepton_rl.workloads.workload import Workload

__all__ = ["SEARCH", "Parameter", "parse_parameter", "sweep"]

SEARCH = (
    "ppo.learning_rate=1e-4:5e-3:log",
    "ppo.epochs=2:8",
    "ppo.gae_lambda=0.9:1.0",
    "ppo.entropy_coefficient=1e-5:1e-2:log",
    "ppo.clip_range=0.1:0.3",
)
"""What is searched by default."""

_DATABASE = "sweep.db"


@dataclass(frozen=True, slots=True)
class Parameter:
    """One setting that is searched.

    Attributes:
        name: of the setting, `ppo.epochs`.
        choices: what it may be; empty for a range.
        low: least value of a range.
        high: greatest value of a range.
        log: whether to search the logarithm.
    """

    name: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    log: bool = False

    def suggest(self, trial: optuna.Trial) -> str:
        """A value as YAML text."""
        if self.choices:
            return str(trial.suggest_categorical(self.name, self.choices))
        if self.low.is_integer() and self.high.is_integer() and not self.log:
            return str(trial.suggest_int(self.name, int(self.low), int(self.high)))
        return repr(trial.suggest_float(self.name, self.low, self.high, log=self.log))


def parse_parameter(text: str) -> Parameter:
    """Read `name=low:high`, `name=low:high:log` or `name=one|other`.

    A range between whole numbers has whole numbers, unless it is written `0.0:1.0:log`.

    Raises:
        ConfigError: it is none of these.
    """
    name, separator, values = (part.strip() for part in text.partition("="))
    expected = ConfigError(
        f"--search {text!r}: expected name=low:high, name=low:high:log or name=one|other, with low"
        " below high, and above 0 for log"
    )
    if not (name and separator and values):
        raise expected
    if "|" in values:
        return Parameter(name, tuple(each.strip() for each in values.split("|")))
    bounds, is_log = values.removesuffix(":log"), values.endswith(":log")
    try:
        low, high = (float(each) for each in bounds.split(":"))
    except ValueError as error:
        raise expected from error
    if not low < high or (is_log and low <= 0):
        raise expected
    return Parameter(name, low=low, high=high, log=is_log)


def sweep(
    data: Mapping[str, Any],
    where: str,
    folder: Path,
    trials: int,
    parameters: Sequence[Parameter],
    *,
    workload: Workload | None = None,
    report: Callable[[optuna.trial.FrozenTrial], None] | None = None,
    run: RunTrial | None = None,
    jobs: int = 1,
) -> optuna.Study:
    """Train until `trials` trials have been completed in `folder`, those of earlier calls included.

    Args:
        data: settings of a training run, before validation.
        where: names them in errors.
        folder: gets the database, a folder for each trial, and `best.yaml`.
        trials: how many there shall be (>= 1).
        parameters: what to search.
        workload: spares reading it again.
        report: told each trial as it ends.
        run: how a trial runs, if not in this process.
        jobs: trials at a time, each `run` from a thread of its own (>= 1); with more than one the
            study depends on which ends first.

    Returns:
        The study; its value is the mean objective on the validation windows, lower is better.

    Raises:
        LeptonError: settings that no trial could have.
    """
    base = load_settings(TrainConfig, data, where)
    run = run or partial(run_trial, workload=workload)
    for parameter in parameters:
        _require_possible(parameter, data, where)
    folder.mkdir(parents=True, exist_ok=True)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        storage=f"sqlite:///{folder.absolute() / _DATABASE}",
        study_name=base.name,
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=base.seed + len(_completed(folder, base.name))),
    )

    def objective(trial: optuna.Trial) -> float:
        overrides = [f"{each.name}={each.suggest(trial)}" for each in parameters]
        config = load_settings(TrainConfig, apply_overrides(data, overrides), where)
        own = folder / f"trial-{trial.number:04d}"
        own.mkdir(exist_ok=True)
        set_aside(own)
        return run(config, own)

    missing = trials - len(_completed(folder, base.name))
    if missing > 0:
        callbacks = [] if report is None else [lambda _, ended: report(ended)]
        study.optimize(
            objective, n_trials=missing, n_jobs=jobs, catch=(LeptonError,), callbacks=callbacks
        )
    if not _completed(folder, base.name):
        raise ConfigError(f"{where}: every trial failed; the settings do not go together")
    best = apply_overrides(data, [f"{name}={value}" for name, value in study.best_params.items()])
    (folder / "best.yaml").write_text(yaml.safe_dump(best, sort_keys=False), encoding="utf-8")
    return study


def _require_possible(parameter: Parameter, data: Mapping[str, Any], where: str) -> None:
    """Refuse a name that is no setting, or values of which neither end is one it may have.

    Raises:
        ConfigError: what is wrong with the first.
    """
    problems = []
    for value in parameter.choices or (parameter.low, parameter.high):
        try:
            load_settings(TrainConfig, apply_overrides(data, [f"{parameter.name}={value}"]), where)
        except ConfigError as error:
            problems.append(error)
        else:
            return
    raise problems[0]


def _completed(folder: Path, name: str) -> list[optuna.trial.FrozenTrial]:
    """Trials that have a value."""
    storage = f"sqlite:///{folder.absolute() / _DATABASE}"
    if name not in optuna.get_all_study_names(storage):
        return []
    study = optuna.load_study(study_name=name, storage=storage)
    return list(study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.COMPLETE,)))
