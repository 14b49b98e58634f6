"""Replays under a heuristic, against a scheduler of a dozen lines of plain Python."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lepton_rl.core.errors import StateError
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.rules.dispatch import WAIT, DispatchRule
from lepton_rl.core.rules.placement import Place
from lepton_rl.core.tables import View
from lepton_rl.core.tasks import Task
from lepton_rl.policies.registry import heuristic
from lepton_rl.sim.batch import episode_rule
from lepton_rl.sim.replay import replay, replay_heads
from lepton_rl.workloads.workload import Workload
from tests.episodes import MICRO, on_pool
from tests.scenarios import FIXED_NODES

Row = tuple[float, ...]  # submit_s, size, run_s, requested_s

# What comes first, given the row of a task; ties go to the earlier one.
ORDERS: dict[str, Callable[[Row], float]] = {
    "fcfs": lambda row: row[0],
    "sjf": lambda row: row[3],
    "ljf": lambda row: -row[3],
    "saf": lambda row: row[3] * row[1],
}


def starts_by_hand(rows: list[Row], processors: int, first: Callable[[Row], float]) -> list[float]:
    """Start in order until the first does not fit; look again at the next arrival or end."""
    starts: dict[int, float] = {}
    ends: dict[int, float] = {}
    times = sorted({row[0] for row in rows})
    while times:
        now = times.pop(0)
        queue = [i for i, row in enumerate(rows) if row[0] <= now and i not in starts]
        for i in sorted(queue, key=lambda i: (first(rows[i]), rows[i][0], i)):
            in_use = sum(rows[j][1] for j, end in ends.items() if end > now)
            if rows[i][1] > processors - in_use:
                break
            starts[i], ends[i] = now, now + rows[i][2]
            times = sorted({*times, ends[i]})
    return [starts[i] for i in range(len(rows))]


seconds = st.integers(1, 12)
rows_drawn = st.lists(
    st.tuples(st.integers(0, 20), st.integers(1, 4), seconds, seconds), min_size=1, max_size=14
).map(sorted)


@settings(deadline=None)
@given(rows_drawn, st.sampled_from(list(ORDERS)))
def test_starts_are_those_of_a_plain_scheduler(rows: list[Row], order: str) -> None:
    work = on_pool(4, *rows)
    schedule = replay(work.tasks, work.run_us, work.cluster, heuristic(order).rule)

    assert (schedule.start_us / MICRO).tolist() == starts_by_hand(rows, 4, ORDERS[order])
    assert np.array_equal(schedule.end_us, schedule.start_us + work.run_us)
    assert np.array_equal(schedule.submit_us, work.tasks["submit_us"])


def test_the_schedule_names_the_node_of_each_replica() -> None:
    """4 cores go twice into the big node, once into the plain and once into the small one."""
    tasks = [
        Task("pair", {"cpu": 4}, 10.0, 0.0, 8.0, num_replicas=2),
        Task("trio", {"cpu": 4}, 10.0, 1.0, 8.0, num_replicas=3),
        Task("one", {"gpu": 1}, 10.0, 2.0, 8.0),
    ]
    work = Workload.from_tasks("gangs", Cluster(FIXED_NODES), tasks)
    schedule = replay(work.tasks, work.run_us, work.cluster, heuristic("fcfs").rule)

    assert schedule.nodes.tolist() == [[0, 0, -1], [0, 0, 1], [0, -1, -1]]
    assert (schedule.start_us / MICRO).tolist() == [0, 8, 8]


def oldest(view: View) -> int:
    return int(view.pending[0, 0])


@pytest.mark.parametrize("backfill", [Backfill.NONE, Backfill.EASY])
def test_a_task_that_can_never_start_is_an_error(backfill: Backfill) -> None:
    """The second task asks for more than there is; it is smuggled past the intake."""
    work = on_pool(4, (0, 1, 10), (1, 4, 10), (2, 1, 10))
    work.tasks["demand"][1] = 5000

    with pytest.raises(StateError, match="can never start"):
        replay(work.tasks, work.run_us, work.cluster, DispatchRule(backfill=int(backfill)))
    heads = episode_rule(Place.FIRST_FIT, backfill)
    with pytest.raises(StateError, match="can never start"):
        replay_heads(work.tasks, work.run_us, work.cluster, oldest, heads)


def test_heads_by_arrival_are_fcfs() -> None:
    work = on_pool(4, *[(i, 1 + i * 7 % 4, 5 + i % 3) for i in range(12)])
    by_heads = replay_heads(work.tasks, work.run_us, work.cluster, oldest, episode_rule())
    by_rule = replay(work.tasks, work.run_us, work.cluster, heuristic("fcfs").rule)

    assert by_heads.start_us.tolist() == by_rule.start_us.tolist()


def test_a_head_may_be_to_wait() -> None:
    """It lets the first event pass, so task 0 starts when task 1 arrives."""
    work = on_pool(4, (0, 1, 10), (3, 1, 10))
    answers = iter([WAIT, 0, 1])
    rule = episode_rule(may_wait=True)
    schedule = replay_heads(work.tasks, work.run_us, work.cluster, lambda view: next(answers), rule)

    assert (schedule.start_us / MICRO).tolist() == [3, 3]
