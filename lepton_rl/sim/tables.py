"""State of a batch of simulations: what the rules see, plus what only the simulator knows."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np

from lepton_rl.core.by_reference import by_reference
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.rules.conservative import plan_segments
from lepton_rl.core.rules.placement import Place
from lepton_rl.core.rules.scratch import Scratch, empty_scratch
from lepton_rl.core.tables import NO_TASK, Floats, Ints, NodeTable, Records, View, empty_view
from lepton_rl.core.typical import typical_tasks
from lepton_rl.sim.world import World, empty_world, is_eventful

__all__ = ["SimTable", "SurroundingRule", "empty_sim"]

_PROGRESS_DTYPE = np.dtype(
    [
        ("num_tasks", np.int64),  # tasks of the episode
        ("next_arrival", np.int64),  # local index of the next task to arrive
        ("num_ended", np.int64),  # tasks in a final state
        ("next_node_event", np.int64),
        ("num_ends", np.int64),  # entries of the heap
        ("num_resting", np.int64),  # tasks stopped at this very instant
        ("placing", np.int64),  # local index of the task whose nodes are being chosen, or NO_TASK
        ("placed", np.int64),  # its replicas that have a node
        ("cost", np.float64),  # objective accrued so far, summed over tasks
        ("reported", np.float64),  # the part of it that rewards have told so far
        ("num_preempted", np.int64),  # runs stopped for other work
    ],
    align=True,
)


_LIFE_DTYPE = np.dtype(
    [
        ("unmet", np.int64),  # tasks it depends on that have not completed
        ("attempts", np.int64),  # runs so far
        ("failures", np.int64),
        ("arrived", np.bool_),
        ("ended", np.bool_),  # it is in a final state
        ("fails", np.bool_),  # its present run ends with a failure
    ],
    align=True,
)


@by_reference
class SimTable(NamedTuple):
    """A batch of `B` simulations of up to `N` tasks each over one shared task table."""

    state: View  # what the rules and policies see
    scratch: Scratch
    run_us: Ints  # (rows,) true run times, beside the task table
    world: World  # what else happens
    lives: Records  # (B, N) of each task, by local index; (B, 0) where the world is uneventful
    progress: Records  # (B,) see _PROGRESS_DTYPE
    end_us: Ints  # (B, N) true end of each started task, by local index
    ends: Ints  # (B, N) binary heap of running tasks by (end_us, local index)
    first_start_us: Ints  # (B, N) start of its first run, -1 before
    listed: Ints  # (B, N) work space: tasks that enter the queue together, or are to be cancelled
    resting: Ints  # (B, N) tasks stopped at this very instant; the first num_resting count
    long_waits: Floats  # (2,) what waiting costs beside the objective: weight of an hour, power
    weights: Floats  # (4,) of each single objective in a weighted sum; not read otherwise


class SurroundingRule(Protocol):
    """What `DispatchRule` and `EpisodeRule` have in common."""

    @property
    def place(self) -> int:
        """A `Place`."""
        ...

    @property
    def backfill(self) -> int:
        """A `Backfill`."""
        ...


def empty_sim(
    tasks: Records,
    run_us: Ints,
    nodes: NodeTable,
    batch: int,
    episode_tasks: int,
    rule: SurroundingRule,
    typical: Records | None = None,
    world: World | None = None,
    long_waits: tuple[float, float] = (0.0, 1.0),
    weights: tuple[float, ...] = (0.0, 0.0, 0.0, 0.0),
) -> SimTable:
    """Buffers for `batch` episodes of at most `episode_tasks` tasks; `reset` starts an episode.

    Args:
        tasks: shared task table.
        run_us: `(rows,)` true run times.
        nodes: node table.
        batch: environments.
        episode_tasks: tasks of an episode.
        rule: whose placement and backfilling tell what work space is needed.
        typical: what tasks usually ask for; None for what these do, where the rule needs it.
        world: what happens beside arrivals and ends; None for nothing.
        long_waits: weight and power of what waiting costs beside the objective.
        weights: of each single objective, in the order of `objective.SINGLE`; read only where the
            objective is their weighted sum.
    """
    world = empty_world(len(run_us)) if world is None else world
    largest_gang = int(tasks["replicas"].max(initial=1))
    num_tenants = int(tasks["tenant"].max(initial=0)) + 1
    has_plan = rule.backfill == Backfill.CONSERVATIVE
    segments = plan_segments(episode_tasks) if has_plan else 0
    if typical is None and rule.place == Place.FGD:
        typical = typical_tasks(tasks, nodes)
    state = empty_view(tasks, nodes, batch, episode_tasks, largest_gang, num_tenants, typical)
    progress = np.zeros(batch, _PROGRESS_DTYPE)
    progress["placing"] = NO_TASK
    return SimTable(
        state=state,
        scratch=empty_scratch(nodes, batch, largest_gang, segments),
        run_us=run_us,
        world=world,
        lives=np.zeros((batch, episode_tasks if is_eventful(world) else 0), _LIFE_DTYPE),
        progress=progress,
        end_us=np.zeros((batch, episode_tasks), np.int64),
        ends=np.zeros((batch, episode_tasks), np.int64),
        first_start_us=np.zeros((batch, episode_tasks), np.int64),
        listed=np.zeros((batch, episode_tasks), np.int64),
        resting=np.zeros((batch, episode_tasks), np.int64),
        long_waits=np.array(long_waits, np.float64),
        weights=np.array(weights, np.float64),
    )
