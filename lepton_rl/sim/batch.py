"""BatchSimulator: many episodes of one workload side by side."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.by_reference import Handle
from lepton_rl.core.checks import shown
from lepton_rl.core.direct import Direct
from lepton_rl.core.errors import ConfigError, InfeasibleDecisionError, StateError
from lepton_rl.core.intake import node_table
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.rules.placement import Place
from lepton_rl.core.tables import Floats, Records
from lepton_rl.core.typical import typical_tasks
from lepton_rl.encoding.observation import Observation, empty_observation
from lepton_rl.encoding.workspace import another_workspace, encoder_workspace
from lepton_rl.sim.episode import (
    BatchTable,
    EpisodeRule,
    first_masked,
    reset_episode,
    step_batch,
)
from lepton_rl.sim.linear_episode import linear_scores, play_linear
from lepton_rl.sim.linear_score import NODE_SCORE_FEATURES
from lepton_rl.sim.objective import Objective
from lepton_rl.sim.tables import SimTable, empty_sim
from lepton_rl.sim.turns import StepThreads
from lepton_rl.sim.world import World

__all__ = ["BatchSimulator", "episode_rule"]


def episode_rule(
    place: Place = Place.FIRST_FIT,
    backfill: Backfill = Backfill.NONE,
    objective: Objective = Objective.BOUNDED_SLOWDOWN,
    *,
    may_wait: bool = False,
    skip_forced: bool = True,
    choose_nodes: bool = False,
) -> EpisodeRule:
    """What surrounds the learned choice, as the compiled code wants it."""
    return EpisodeRule(
        int(place), int(backfill), int(objective), may_wait, skip_forced, choose_nodes
    )


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
        num_threads: threads that step large batches (>= 1); what comes out is the same with any.
        world: what happens beside arrivals and ends (dependencies, failures, nodes that are lost);
            None for nothing.
        long_waits: what waiting costs beside the objective: weight of an hour, power.
        weights: of each single objective, in the order of `objective.SINGLE`; read only where the
            objective of the rule is their weighted sum.

    All arrays stay where they are as long as the simulator lives: each call writes into the same.

    Attributes:
        obs: observation buffers, overwritten by each call.
        rewards: `(batch,)` float64 of the last step.
        terminated: `(batch,)` bool of the last step.
        table: all of it as compiled functions take it.
        paused: `(batch,)` bool, written by the caller: whom steps leave as they are.

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
        num_threads: int = 1,
        world: World | None = None,
        long_waits: tuple[float, float] = (0.0, 1.0),
        weights: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0),
    ) -> None:
        if num_threads < 1:
            raise ConfigError(f"num_threads: expected at least 1, got {num_threads}")
        if num_threads > 1 and rule.backfill == Backfill.CONSERVATIVE:
            raise ConfigError(
                "num_threads: conservative backfilling plans in one work space, so it needs"
                f" num_threads=1, got {num_threads}"
            )
        if batch < 1 or slots < 2 or not 1 <= episode_tasks <= len(run_us):
            raise ConfigError(
                f"expected batch >= 1, slots >= 2 and 1 <= episode_tasks <= {len(run_us)} tasks of"
                f" the workload; got batch {batch}, slots {slots}, episode_tasks {episode_tasks}"
            )
        nodes = node_table(cluster)
        self.batch, self.slots, self.episode_tasks = batch, slots, episode_tasks
        self.rule = rule
        typical = typical_tasks(tasks, nodes) if rule.choose_nodes else None
        self.sim: SimTable = empty_sim(
            tasks,
            run_us,
            nodes,
            batch,
            episode_tasks,
            rule,
            typical,
            world,
            long_waits,
            weights,
        )
        self.obs: Observation = empty_observation(
            batch, slots, len(nodes.rows), chooses_nodes=rule.choose_nodes
        )
        self.rewards = np.zeros(batch, np.float64)
        self.terminated = np.zeros(batch, np.bool_)
        self.paused = np.zeros(batch, np.bool_)
        self._actions = np.zeros(batch, np.int64)
        first = encoder_workspace(nodes, batch, slots, tasks)
        spaces = [first, *(another_workspace(first) for _ in range(num_threads - 1))]
        tables = [
            BatchTable(
                sim=self.sim,
                work=space,
                obs=self.obs,
                actions=self._actions,
                paused=self.paused,
                rewards=self.rewards,
                terminated=self.terminated,
            )
            for space in spaces
        ]
        handles = [Handle.standing_for(table) for table in tables]  # one a thread
        self.table = handles[0]
        self._threads = StepThreads(handles, rule) if num_threads > 1 else None
        self._step_batch, self._first_masked = Direct(step_batch), Direct(first_masked)
        self._reset_episode = Direct(reset_episode)

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
        self._reset_episode(self.table, int(b), int(first_row), self.episode_tasks, self.rule)

    def step(self, actions: NDArray[np.int64] | Sequence[int]) -> None:
        """Act in every environment; results are in `obs`, `rewards` and `terminated`.

        Args:
            actions: `(batch,)` slots, `slots` for "wait", `slots + 1 + m` for node `m`.

        Raises:
            InfeasibleDecisionError: an action that the mask forbids; nothing has moved.
            StateError: the episode of an environment is over or never began; nothing has moved.
            ConfigError: not one whole number an environment.
        """
        self._actions[:] = self.checked(actions)
        wrong = self._step()
        if wrong >= 0:
            raise self._refusal(wrong)

    def play(self, b: int, first_row: int, tasks: Floats, nodes: Floats, holds: Floats) -> int:
        """Schedule the episode at task `first_row` with linear scores; see `play_linear`.

        Args:
            b: environment; `mean_cost` and the state of the simulation tell what came of it.
            first_row: first task of the episode.
            tasks: `(F, 1 + C)` weights of task features.
            nodes: `(X,)`, by `NODE_SCORE_FEATURES`; read where nodes are chosen.
            holds: `(H, 1 + F + C)`.

        Returns:
            Decisions made.

        Raises:
            ConfigError: the weights have another shape.
        """
        features = self.obs.tasks.shape[2], 1 + self.obs.cluster.shape[1]
        wanted = features, (len(NODE_SCORE_FEATURES),), (len(holds), sum(features))
        got = tasks.shape, nodes.shape, holds.shape
        if got != wanted:
            raise ConfigError(
                f"play: expected weights of tasks, nodes and holds of shapes {wanted}, got {got}"
            )
        scores = linear_scores(tasks, nodes, holds)
        return play_linear(self.table, b, first_row, self.episode_tasks, self.rule, scores)

    def step_one(self, action: int) -> None:
        """`step` of a batch of one environment, without a look at what `action` is."""
        self._actions[0] = action
        wrong = self._step_batch(self.table, self.rule)
        if wrong >= 0:
            raise self._refusal(wrong)

    def _step(self) -> int:
        """Do `self._actions`; returns what `step_batch` does."""
        if self._threads is None:
            return self._step_batch(self.table, self.rule)
        wrong = self._first_masked(self.table)
        if wrong < 0:
            self._threads.step(self.batch)
        return wrong

    def _refusal(self, wrong: int) -> InfeasibleDecisionError | StateError:
        """Why environment `wrong` cannot do its action."""
        allowed = np.flatnonzero(self.obs.action_mask[wrong])
        if len(allowed) == 0:
            return StateError(
                f"environment {wrong}: its episode is over or has not begun; call reset before step"
            )
        return InfeasibleDecisionError(
            f"environment {wrong}: action {int(self._actions[wrong])} is masked; allowed:"
            f" {allowed[:10].tolist()}{' ...' if len(allowed) > 10 else ''}"
        )

    def close(self) -> None:
        """End the threads."""
        if self._threads is not None:
            self._threads.close()

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
        return array.astype(np.int64, copy=False)

    def mean_cost(self, b: int) -> float:
        """Objective accrued so far over the episode's tasks; at the end, the mean metric."""
        return float(self.sim.progress["cost"][b] / self.sim.progress["num_tasks"][b])
