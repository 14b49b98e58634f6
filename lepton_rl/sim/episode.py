"""Episodes: one decision at a time, for whoever learns.

An action names the task that comes first (the head). If it fits it starts, on nodes chosen by the
placement rule; if it does not, the backfilling rule may start another, and when nobody can start,
time goes on to the next event. So the argmax of a learned score, asked again after each step, is
scheduled exactly as a heuristic order is.

With `choose_nodes`, a task that comes first and fits does not start yet: the next actions name the
node of each of its replicas. Tasks that overtake it get theirs by the placement rule.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lepton_rl.core.by_reference import by_reference
from lepton_rl.core.compiled import compiled, inlined
from lepton_rl.core.rules.dispatch import WAIT, start_head
from lepton_rl.core.rules.placement import begin_gang, has_room_now, only_node, place_replica
from lepton_rl.core.tables import NO_NODE, NO_TASK, Floats, Ints
from lepton_rl.encoding.observation import Observation, encode, encode_candidates
from lepton_rl.encoding.workspace import EncoderWorkspace
from lepton_rl.sim.events import advance, reset, start_promised
from lepton_rl.sim.runs import start
from lepton_rl.sim.tables import SimTable

__all__ = [
    "BatchTable",
    "EpisodeRule",
    "begin_episode",
    "first_masked",
    "is_allowed",
    "is_over",
    "reset_episode",
    "settle",
    "step_batch",
    "step_head",
    "step_node",
    "step_one",
    "step_range",
]


@by_reference
class BatchTable(NamedTuple):
    """`B` episodes, what is done in them, and what comes back."""

    sim: SimTable
    work: EncoderWorkspace  # of `obs`
    obs: Observation  # what the actions answer; overwritten by what follows them
    actions: Ints  # (B,) slot of the window, its length Q for "wait", Q + 1 + m for node m
    paused: NDArray[np.bool_]  # (B,) whom the next step leaves as they are, whatever their action
    rewards: Floats  # (B,) out
    terminated: NDArray[np.bool_]  # (B,) out


class EpisodeRule(NamedTuple):
    """What surrounds the learned choice."""

    place: int  # a `Place`
    backfill: int  # a `Backfill`
    objective: int  # an `Objective`
    may_wait: bool  # offer "wait" as an action
    skip_forced: bool  # do not ask where there is one choice and waiting is not offered
    choose_nodes: bool  # also ask for the node of each replica of the task that comes first


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
    """Whether something runs, whose end the learner can answer; of arrivals nobody knows."""
    return not is_over(sim, b) and sim.progress[b].num_ends > 0


@inlined
def _dispatch(sim: SimTable, b: int, head: int, rule: EpisodeRule) -> bool:
    """Start `head` or who may overtake it, else go on to the next event; False if none is left."""
    if rule.choose_nodes and has_room_now(sim.state, b, head):
        begin_gang(sim.scratch, b)
        sim.progress[b].placing = head
        sim.progress[b].placed = 0
        return True
    local = start_head(sim.state, sim.scratch, b, head, rule.place, rule.backfill)
    if local == WAIT:
        return advance(sim, b, rule.objective, False)
    start(sim, b, local, rule.objective)
    return True


@compiled
def _put(sim: SimTable, b: int, m: int, objective: int) -> None:
    """The next replica of the task that is being placed gets node `m`; with the last it starts."""
    local = sim.progress[b].placing
    place_replica(sim.state, sim.scratch, b, local, sim.progress[b].placed, m)
    sim.progress[b].placed += 1
    row = sim.state.status[b].first_row + local
    if sim.progress[b].placed == sim.state.tasks[row].replicas:
        sim.progress[b].placing = NO_TASK
        start(sim, b, local, objective)


@compiled
def _put_forced(sim: SimTable, b: int, rule: EpisodeRule) -> bool:
    """Place the replicas that have one node to go to; whether there is a choice now."""
    while sim.progress[b].placing != NO_TASK:
        m = only_node(sim.state, b, sim.progress[b].placing) if rule.skip_forced else NO_NODE
        if m == NO_NODE:
            return True
        _put(sim, b, m, rule.objective)
    return False


@inlined
def settle(sim: SimTable, b: int, rule: EpisodeRule, skip_forced: bool) -> None:
    """Go on until there is something to decide or the episode is over."""
    going = True
    while going and not is_over(sim, b):
        if rule.choose_nodes and _put_forced(sim, b, rule):
            return
        if start_promised(sim, b, rule.objective):
            continue
        count = sim.state.status[b].num_pending
        if count == 0:
            going = advance(sim, b, rule.objective, False)
        elif count == 1 and skip_forced and not rule.may_wait:
            going = _dispatch(sim, b, sim.state.pending[b, 0], rule)
        else:
            going = False


@inlined
def _observe(batch: BatchTable, work: EncoderWorkspace, b: int, rule: EpisodeRule) -> None:
    """Write the observation of environment `b`; waiting is offered while something can happen.

    Once the episode is over, nothing is offered.
    """
    sim = batch.sim
    if rule.choose_nodes and sim.progress[b].placing != NO_TASK:
        local, replica = sim.progress[b].placing, sim.progress[b].placed
        encode_candidates(sim.state, b, local, replica, batch.obs, work)
    else:
        may_wait = rule.may_wait and _is_worth_waiting(sim, b)
        encode(sim.state, b, may_wait, batch.obs, work)


@compiled
def reset_episode(
    batch: BatchTable, b: int, first_row: int, num_tasks: int, rule: EpisodeRule
) -> None:
    """Begin an episode and stop at its first decision, which is always asked."""
    begin_episode(batch, batch.work, b, first_row, num_tasks, rule)


@compiled
def begin_episode(
    batch: BatchTable,
    work: EncoderWorkspace,
    b: int,
    first_row: int,
    num_tasks: int,
    rule: EpisodeRule,
) -> None:
    """`reset_episode` with a work space in the place of the batch's own."""
    reset(batch.sim, b, first_row, num_tasks)
    settle(batch.sim, b, rule, False)
    _observe(batch, work, b, rule)


