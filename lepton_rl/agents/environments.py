"""Environments to learn in: one simulator, episodes that follow each other, relative rewards."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.clock import MICROSECOND
from lepton_rl.core.errors import StateError
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.rules.dispatch import DispatchRule
from lepton_rl.envs.config import EnvironmentConfig
from lepton_rl.envs.episodes import Episodes
from lepton_rl.sim.reference import Reference, heuristic_actions, starting_slots

__all__ = ["Environments", "Finished"]

Flags = NDArray[np.bool_]
Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

_KEPT = 100
"""Episodes that the logged means are over."""


class Finished:
    """Returns, lengths and metrics of the last episodes that ended."""

    def __init__(self) -> None:
        self.returns: deque[float] = deque(maxlen=_KEPT)
        self.lengths: deque[int] = deque(maxlen=_KEPT)
        self.metrics: deque[float] = deque(maxlen=_KEPT)


class Environments:
    """`num_envs` environments; each begins its next episode as one ends.

    With a `reference` heuristic, an episode's rewards add up to 1 - cost / cost of the reference on
    the same window: 0 is as good as the heuristic, positive is better. (The cost is divided by that
    of the reference, or by 1 a task where that is less: no task may have waited.) Without a
    reference they add up to minus the mean metric.

    Which window an environment's n-th episode has depends on the seed, the environment and n alone.

    Args:
        config: of the environment.
        episodes: where windows come from.
        num_envs: environments (>= 1).
        seed: of the windows that are drawn.
        reference: heuristic to measure against.
        per_sequence: so many environments in a row have the same windows; divides `num_envs`.

    Attributes:
        simulator: its buffers hold the observations.
        rewards: `(num_envs,)` of the last step.
        terminated: `(num_envs,)` whether the last step ended an episode.
        elapsed_s: `(num_envs,)` what the last step took by the simulated clock.
        finished: the last episodes.
    """

    def __init__(
        self,
        config: EnvironmentConfig,
        episodes: Episodes,
        num_envs: int,
        seed: int,
        reference: DispatchRule | None = None,
        per_sequence: int = 1,
    ) -> None:
        self.config, self.episodes, self.num_envs = config, episodes, num_envs
        self.simulator = episodes.simulator(config, num_envs)
        self.seed, self.per_sequence = seed, per_sequence
        self._reference = None
        if reference is not None:
            self._reference = Reference(
                self.simulator.sim, reference, self.simulator.rule.objective
            )
        self.rewards = np.zeros(num_envs)
        self.terminated = np.zeros(num_envs, np.bool_)
        self.elapsed_s = np.zeros(num_envs)
        self.finished = Finished()
        self.returns = np.zeros(num_envs)
        self.lengths = np.zeros(num_envs, np.int64)
        self._reference_cost = np.zeros(num_envs)
        self._begun = np.zeros(num_envs, np.int64)
        self._history = np.zeros((num_envs, 4 * episodes.length), np.int32)

    def reset(self) -> None:
        """Begin the next episode everywhere."""
        for b in range(self.num_envs):
            self.begin(b)

    def restart(self, seed: int) -> None:
        """Draw windows from another seed, from the next `reset` on."""
        self.seed = seed
        self._begun[:] = 0

    def begin(self, b: int) -> None:
        """Begin the next episode of environment `b`."""
        self._begun[b] += 1
        self.returns[b] = self._reference_cost[b] = 0.0
        self.lengths[b] = 0
        self._set_up(b)

    def _set_up(self, b: int) -> None:
        """Put environment `b` at the start of the episode that it has counted."""
        rng = np.random.default_rng((self.seed, b // self.per_sequence, int(self._begun[b])))
        first_row = self.episodes.draw(rng)
        self.simulator.paused[b] = False
        self.simulator.reset(b, first_row)
        if self._reference is not None:
            self._reference.begin(b, first_row, self.episodes.length)

    def step(self, actions: Ints) -> None:
        """Take actions `(B,)`; what comes of it is in `rewards`, `terminated` and `elapsed_s`.

        Environments that ended show their last observation until `begin` or `pause`.
        """
        before_us = self._now_us().copy()
        going = ~self.simulator.paused
        self._remember(actions)
        self.simulator.step(actions)
        self.terminated = self.simulator.terminated & going
        self.elapsed_s = (self._now_us() - before_us) / MICROSECOND
        self.rewards = np.where(going, self._rewards(), 0.0)
        self.returns += self.rewards
        self.lengths += going
        for b in np.flatnonzero(self.terminated).tolist():
            self.finished.returns.append(float(self.returns[b]))
            self.finished.lengths.append(int(self.lengths[b]))
            self.finished.metrics.append(self.simulator.mean_cost(b))

    def pause(self, which: Flags) -> None:
        """Leave environments as they are until they begin again."""
        self.simulator.paused |= which

    def clock_s(self) -> Floats:
        """`(num_envs,)` simulated seconds since the first arrival of each episode."""
        status = self.simulator.sim.state.status
        first_us = self.simulator.sim.state.tasks["submit_us"][status["first_row"]]
        result: Floats = (status["now_us"] - first_us) / MICROSECOND
        return result

    def heuristic_actions(self, rule: DispatchRule) -> Ints:
        """`(num_envs,)` what `rule` would choose now.

        That is the task that it puts first, or, if it backfills and the environment does not, the
        task that it starts in the place of that one. While a node is to be chosen, it is the one
        that its placement likes best.
        """
        actions = np.zeros(self.num_envs, np.int64)
        sim, obs = self.simulator.sim, self.simulator.obs
        heuristic_actions(sim, obs, rule, actions)
        if rule.backfill != Backfill.NONE and self.simulator.rule.backfill == Backfill.NONE:
            starting_slots(sim, obs, rule, actions)
        return actions

    def state(self) -> dict[str, Any]:
        """All it takes to be here again: arrays and numbers."""
        longest = int(self.lengths.max())
        return {
            "seed": self.seed,
            "begun": self._begun.tolist(),
            "lengths": self.lengths.tolist(),
            "returns": self.returns.tolist(),
            "reference_cost": self._reference_cost.tolist(),
            "paused": self.simulator.paused.tolist(),
            "actions": self._history[:, :longest].tolist(),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Be where `state` was taken: each episode is begun and its actions are done again.

        Raises:
            StateError: the state is of another number of environments.
        """
        if len(state["begun"]) != self.num_envs:
            raise StateError(
                f"expected the state of {self.num_envs} environments, got one of"
                f" {len(state['begun'])}; use the settings it was made with"
            )
        self.seed = int(state["seed"])
        self._begun[:], self.lengths[:] = state["begun"], state["lengths"]
        actions = np.asarray(state["actions"], np.int64).reshape(self.num_envs, -1)
        for b in range(self.num_envs):
            self._set_up(b)
        for index in range(actions.shape[1]):
            self.simulator.paused[:] = index >= self.lengths
            self.simulator.step(actions[:, index])
        self._history = np.zeros((self.num_envs, max(8, 2 * actions.shape[1])), np.int32)
        self._history[:, : actions.shape[1]] = actions
        self.simulator.paused[:] = state["paused"]
        self.returns[:], self._reference_cost[:] = state["returns"], state["reference_cost"]

    def _remember(self, actions: Ints) -> None:
        """Actions of the episodes that go on, for `state`."""
        if int(self.lengths.max()) >= self._history.shape[1]:
            self._history = np.concatenate([self._history, np.zeros_like(self._history)], axis=1)
        self._history[np.arange(self.num_envs), self.lengths] = actions

    def _now_us(self) -> Ints:
        result: Ints = self.simulator.sim.state.status["now_us"]
        return result

    def _rewards(self) -> Floats:
        rewards = self.simulator.rewards.copy()
        if self._reference is None:
            return rewards
        cost = -rewards * self.episodes.length
        reached = self._reference.cost_by(self._now_us())
        ended = self.simulator.terminated
        reached[ended] = self._reference.total[ended]
        gain = (reached - self._reference_cost) - cost
        self._reference_cost = reached
        return gain / np.maximum(self._reference.total, self.episodes.length)
