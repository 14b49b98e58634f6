"""A run of evolution: its windows, what is logged, and Ctrl-C."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from stable_baselines3.common.logger import configure

from lepton_rl.agents.callbacks import ProgressReport
from lepton_rl.agents.config import TrainConfig
from lepton_rl.agents.evolution import Evolution, Generation, Selected
from lepton_rl.agents.fitness import Schedules
from lepton_rl.agents.mixture import Mixture
from lepton_rl.agents.validation import Validator
from lepton_rl.core.rules.dispatch import DispatchRule
from lepton_rl.envs.config import WorkloadConfig
from lepton_rl.envs.episodes import Episodes

__all__ = ["Evolved", "evolve"]


@dataclass(frozen=True, slots=True)
class Evolved:
    """What evolution came to.

    Attributes:
        best: on the validation windows.
        decisions: made on training windows.
        interrupted: stopped by Ctrl-C before all of them.
    """

    best: Selected
    decisions: int
    interrupted: bool


def evolve(
    config: TrainConfig,
    episodes: Episodes,
    validator: Validator,
    reference: DispatchRule,
    folder: Path,
    report: ProgressReport | None = None,
) -> Evolved:
    """Evolve linear scores for `config.total_steps` decisions.

    Args:
        config: of the run.
        episodes: of the training split of the first workload; `config.evolution` may name others.
        validator: knows the validation windows of the first workload.
        reference: heuristic to be compared with.
        folder: gets the logs.
        report: told the progress.
    """
    settings = config.evolution
    judges = [validator, *(_validator(config, each) for each in settings.also_validate_on)]
    training = Mixture(
        [
            Schedules(config.environment, episodes),
            *(_training(config, each) for each in settings.also_train_on),
        ],
        reference,
        settings.tail_weight,
    )
    validation = Mixture(
        [Schedules(each.config, each.episodes) for each in judges], reference, settings.tail_weight
    )
    starts = [each.starts().tolist() for each in judges]
    logger = configure(str(folder / "tensorboard"), ["tensorboard"])
    evolution = Evolution(settings, training, validation, starts, config.seed)

    def tell(moment: Generation) -> None:
        logger.record("evolution/training_loss", moment.training_loss)
        logger.record("evolution/validation_loss", moment.validation_loss)
        logger.record("evolution/best_loss", moment.best.loss)
        logger.record("evolution/step_size", moment.step_size)
        logger.record("validation/best_metric", float(moment.best.outcomes.cost.mean()))
        logger.dump(moment.decisions)
        if report is not None:
            done = min(moment.decisions, config.total_steps)
            report(done, f"best validation loss {moment.best.loss:.4g}")

    interrupted = False
    try:
        evolution.run(config.total_steps, tell)
    except KeyboardInterrupt:
        interrupted = True
    logger.close()
    return Evolved(evolution.best, training.decisions, interrupted)


def _training(config: TrainConfig, workload: WorkloadConfig) -> Schedules:
    environment = config.environment.model_copy(update={"workload": workload})
    return Schedules(environment, Episodes.of(environment))


def _validator(config: TrainConfig, workload: WorkloadConfig) -> Validator:
    changed = {"workload": workload, "split": "validation"}
    environment = config.environment.model_copy(update=changed)
    return Validator(environment, Episodes.of(environment), config.validation.windows)
