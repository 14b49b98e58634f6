"""Twelve steps of the whole system, worked by hand.

Two nodes, `a` with cards and `b` without; FCFS on the least loaded node with EASY backfilling. Ten
tasks, among them a gang, a share of a card, a critical one with its reservation, an exclusive one,
and estimates that are exact, too long (`g`) and too short (`h`).

Cores in use, one row a core; `.` is free, `#` is kept from others by `h`, which is exclusive:

    b 4 |  .  .  .  .  .  .  .  .  j  j  j  j  .
      3 |  .  c  c  c  c  .  e  e  e  .  .  .  .
      2 |  b  b  b  b  b  b  e  e  e  .  .  .  .
      1 |  b  b  b  b  b  b  e  e  e  .  .  .  .
    a 4 |  .  .  .  .  f  f  .  .  #  #  #  #  #
      3 |  .  c  c  c  c  g  .  i  #  #  #  #  #
      2 |  a  a  a  a  a  a  a  a  #  #  #  #  #
      1 |  a  a  a  a  a  a  a  a  h  h  h  h  h
        0  1  2  3  4  5  6  7  10 11 14 15 (columns end where something happens)
"""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.tasks import Task
from lepton_rl.policies.registry import heuristic
from lepton_rl.sim.replay import replay
from lepton_rl.system import Scheduler
from lepton_rl.workloads.workload import Workload

CLUSTER = Cluster(
    (
        Node("a", {"cpu": 4, "memory": 8, "gpu": 2, "fpga": 1}),
        Node("b", {"cpu": 4, "memory": 8}),
    )
)
SPEC = "fcfs+least-loaded+easy"


def task(
    name: str, submit_s: float, requested_s: float, run_s: float, demand: dict, **more: object
) -> Task:
    return Task(name, demand, requested_s, submit_s, run_s, **more)  # type: ignore[arg-type]


TASKS = [
    task("a", 0, 10, 10, {"cpu": 2}),
    task("b", 0, 6, 6, {"cpu": 2, "memory": 2}),
    task("c", 1, 4, 4, {"cpu": 1}, num_replicas=2),
    task("d", 2, 8, 8, {"gpu": 0.5}),
    task("e", 3, 5, 5, {"cpu": 3}, critical=True),
    task("f", 4, 2, 2, {"cpu": 1}),
    task("g", 4, 3, 1, {"cpu": 1}),
    task("h", 6, 3, 5, {"cpu": 1}, exclusive_node=True),
    task("i", 7, 3, 3, {"cpu": 1}),
    task("j", 7, 4, 5, {"cpu": 1, "memory": 6}),
]


@dataclass(frozen=True)
class Step:
    """How things stand when the policy has decided to wait."""

    now_s: float
    pending: str
    running: str  # by expected end
    loads: tuple[float, float]
    held: dict[str, str]


STEPS = [
    # a: both nodes are idle, the lower index wins. b: node b is less loaded.
    Step(0, "", "ba", (0.5, 0.5), {}),
    # The gang c: a tie, so a; now b is less loaded. It ends at 5.
    Step(1, "", "cba", (0.75, 0.75), {}),
    # d needs a card: node a. The share is a quarter of its cards, its cores stay dominant.
    Step(2, "", "cbad", (0.75, 0.75), {}),
    # e needs 3 cores, each node has 1. By the estimates c leaves 2 on each at 5, b leaves 4 on
    # node b at 6: that is held for e, which is critical.
    Step(3, "e", "cbad", (0.75, 0.75), {"b": "e"}),
    # f ends by 6, so it may overtake e, and even use node b; a tie, so a. g would end at 7:
    # node a is full, node b is held.
    Step(4, "eg", "cbfad", (1, 0.75), {"b": "e"}),
    # c has ended. g would still end later than e could start, but on node a it is not in e's way.
    Step(5, "e", "bfgad", (1, 0.5), {"b": "e"}),
    # b and f have ended, and g long before it said. e fits, so nothing is held; node b is empty.
    # h wants a node for itself and blocks: node a at 10, when a and d have ended.
    Step(6, "h", "ade", (0.5, 0.75), {}),
    # i will have ended at 10, so it may overtake h; a is less loaded. j would be in h's way on node
    # a, which is the one that the placement rule picks for it (a tie at 3/4), but not on node b.
    Step(7, "h", "adiej", (0.75, 1), {}),
    # a, d and i have ended. h takes all of node a.
    Step(10, "", "ejh", (1, 1), {}),
    # e has ended; 6 of 8 GiB are in use. j should have ended, too, but runs on.
    Step(11, "", "jh", (1, 0.75), {}),
    # h should end at 13, but will run on.
    Step(12, "", "h", (1, 0), {}),
    Step(15, "", "", (0, 0), {}),
]


@pytest.fixture
def system() -> Scheduler:
    scheduler = Scheduler(CLUSTER, heuristic(SPEC))
    scheduler.submit_all(TASKS)
    return scheduler


def snapshot(system: Scheduler) -> Step:
    loads = system.pool.loads()
    return Step(
        system.now_s,
        "".join(task.id for task in system.queue.pending),
        "".join(task.id for task in system.queue.running),
        (loads["a"], loads["b"]),
        system.reservations(),
    )


def test_each_of_the_twelve_steps(system: Scheduler) -> None:
    assert len(STEPS) == 12
    for expected in STEPS:
        assert system.step()
        assert snapshot(system) == expected
    assert not system.step()


def test_the_records_at_the_end(system: Scheduler) -> None:
    system.run()

    records = {
        each.task_id: ((each.start_us or 0) / 1e6, (each.end_us or 0) / 1e6, each.nodes)
        for each in system.records
    }
    assert records == {
        "a": (0, 10, (0,)),
        "b": (0, 6, (1,)),
        "c": (1, 5, (0, 1)),
        "d": (2, 10, (0,)),
        "e": (6, 11, (1,)),
        "f": (4, 6, (0,)),
        "g": (5, 6, (0,)),
        "h": (10, 15, (0,)),
        "i": (7, 10, (0,)),
        "j": (7, 12, (1,)),
    }


def test_utilisation_over_the_15_seconds(system: Scheduler) -> None:
    system.run()

    core_seconds = 2 * 10 + 2 * 6 + 2 * 4 + 3 * 5 + 2 + 1 + 4 * 5 + 3 + 5  # h holds all 4 cores
    gib_seconds = 2 * 6 + 8 * 5 + 6 * 5
    card_seconds = 0.5 * 8 + 2 * 5
    assert system.monitor.utilisation() == pytest.approx(
        {
            "cpu": core_seconds / (8 * 15),
            "memory": gib_seconds / (16 * 15),
            "gpu": card_seconds / (2 * 15),
            "fpga": 5 / 15,
        }
    )


def test_it_started_ten_times_and_waited_when_somebody_was_left(system: Scheduler) -> None:
    system.run()

    assert system.monitor.decisions == {"start": 10, "wait": 5, "refused": 0}


def test_the_simulator_finds_the_same(system: Scheduler) -> None:
    system.run()
    workload = Workload.from_tasks("twelve steps", CLUSTER, TASKS)

    simulated = replay(workload.tasks, workload.run_us, CLUSTER, heuristic(SPEC).rule)

    assert simulated.start_us.tolist() == system.schedule().start_us.tolist()
    assert simulated.nodes.tolist() == system.schedule().nodes.tolist()
