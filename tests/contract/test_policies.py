"""What every policy owes the scheduler, whatever it is made of.

A new kind of policy joins by adding a factory to `POLICIES`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

from lepton_rl.core.nodes import Cluster
from lepton_rl.core.policy import Decision, Policy, RemembersTasks, Start, Wait
from lepton_rl.core.tables import Ints, View
from lepton_rl.core.tasks import Task
from lepton_rl.policies.guard import GuardedPolicy, GuardSettings
from lepton_rl.policies.learned import load_policy
from lepton_rl.policies.registry import BASELINES, heuristic
from lepton_rl.policies.reloading import ReloadingPolicy
from lepton_rl.policies.rollout import CanaryPolicy, ShadowPolicy
from lepton_rl.system import Scheduler, scheduler
from lepton_rl.system.state import Tables
from tests.scenarios import random_cluster, random_tasks

HEURISTICS = (
    *BASELINES,
    *(f"{name}+easy" for name in BASELINES),
    *(f"{name}+fixed-shadow+blocking" for name in BASELINES),
    "fcfs+best-fit",
    "fcfs+least-loaded+easy",
    "sjf+fastest+easy",
)


def learned() -> Policy:
    from tests.trained import random_policy_file  # loads torch

    return load_policy(random_policy_file())


def guarded(spec: str, **settings: Any) -> Policy:
    return GuardedPolicy(heuristic(spec), heuristic("fcfs"), GuardSettings(**settings))


POLICIES: dict[str, Callable[[], Policy]] = {
    **{spec: partial(heuristic, spec) for spec in HEURISTICS},
    "learned": learned,
    "guarded": partial(guarded, "f4+fixed-shadow+blocking"),
    "guarded with a deadline": partial(guarded, "f4+easy", deadline_us=1e7),
    "canary": lambda: CanaryPolicy(heuristic("sjf"), guarded("f4"), 0.5),
    "shadow": lambda: ShadowPolicy(heuristic("sjf"), heuristic("ljf")),
    "reloading": lambda: ReloadingPolicy(heuristic("f4+easy")),
}
every_policy = pytest.mark.parametrize("make", POLICIES.values(), ids=POLICIES)


def work(seed: int) -> tuple[Cluster, list[Task]]:
    rng = np.random.default_rng(seed)
    cluster = random_cluster(rng)
    return cluster, random_tasks(rng, cluster, 40)


def leaves(value: Any) -> list[np.ndarray]:
    """The arrays of nested tuples."""
    if isinstance(value, tuple):
        return [leaf for item in value for leaf in leaves(item)]
    return [value]


class Watched:
    """Passes decisions on and checks that the view has not changed.

    Padding of records is compared too, which a policy has no business with either.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self.name = policy.name
        self.asked = 0

    def reset(self) -> None:
        self._policy.reset()

    def reindex(self, moved: Ints) -> None:
        if isinstance(self._policy, RemembersTasks):
            self._policy.reindex(moved)

    def decide(self, view: View) -> Decision:
        before = [leaf.tobytes() for leaf in leaves(view)]
        decision = self._policy.decide(view)
        assert [leaf.tobytes() for leaf in leaves(view)] == before
        self._check(decision, view)
        self.asked += 1
        return decision

    def _check(self, decision: Decision, view: View) -> None:
        assert isinstance(decision, Start | Wait)
        if isinstance(decision, Start):
            pending = view.pending[0, : view.status["num_pending"][0]]
            assert decision.task in pending
            assert len(decision.nodes) in (0, view.tasks["replicas"][decision.task])
            assert all(type(m) is int for m in (decision.task, *decision.nodes))


def schedule_of(policy: Policy, seed: int, batching: str = "instant") -> list:
    """Start and nodes of each task; the scheduler is strict, so all starts are feasible."""
    cluster, tasks = work(seed)
    system = Scheduler(cluster, policy, event_batching=batching)
    system.submit_all(tasks)
    system.run()
    return [(record.start_us, record.nodes) for record in system.records]


@every_policy
def test_it_is_a_policy_with_a_name(make: Callable[[], Policy]) -> None:
    assert isinstance(make(), Policy)
    assert make().name
    assert make().name == make().name


@every_policy
def test_it_waits_when_nothing_is_pending(make: Callable[[], Policy]) -> None:
    cluster, _ = work(0)

    assert make().decide(Scheduler(cluster, make()).assess()) == Wait()


@every_policy
@pytest.mark.parametrize("seed", [0, 1])
def test_it_decides_only_what_can_be_done_and_leaves_the_view_alone(
    make: Callable[[], Policy], seed: int
) -> None:
    policy = Watched(make())

    starts = schedule_of(policy, seed)

    assert all(start is not None for start, _ in starts)
    assert policy.asked >= len(starts)


@every_policy
def test_reset_makes_it_repeatable(make: Callable[[], Policy]) -> None:
    policy = make()
    first = schedule_of(policy, 0)
    cluster, tasks = work(1)
    interrupted = Scheduler(cluster, policy)
    interrupted.submit_all(tasks)
    for _ in range(20):
        interrupted.step()

    assert schedule_of(policy, 0) == first  # the scheduler resets it
    assert schedule_of(make(), 0) == first


@every_policy
def test_rows_that_move_do_not_confuse_it(
    make: Callable[[], Policy], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = schedule_of(make(), 2)
    monkeypatch.setattr(scheduler, "Tables", partial(Tables, capacity=2))

    assert schedule_of(make(), 2) == expected


@every_policy
def test_it_also_works_one_event_at_a_time(make: Callable[[], Policy]) -> None:
    assert all(start is not None for start, _ in schedule_of(make(), 3, "single"))
