"""Episodes: when the learner is asked, what its answer does, and when it is over."""

from __future__ import annotations

from typing import Any

import pytest

from lepton_rl.core.errors import InfeasibleDecisionError
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.tasks import Task
from lepton_rl.encoding.features import NODE_FEATURES, TASK_FEATURES
from lepton_rl.sim.batch import BatchSimulator
from lepton_rl.sim.episode import is_over
from lepton_rl.workloads.workload import Workload
from tests.episodes import MICRO, frozen, on_pool, simulator, starts_us

SLOTS = 8
WAIT = SLOTS


def begin(work: Workload, **rule: Any) -> BatchSimulator:
    sim = simulator(work, slots=SLOTS, **rule)
    sim.reset(0, 0)
    return sim


def now_s(sim: BatchSimulator) -> float:
    return float(sim.sim.state.status["now_us"][0]) / MICRO


def choices(sim: BatchSimulator) -> list[int]:
    """Local indices of the tasks to choose from; WAIT too where it is offered."""
    offered = sim.obs.window[0][sim.obs.action_mask[0, :-1]].tolist()
    return [*offered, *([WAIT] if sim.obs.action_mask[0, WAIT] else [])]


def choose(sim: BatchSimulator, local: int) -> bool:
    """Name the task that comes first, or WAIT; whether the episode is over then."""
    sim.step([WAIT if local == WAIT else sim.obs.window[0].tolist().index(local)])
    return bool(sim.terminated[0])


def started_s(sim: BatchSimulator) -> list[float]:
    return [start / MICRO for start in starts_us(sim.sim)]


ALONE = on_pool(4, (0, 1, 10), (100, 1, 10), (200, 1, 10))
"""Each task has ended before the next arrives."""


def test_lone_tasks_are_not_asked_about() -> None:
    sim = begin(ALONE)

    assert choices(sim) == [0], "but the first decision always is"
    assert choose(sim, 0)
    assert started_s(sim) == [0, 100, 200]


def test_unless_every_decision_is_wanted() -> None:
    sim = begin(ALONE, skip_forced=False)

    for local, time_s in enumerate((0, 100, 200)):
        assert (now_s(sim), choices(sim)) == (time_s, [local])
        assert choose(sim, local) == (local == 2)
    assert started_s(sim) == [0, 100, 200]


def test_a_lone_blocked_task_waits_unasked_until_there_is_company() -> None:
    """Task 1 is blocked at 1 s and alone until 3 s."""
    sim = begin(on_pool(4, (0, 4, 10), (1, 2, 10), (3, 2, 10)))

    assert not choose(sim, 0)
    assert (now_s(sim), choices(sim)) == (3, [1, 2])


def test_nobody_is_asked_while_nothing_is_pending() -> None:
    sim = begin(on_pool(4, (0, 1, 10), (0, 1, 10), (50, 1, 10), (50, 1, 10)))

    assert choices(sim) == [0, 1]
    assert not choose(sim, 1)
    assert (now_s(sim), choices(sim)) == (50, [2, 3]), "task 0 started unasked"


def test_a_first_task_that_is_blocked_makes_time_go_on() -> None:
    """At 0 s task 0 takes all; whoever is named, nothing can start before 10 s."""
    sim = begin(on_pool(4, (0, 4, 10), (1, 2, 10), (2, 2, 10), (5, 1, 10)))

    choose(sim, 0)
    assert (now_s(sim), choices(sim)) == (2, [1, 2])
    choose(sim, 2)
    assert (now_s(sim), choices(sim)) == (5, [1, 2, 3])
    choose(sim, 1)
    assert (now_s(sim), choices(sim)) == (10, [1, 2, 3])
    choose(sim, 2)
    assert (now_s(sim), choices(sim)) == (10, [1, 3]), "and then tasks start at one instant"


@pytest.mark.parametrize(
    ("backfill", "starts_s"), [(Backfill.NONE, [0, 10, 20]), (Backfill.EASY, [0, 10, 0])]
)
def test_backfilling_starts_another_in_its_place(backfill: Backfill, starts_s: list[float]) -> None:
    """Task 1 needs all and comes first; task 2 ends before task 0 does."""
    sim = begin(on_pool(4, (0, 3, 10), (0, 4, 10), (0, 1, 5)), backfill=backfill)
    while not choose(sim, choices(sim)[0]):
        pass

    assert started_s(sim) == starts_s


