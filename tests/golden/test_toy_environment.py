"""Six tasks on four processors, worked by hand, whose best schedule no heuristic finds.

    task  arrives  processors  runs
    A        0 s       2       10 s
    B        0 s       2       40 s
    C        0 s       3       40 s
    D       10 s       1       40 s
    E       10 s       3       10 s
    F       20 s       3       10 s

The best schedule keeps two processors idle at first, although B would fit there:

    4 |  .   E   F   .   .   .   .   .   .   .   .
    3 |  .   E   F   B   B   B   B   C   C   C   C
    2 |  A   E   F   B   B   B   B   C   C   C   C
    1 |  A   D   D   D   D   .   .   C   C   C   C
      0  10  20  30  40  50  60  70  80  90 100 110 s

Bounded slowdowns: A, D, E and F do not wait, 1 each; B waits 30 s, (30 + 40) / 40 = 1.75; C waits
70 s, (70 + 40) / 40 = 2.75. Together 8.5, a mean of 8.5 / 6. Shortest first would start B at once,
which keeps E waiting until 40 s, and costs 14.75.
"""

from __future__ import annotations

import numpy as np
import pytest

from lepton_rl.envs.config import EnvironmentConfig
from lepton_rl.envs.episodes import Episodes
from lepton_rl.envs.single import SchedulingEnv
from lepton_rl.policies.registry import heuristic
from lepton_rl.sim.objective import Objective
from lepton_rl.sim.replay import replay
from lepton_rl.workloads.splits import Split
from tests.episodes import MICRO, costs_of_starts, on_pool, starts_us

NAMES = "ABCDEF"
WORK = on_pool(4, (0, 2, 10), (0, 2, 40), (0, 3, 40), (10, 1, 40), (10, 3, 10), (20, 3, 10))
BEST = 8.5


def toy() -> SchedulingEnv:
    config = EnvironmentConfig(episode_tasks=6, slots=6, strict=True)
    return SchedulingEnv(config, episodes=Episodes(WORK, Split("all", 0, 5), 6))


def now_s(env: SchedulingEnv) -> float:
    return float(env.simulator.sim.state.status["now_us"][0]) / MICRO


def pending(env: SchedulingEnv) -> str:
    """Names of the tasks to choose from."""
    return "".join(NAMES[local] for local in env.simulator.obs.window[0] if local >= 0)


def name_first(env: SchedulingEnv, name: str) -> tuple[float, bool]:
    """Name the task that comes first; what that cost, summed over the tasks, and the end."""
    _, reward, terminated, truncated, _ = env.step(np.int64(pending(env).index(name)))
    assert not truncated
    return -6 * reward, terminated


# Time, who is pending, who is named, and what is added to the slowdowns until the next decision.
STEPS = [
    # A, B and C arrive: 1 each. A starts.
    (0, "ABC", "A", 3.0),
    # C is blocked, which keeps B out: time goes on. B and C wait 10 of 40 s, D and E arrive.
    (0, "BC", "C", 0.25 + 0.25 + 2),
    # A has ended. D and E fill the machine.
    (10, "BCDE", "D", 0.0),
    (10, "BCE", "E", 0.0),
    # Nobody fits: time goes on. B and C wait 10 s more, E ends, F arrives.
    (10, "BC", "B", 0.25 + 0.25 + 1),
    (20, "BCF", "F", 0.0),
    # Nobody fits again until F ends.
    (20, "BC", "B", 0.25 + 0.25),
    # B starts. C, alone, is not asked about: it waits from 30 to 70 s, when B ends, and starts.
    (30, "BC", "B", 1.0),
]


def test_the_best_schedule_step_by_step() -> None:
    env = toy()
    env.reset(options={"first_row": 0})
    for index, (time_s, choices, name, expected) in enumerate(STEPS):
        assert (now_s(env), pending(env)) == (time_s, choices)
        cost, over = name_first(env, name)
        assert cost == pytest.approx(expected), f"step {index}"
        assert over == (index == len(STEPS) - 1)

    assert [start / MICRO for start in starts_us(env.simulator.sim)] == [0, 30, 70, 10, 10, 20]
    assert sum(cost for *_, cost in STEPS) == BEST
    assert env.simulator.mean_cost(0) == pytest.approx(BEST / 6)


State = tuple[object, ...]


def go_to(env: SchedulingEnv, named: str) -> None:
    """Begin anew and name these, because an environment cannot be copied."""
    env.reset(options={"first_row": 0})
    for name in named:
        name_first(env, name)


def state_of(env: SchedulingEnv) -> State:
    """All that what can still be added depends on: the clock, who is pending, and who runs."""
    view = env.simulator.sim.state
    running = view.running[0, : view.status["num_running"][0]].tolist()
    ends = [int(env.simulator.sim.end_us[0, local]) for local in running]
    return now_s(env), pending(env), *zip(running, ends, strict=True)


def least_to_add(env: SchedulingEnv, named: str, known: dict[State, float]) -> float:
    """The least that can be added after naming `named`, over everything one could name."""
    go_to(env, named)
    state, best = state_of(env), float("inf")
    if state in known:
        return known[state]
    for name in pending(env):
        go_to(env, named)
        cost, over = name_first(env, name)
        best = min(best, cost + (0 if over else least_to_add(env, named + name, known)))
    known[state] = best
    return best


def test_nothing_that_an_agent_could_do_is_better() -> None:
    known: dict[State, float] = {}

    assert least_to_add(toy(), "", known) == pytest.approx(BEST)
    assert len(known) > 30, "there was something to choose from"


@pytest.mark.parametrize(
    ("spec", "total"), [("fcfs", 21.75), ("sjf", 14.75), ("saf", 14.5), ("ljf", 31.75)]
)
def test_heuristics_do_worse(spec: str, total: float) -> None:
    schedule = replay(WORK.tasks, WORK.run_us, WORK.cluster, heuristic(spec).rule)
    costs = costs_of_starts(WORK, schedule.start_us.tolist(), Objective.BOUNDED_SLOWDOWN)

    assert sum(costs) == pytest.approx(total)
