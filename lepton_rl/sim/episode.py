"""Episodes: one decision at a time, for whoever learns.

An action names the task that comes first (the head). If it fits it starts, on nodes chosen by the
placement rule; if it does not, the backfilling rule may start another, and when nobody can start,
time goes on to the next event. So the argmax of a learned score, asked again after each step, is
scheduled exactly as a heuristic order is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.compiled import compiled
from lepton_rl.core.rules.dispatch import WAIT, start_head
from lepton_rl.core.tables import Floats, Ints
from lepton_rl.encoding.observation import Observation, encode
from lepton_rl.sim.events import advance, reset, start_promised
from lepton_rl.sim.runs import start
from lepton_rl.sim.tables import SimTable

__all__ = [
    "EpisodeRule",
    "is_over",
    "observe",
    "reset_episode",
    "settle",
    "step_batch",
    "step_head",
]


class EpisodeRule(NamedTuple):
    """What surrounds the learned choice."""

    place: int  # a `Place`
    backfill: int  # a `Backfill`
    objective: int  # an `Objective`
    may_wait: bool  # offer "wait" as an action
    skip_forced: bool  # do not ask when one task is pending and waiting is not offered


@compiled
def is_over(sim: SimTable, b: int) -> bool:
    """Whether every wait is settled: every task has started, and none can come back.

    Where tasks may fail or be evicted, or need each other, that is when all have ended.
    """
    if sim.lives.shape[1] > 0:
        return bool(sim.progress[b].num_ended == sim.progress[b].num_tasks)
    return bool(
        sim.progress[b].next_arrival == sim.progress[b].num_tasks
        and sim.state.status[b].num_pending == 0
    )


@compiled
def _is_worth_waiting(sim: SimTable, b: int) -> bool:
    """Whether something will happen that the learner can still answer."""
    return not is_over(sim, b) and bool(
        sim.progress[b].next_arrival < sim.progress[b].num_tasks or sim.progress[b].num_ends > 0
    )


@compiled
def _dispatch(sim: SimTable, b: int, head: int, rule: EpisodeRule) -> bool:
    """Start `head` or who may overtake it, else go on to the next event; False if none is left."""
    local = start_head(sim.state, sim.scratch, b, head, rule.place, rule.backfill)
    if local == WAIT:
        return advance(sim, b, rule.objective, False)
    start(sim, b, local)
    return True


@compiled
def settle(sim: SimTable, b: int, rule: EpisodeRule, skip_forced: bool) -> None:
    """Go on until there is something to decide or the episode is over."""
    going = True
    while going and not is_over(sim, b):
        if start_promised(sim, b):
            continue
        count = sim.state.status[b].num_pending
        if count == 0:
            going = advance(sim, b, rule.objective, False)
        elif count == 1 and skip_forced and not rule.may_wait:
            going = _dispatch(sim, b, sim.state.pending[b, 0], rule)
        else:
            going = False


@compiled
def observe(sim: SimTable, b: int, rule: EpisodeRule, obs: Observation) -> None:
    """Write the observation of environment `b`; waiting is offered while something can happen.

    Once the episode is over, nothing is offered.
    """
    encode(sim.state, b, rule.may_wait and _is_worth_waiting(sim, b), obs)


@compiled
def reset_episode(
    sim: SimTable, b: int, first_row: int, num_tasks: int, rule: EpisodeRule, obs: Observation
) -> None:
    """Begin an episode and stop at its first decision, which is always asked."""
    reset(sim, b, first_row, num_tasks)
    settle(sim, b, rule, False)
    observe(sim, b, rule, obs)


@compiled
def step_head(sim: SimTable, b: int, head: int, rule: EpisodeRule) -> float:
    """Act on one decision: `head` is the local index of the task that comes first, or WAIT.

    Returns:
        Minus the cost accrued since the last decision over the episode's tasks, so that an
        episode's rewards sum to minus the mean metric.
    """
    if head == WAIT:
        advance(sim, b, rule.objective, False)
    else:
        _dispatch(sim, b, head, rule)
    settle(sim, b, rule, rule.skip_forced)
    reward = -(sim.progress[b].cost - sim.progress[b].reported) / sim.progress[b].num_tasks
    sim.progress[b].reported = sim.progress[b].cost
    return reward


@compiled
def step_batch(
    sim: SimTable,
    actions: Ints,
    rule: EpisodeRule,
    obs: Observation,
    rewards: Floats,
    terminated: NDArray[np.bool_],
) -> int:
    """Step every environment.

    Args:
        sim: state.
        actions: `(B,)` slot of the window, or its length for "wait".
        rule: what surrounds the choice.
        obs: the observations the actions answer; overwritten by the next ones.
        rewards: `(B,)` out.
        terminated: `(B,)` out.

    Returns:
        -1, or the first environment whose action the mask forbids; then nothing has moved.
    """
    slots = obs.window.shape[1]
    for b in range(actions.shape[0]):
        if actions[b] < 0 or actions[b] > slots or not obs.action_mask[b, actions[b]]:
            return b
    for b in range(actions.shape[0]):
        head = WAIT if actions[b] == slots else obs.window[b, actions[b]]
        rewards[b] = step_head(sim, b, head, rule)
        terminated[b] = is_over(sim, b)
        observe(sim, b, rule, obs)
    return -1
