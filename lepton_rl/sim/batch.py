"""BatchSimulator: many episodes of one workload side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.checks import shown
from lepton_rl.core.errors import ConfigError, InfeasibleDecisionError, StateError
from lepton_rl.core.intake import node_table
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.rules.placement import Place
from lepton_rl.core.tables import Records
from lepton_rl.encoding.observation import Observation, empty_observation
from lepton_rl.sim.episode import EpisodeRule, reset_episode, step_batch
from lepton_rl.sim.objective import Objective
from lepton_rl.sim.tables import SimTable, empty_sim

__all__ = ["BatchSimulator", "episode_rule"]


def episode_rule(
    place: Place = Place.FIRST_FIT,
    backfill: Backfill = Backfill.NONE,
    objective: Objective = Objective.BOUNDED_SLOWDOWN,
    *,
    may_wait: bool = False,
    skip_forced: bool = True,
) -> EpisodeRule:
    """What surrounds the learned choice, as the compiled code wants it."""
    return EpisodeRule(int(place), int(backfill), int(objective), may_wait, skip_forced)


class BatchSimulator:
    """`batch` environments over windows of one workload.

    Args:
        tasks: shared task table.
        run_us: `(rows,)` true run times in us.
        cluster: every episode begins with it idle.
        batch: number of environments (>= 1).
        episode_tasks: tasks of an episode (>= 1).
        slots: task slots of the observation window (>= 2).
        rule: what surrounds the learned choice.

    Attributes:
        obs: observation buffers, overwritten by each call.
        rewards: `(batch,)` float64 of the last step.
        terminated: `(batch,)` bool of the last step.

    Raises:
        ConfigError: a size is out of range.
    """

    def __init__(
        self,
        tasks: Records,
        run_us: NDArray[np.int64],
        cluster: Cluster,
        *,
        batch: int,
        episode_tasks: int,
        slots: int,
        rule: EpisodeRule,
    ) -> None:
        if batch < 1 or slots < 2 or not 1 <= episode_tasks <= len(run_us):
            raise ConfigError(
                f"expected batch >= 1, slots >= 2 and 1 <= episode_tasks <= {len(run_us)} tasks of"
                f" the workload; got batch {batch}, slots {slots}, episode_tasks {episode_tasks}"
            )
        nodes = node_table(cluster)
        self.batch, self.slots, self.episode_tasks = batch, slots, episode_tasks
        self.rule = rule
        self.sim: SimTable = empty_sim(tasks, run_us, nodes, batch, episode_tasks, rule)
        self.obs: Observation = empty_observation(batch, slots, len(nodes.rows))
        self.rewards = np.zeros(batch, np.float64)
        self.terminated = np.zeros(batch, np.bool_)

    def reset(self, b: int, first_row: int) -> None:
        """Begin an episode of environment `b` at task `first_row`.

        Raises:
            ConfigError: there is no such environment, or no whole episode from there.
        """
        last = len(self.sim.run_us) - self.episode_tasks
        if not 0 <= b < self.batch:
            raise ConfigError(f"environment must be one of 0..{self.batch - 1}, got {b}")
        if not 0 <= first_row <= last:
            raise ConfigError(f"episode start must be a task in 0..{last}, got {first_row}")
        reset_episode(self.sim, b, first_row, self.episode_tasks, self.rule, self.obs)

    def step(self, actions: NDArray[np.int64] | Sequence[int]) -> None:
        """Act in every environment; results are in `obs`, `rewards` and `terminated`.

        Args:
            actions: `(batch,)` slots, or `slots` for "wait".

        Raises:
            InfeasibleDecisionError: an action that the mask forbids; nothing has moved.
            StateError: the episode of an environment is over or never began; nothing has moved.
            ConfigError: not one whole number an environment.
        """
        array = self.checked(actions)
        wrong = step_batch(self.sim, array, self.rule, self.obs, self.rewards, self.terminated)
        if wrong < 0:
            return
        allowed = np.flatnonzero(self.obs.action_mask[wrong])
        if len(allowed) == 0:
            raise StateError(
                f"environment {wrong}: its episode is over or has not begun; call reset before step"
            )
        raise InfeasibleDecisionError(
            f"environment {wrong}: action {int(array[wrong])} is masked; allowed:"
            f" {allowed[:10].tolist()}{' ...' if len(allowed) > 10 else ''}"
        )

    def checked(self, actions: NDArray[np.int64] | Sequence[int]) -> NDArray[np.int64]:
        """`(batch,)` int64 actions, which may still be masked.

        Raises:
            ConfigError: not one whole number an environment.
        """
        array = np.asarray(actions)
        if array.shape != (self.batch,) or array.dtype.kind not in "iu":
            raise ConfigError(
                f"actions: expected {self.batch} whole numbers, one an environment, got"
                f" {shown(actions)} of shape {array.shape}"
            )
        return np.ascontiguousarray(array, np.int64)

    def mean_cost(self, b: int) -> float:
        """Objective accrued so far over the episode's tasks; at the end, the mean metric."""
        return float(self.sim.progress["cost"][b] / self.sim.progress["num_tasks"][b])
