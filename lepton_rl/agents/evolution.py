"""Evolution of linear scores over whole schedules. Read it top to bottom.

Separable natural evolution strategies (`natural_evolution`) with common random numbers: all
candidates of a generation schedule the same training windows, drawn anew for each generation, of
each workload as many. A
candidate is greedy, so nothing is sampled while it schedules, and what is compared are whole
schedules, with their tails (`fitness.loss`). Only ranks count.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lepton_rl.agents.config import EvolutionConfig
from lepton_rl.agents.fitness import Outcomes
from lepton_rl.agents.linear import HEADROOMS, NODE_STARTS, TASK_STARTS, LinearWeights
from lepton_rl.agents.mixture import Mixture, Windows
from lepton_rl.agents.natural_evolution import mirrored_draws, moved

__all__ = ["Evolution", "Generation", "Selected"]


@dataclass(frozen=True, slots=True)
class Selected:
    """The weights that did best on the validation windows.

    Attributes:
        loss: `Mixture.loss` there.
        outcomes: figures of each window of the first workload.
        weights: of tasks and nodes.
        decisions: made on training windows before.
    """

    loss: float
    outcomes: Outcomes
    weights: LinearWeights
    decisions: int


@dataclass(frozen=True, slots=True)
class Generation:
    """What is told after each generation.

    Attributes:
        decisions: made so far on training windows.
        training_loss: mean over the candidates.
        validation_loss: of the mean of the distribution.
        step_size: mean over the weights.
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
        training: windows are drawn from its splits.
        validation: chooses among generations.
        validation_starts: first tasks of the validation windows of each of its workloads.
        seed: of windows and candidates.

    Attributes:
        best: so far, over the start and the means of all generations.
        start: what it began with: the order, and where nodes are chosen the placement, that do
            best on the validation windows, and where holds are wanted, the headroom.
    """

    def __init__(
        self,
        config: EvolutionConfig,
        training: Mixture,
        validation: Mixture,
        validation_starts: Sequence[Sequence[int]],
        seed: int,
    ) -> None:
        self._config, self._training, self._validation = config, training, validation
        self._rng = np.random.default_rng(seed)
        self._judged = validation.at(validation_starts)
        self._with_nodes = training.chooses_nodes
        found = {
            name: self._validated(weights) for name, weights in _starts(self._with_nodes, config)
        }
        self.start = min(found, key=lambda name: found[name].loss)
        self.best = found[self.start]
        self._mean = self.best.weights.flat(self._with_nodes)
        self._sigma = _step_sizes(config).flat(self._with_nodes)

    def run(self, decisions: int, report: Callable[[Generation], None]) -> Selected:
        """Evolve until about so many decisions have been made on training windows."""
        while self._training.decisions < decisions:
            training_loss = self._generation()
            here = self._validated(self.best.weights.like(self._mean))
            if here.loss < self.best.loss:
                self.best = here
            moment = self._training.decisions, training_loss, here.loss
            step_size = float(self.best.weights.like(self._sigma).tasks[:, 0].mean())
            report(Generation(*moment, step_size, self.best))
        return self.best

    def _generation(self) -> float:
        """Sample, schedule, rank, move; the mean loss of the candidates."""
        windows = self._training.drawn(self._rng, self._config.windows)
        noise = mirrored_draws(self._rng, self._config.pairs, self._mean.shape)
        drawn = [self.best.weights.like(self._mean + self._sigma * z) for z in noise]
        losses = np.array([self._loss(weights, windows) for weights in drawn])
        self._mean, self._sigma = moved(self._mean, self._sigma, noise, losses)
        return float(losses.mean())

    def _loss(self, weights: LinearWeights, windows: Windows) -> float:
        return self._training.loss(self._training.under_score(weights, windows), windows)

    def _validated(self, weights: LinearWeights) -> Selected:
        outcomes = self._validation.under_score(weights, self._judged)
        value = self._validation.loss(outcomes, self._judged)
        return Selected(value, outcomes[0], weights, self._training.decisions)


def _starts(with_nodes: bool, config: EvolutionConfig) -> Iterator[tuple[str, LinearWeights]]:
    """What evolution may begin with, by name."""
    for order, of_tasks in TASK_STARTS.items():
        for place, of_nodes in (NODE_STARTS if with_nodes else {"": {}}).items():
            for kept in config.headrooms if config.holds else [""]:
                parts = (order, place, kept and f"{kept} headroom")
                holds = [HEADROOMS[kept]] if kept else []
                weights = LinearWeights.named(of_tasks, of_nodes, holds, config.holds)
                yield "; ".join(part for part in parts if part), weights


def _step_sizes(config: EvolutionConfig) -> LinearWeights:
    """Standard deviation of each weight at the start."""
    sizes = LinearWeights.named({}, num_holds=config.holds)
    sizes.tasks[:] = config.step_size * config.interactions
    sizes.tasks[:, 0] = config.step_size
    sizes.holds[:] = config.step_size * config.hold_step
    sizes.nodes[:] = config.node_step_size
    return sizes