@inlined
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
    return _settled_reward(sim, b, rule)


@compiled
def step_node(sim: SimTable, b: int, m: int, rule: EpisodeRule) -> float:
    """Act on one decision: node `m` takes the next replica of the task that is being placed."""
    _put(sim, b, m, rule.objective)
    return _settled_reward(sim, b, rule)


@inlined
def _settled_reward(sim: SimTable, b: int, rule: EpisodeRule) -> float:
    """Go on to the next decision; minus the cost accrued since the last one."""
    settle(sim, b, rule, rule.skip_forced)
    reward = -(sim.progress[b].cost - sim.progress[b].reported) / sim.progress[b].num_tasks
    sim.progress[b].reported = sim.progress[b].cost
    return reward


@compiled
def first_masked(batch: BatchTable) -> int:
    """The first environment whose action its mask forbids, -1 if there is none."""
    for b in range(batch.actions.shape[0]):
        if not batch.paused[b] and not is_allowed(batch, b):
            return b
    return -1


@compiled
def is_allowed(batch: BatchTable, b: int) -> bool:
    """Whether the mask of environment `b` allows its action."""
    action = batch.actions[b]
    if action < 0 or action >= batch.obs.action_mask.shape[1]:
        return False
    return bool(batch.obs.action_mask[b, action])


@compiled
def step_range(batch: BatchTable, rule: EpisodeRule, first: int, last: int) -> None:
    """Step environments `first` to `last` (not included); their actions are allowed.

    Ranges that do not overlap may be stepped at the same time, each with its own work space.
    """
    for b in range(first, last):
        if not batch.paused[b]:
            step_one(batch, batch.work, b, rule)


@inlined
def step_one(batch: BatchTable, work: EncoderWorkspace, b: int, rule: EpisodeRule) -> None:
    """Step environment `b`, whose action is allowed, with a work space of its own."""
    action, slots = batch.actions[b], batch.obs.window.shape[1]
    if action > slots:
        batch.rewards[b] = step_node(batch.sim, b, action - slots - 1, rule)
    else:
        head = WAIT if action == slots else batch.obs.window[b, action]
        batch.rewards[b] = step_head(batch.sim, b, head, rule)
    batch.terminated[b] = is_over(batch.sim, b)
    _observe(batch, work, b, rule)


@compiled
def step_batch(batch: BatchTable, rule: EpisodeRule) -> int:
    """Step every environment.

    Returns:
        What `first_masked` does; where that is an environment, nothing has moved.
    """
    wrong = first_masked(batch)
    if wrong < 0:
        step_range(batch, rule, 0, batch.actions.shape[0])
    return wrong