def test_it_is_over_once_every_task_has_started() -> None:
    sim = begin(on_pool(4, (0, 1, 10), (0, 1, 1000)))

    assert not is_over(sim.sim, 0)
    assert choose(sim, 0)
    assert is_over(sim.sim, 0)
    assert sim.sim.state.status["num_running"][0] == 2
    assert now_s(sim) == 0
    assert choices(sim) == []


def test_waiting_goes_on_to_the_next_event() -> None:
    sim = begin(on_pool(4, (0, 1, 10), (0, 1, 10), (3, 1, 10)), may_wait=True)

    choose(sim, 0)
    assert choices(sim) == [1, WAIT]
    assert not choose(sim, WAIT)
    assert (now_s(sim), choices(sim)) == (3, [1, 2, WAIT])


def test_waiting_is_offered_while_something_runs() -> None:
    """As to a policy in production, which does not know whether anything will arrive."""
    sim = begin(on_pool(4, (0, 1, 10), (0, 1, 10), (3, 1, 10)), may_wait=True)

    assert choices(sim) == [0, 1], "nothing runs, although an arrival lies ahead"
    choose(sim, 1)
    assert choices(sim) == [0, WAIT], "and it is asked although only one is pending"
    choose(sim, WAIT)
    choose(sim, WAIT)
    assert (now_s(sim), choices(sim)) == (10, [0, 2]), "all have arrived, nothing runs"
    choose(sim, 0)
    assert choose(sim, 2)
    assert choices(sim) == [], "what happens now is of no matter"
    assert started_s(sim) == [10, 0, 10]


def test_waiting_is_never_offered_otherwise() -> None:
    sim = begin(on_pool(4, (0, 2, 10), (0, 4, 10), (5, 1, 10)))
    seen = [WAIT in choices(sim)]
    while not choose(sim, choices(sim)[-1]):
        seen.append(WAIT in choices(sim))

    assert not any(seen)


MASKED = {"empty slot": 5, "wait": WAIT, "negative": -1, "beyond": WAIT + 1}


@pytest.mark.parametrize("action", MASKED.values(), ids=MASKED)
def test_a_masked_action_leaves_everything_unmoved(action: int) -> None:
    sim = begin(on_pool(4, (0, 2, 10), (0, 4, 10), (5, 1, 10)))
    choose(sim, 0)
    buffers = sim.sim, sim.obs, (sim.rewards, sim.terminated)
    before = frozen(buffers)

    with pytest.raises(InfeasibleDecisionError, match=r"environment 0: action -?\d+ is masked"):
        sim.step([action])

    assert frozen(buffers) == before


def test_nodes_are_reserved_before_the_learner_sees_them() -> None:
    """From 10 s on, when task 0 ends, all four processors are held for the critical task.

    Task 3 would outlive that, so there is no room for it; task 4 ends just in time.
    """
    tasks = [
        Task("0", {"cpu": 2}, 10.0, 0.0, 10.0),
        Task("1", {"cpu": 1}, 1.0, 0.0, 1.0),
        Task("critical", {"cpu": 4}, 5.0, 2.0, 5.0, critical=True),
        Task("3", {"cpu": 1}, 9.0, 2.0, 9.0),
        Task("4", {"cpu": 1}, 8.0, 2.0, 8.0),
    ]
    sim = begin(Workload.from_tasks("critical", Cluster.pool(4), tasks))
    choose(sim, 0)

    assert (now_s(sim), choices(sim)) == (2, [2, 3, 4])
    assert sim.obs.nodes[0, 0, NODE_FEATURES.index("held")] == 1
    assert sim.obs.tasks[0, :3, TASK_FEATURES.index("fits")].tolist() == [0, 0, 1]
    choose(sim, 4)
    assert (now_s(sim), choices(sim)) == (2, [2, 3])
    assert choose(sim, 3), "the critical task starts by itself at 10, and then task 3 is alone"
    assert started_s(sim) == [0, 0, 10, 15, 2]
