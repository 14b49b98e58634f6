"""Evolution of a log-linear priority over whole schedules. Read it top to bottom.

Separable natural evolution strategies (`natural_evolution`) with common random numbers: all
candidates of a generation schedule the same training windows, drawn anew for each generation. A
candidate is greedy, so nothing is sampled while it schedules, and what is compared are whole
schedules, with their tails (`fitness.loss`). Only ranks count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from lepton_rl.agents.config import EvolutionConfig
from lepton_rl.agents.fitness import Outcomes, Schedules, loss
from lepton_rl.agents.linear import LINEAR_STARTS, ScoreWeights, weights_of
from lepton_rl.agents.natural_evolution import mirrored_draws, moved
from lepton_rl.core.rules.dispatch import DispatchRule
from lepton_rl.core.tables import Floats

__all__ = ["Evolution", "Generation", "Selected"]


@dataclass(frozen=True, slots=True)
class Selected:
    """The weights that did best on the validation windows.

    Attributes:
        loss: `fitness.loss` there.
        outcomes: figures of each window.
        weights: that it was scored by.
        decisions: made on training windows before.
    """

    loss: float
    outcomes: Outcomes
    weights: ScoreWeights
    decisions: int


@dataclass(frozen=True, slots=True)
class Generation:
    """What is told after each generation.

    Attributes:
        decisions: made so far on training windows.
        training_loss: mean over the candidates.
        validation_loss: of the mean of the distribution.
        step_size: mean over the weights of task features.
        best: so far.
    """

    decisions: int
    training_loss: float
    validation_loss: float
    step_size: float
    best: Selected


class Evolution:
    """A Gaussian over weights that moves towards those that schedule better.

    Args:
        config: how.
        training: windows are drawn from its split.
        validation: chooses among generations.
        validation_starts: `(V,)` first tasks of the validation windows.
        reference: heuristic to be compared with.
        seed: of windows and candidates.

    Attributes:
        best: so far, over the start and the means of all generations.
        start: name of the order that it began with: the best on the validation windows.
    """

    def __init__(
        self,
        config: EvolutionConfig,
        training: Schedules,
        validation: Schedules,
        validation_starts: list[int],
        reference: DispatchRule,
        seed: int,
    ) -> None:
        self._config, self._training, self._validation = config, training, validation
        self._reference, self._rng = reference, np.random.default_rng(seed)
        self._starts = validation_starts
        self._goal = validation.under_rule(reference, validation_starts)
        found = {
            name: self._validated(weights_of(named, config.holds))
            for name, named in LINEAR_STARTS.items()
        }
        self.start = min(found, key=lambda name: found[name].loss)
        self.best = found[self.start]
        self._mean = self.best.weights.flat()
        self._sigma = _first_steps(config, self.best.weights).flat()

    def run(self, decisions: int, report: Callable[[Generation], None]) -> Selected:
        """Evolve until about so many decisions have been made on training windows."""
        while self._training.decisions < decisions:
            training_loss = self._generation()
            here = self._validated(self.best.weights.like(self._mean))
            if here.loss < self.best.loss:
                self.best = here
            moment = self._training.decisions, training_loss, here.loss
            steps = self.best.weights.like(self._sigma)
            report(Generation(*moment, float(steps.linear[:, 0].mean()), self.best))
        return self.best

    def _generation(self) -> float:
        """Sample, schedule, rank, move; the mean loss of the candidates."""
        episodes = self._training.episodes
        starts = [episodes.draw(self._rng) for _ in range(self._config.windows)]
        goal = self._training.under_rule(self._reference, starts)
        noise = mirrored_draws(self._rng, self._config.pairs, self._mean.shape)
        flat = self._mean + self._sigma * noise
        losses = np.array([self._loss(each, starts, goal) for each in flat])
        self._mean, self._sigma = moved(self._mean, self._sigma, noise, losses)
        return float(losses.mean())

    def _loss(self, flat: Floats, starts: list[int], goal: Outcomes) -> float:
        outcomes = self._training.under_score(self.best.weights.like(flat), starts)
        return loss(outcomes, goal, self._config.tail_weight)

    def _validated(self, weights: ScoreWeights) -> Selected:
        outcomes = self._validation.under_score(weights, self._starts)
        value = loss(outcomes, self._goal, self._config.tail_weight)
        return Selected(value, outcomes, weights, self._training.decisions)


def _first_steps(config: EvolutionConfig, weights: ScoreWeights) -> ScoreWeights:
    """Standard deviations of the first generation, in the shapes of `weights`."""
    linear = np.full(weights.linear.shape, config.step_size)
    linear[:, 1:] *= config.interactions
    return ScoreWeights(linear, np.full(weights.holds.shape, config.step_size * config.hold_step))
