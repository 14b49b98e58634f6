"""GuardedPolicy: whatever the policy does, a feasible decision comes out, and the cause counts."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable
from itertools import count

import numpy as np
import pytest

from lepton_rl.core.errors import ConfigError, InfeasibleDecisionError, NotFiniteError
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.policy import CountsEvents, Decision, Policy, Preempt, Start, Wait
from lepton_rl.core.settings import load_settings
from lepton_rl.core.tables import View
from lepton_rl.core.tasks import Task
from lepton_rl.encoding.limits import is_within_limits
from lepton_rl.encoding.observation import empty_observation
from lepton_rl.policies.guard import Cause, GuardedPolicy, GuardSettings
from lepton_rl.policies.registry import heuristic
from lepton_rl.system import Scheduler
from tests.policies.desks import FALLBACK, Scripted, boom, desk_of, fine


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


EASYGOING = {"budget_us": 60e6}
"""No test takes that long, so no answer is late."""


def guard_of(
    policy: Policy, clock: Callable[[], float] | None = None, **settings: float
) -> GuardedPolicy:
    known = GuardSettings(**{**EASYGOING, **settings})
    return GuardedPolicy(policy, FALLBACK, known, clock or Clock())


def test_a_good_decision_passes() -> None:
    guard = guard_of(Scripted(lambda view: Start(2, (0,))))

    assert guard.decide(desk_of(4).view) == Start(2, (0,))
    assert guard.counts() == {"policy-decided": 1}
    assert guard.take_incidents() == []
    assert guard.name == "scripted"
    assert isinstance(guard, CountsEvents)


def not_finite(view: View) -> Decision:
    raise NotFiniteError("nan")


def infeasible(view: View) -> Decision:
    raise InfeasibleDecisionError("no")


BAD = [
    (boom, Cause.EXCEPTION),
    (infeasible, Cause.EXCEPTION),
    (not_finite, Cause.NOT_FINITE),
    (lambda view: None, Cause.INFEASIBLE),
    (lambda view: "start", Cause.INFEASIBLE),
    (lambda view: Start(77, (0,)), Cause.INFEASIBLE),
    (lambda view: Start(-1, (0,)), Cause.INFEASIBLE),
    (lambda view: Start(True, (0,)), Cause.INFEASIBLE),
    (lambda view: Start("t0", (0,)), Cause.INFEASIBLE),  # type: ignore[arg-type]
    (lambda view: Start(1, (1,)), Cause.INFEASIBLE),
    (lambda view: Start(1, (-1,)), Cause.INFEASIBLE),
    (lambda view: Start(1, (0, 0)), Cause.INFEASIBLE),
    (lambda view: Start(1, (0.5,)), Cause.INFEASIBLE),  # type: ignore[arg-type]
    (lambda view: Preempt(1), Cause.INFEASIBLE),
    (lambda view: Wait(), Cause.IDLE),
]


@pytest.mark.parametrize(("answer", "cause"), BAD)
def test_a_bad_one_is_replaced_and_counted(answer: object, cause: Cause) -> None:
    guard, desk = guard_of(Scripted(answer)), desk_of(4)  # type: ignore[arg-type]
    before = desk.snapshot()

    assert guard.decide(desk.view) == Start(0, (0,))

    assert guard.counts() == {f"fallback-{cause}": 1}
    assert guard.take_incidents() == [f"fallback-{cause}"]
    assert guard.take_incidents() == []
    assert desk.snapshot() == before


def test_a_start_without_room_is_infeasible() -> None:
    desk = desk_of(8, running=2)  # 3 of 4 processors in use

    assert guard_of(Scripted(lambda view: Start(7, (0,)))).decide(desk.view) == Wait()
    assert guard_of(Scripted(lambda view: Start(4, (0,)))).decide(desk.view) == Start(4, (0,))
    assert guard_of(Scripted(lambda view: Start(4))).decide(desk.view) == Start(4)
    assert guard_of(Scripted(lambda view: Preempt(0))).decide(desk.view) == Wait()


def test_waiting_is_fine_while_something_runs_or_nothing_is_pending() -> None:
    for desk in (desk_of(4, running=1), desk_of(1, running=1)):
        guard = guard_of(Scripted(lambda view: Wait()))
        assert guard.decide(desk.view) == Wait()
        assert guard.counts() == {"policy-decided": 1}


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 4.5])
@pytest.mark.parametrize("field", ["tasks", "nodes", "cluster"])
def test_inputs_out_of_range(field: str, value: float) -> None:
    obs = empty_observation(1, 4, 3)
    policy = Scripted(fine)
    policy.observed = obs  # type: ignore[attr-defined]
    guard = guard_of(policy)
    assert is_within_limits(obs)
    guard.decide(desk_of(4).view)
    getattr(obs, field)[0, -1] = value

    guard.decide(desk_of(4).view)

    assert guard.counts() == {"policy-decided": 1, "fallback-out-of-range": 1}


def test_too_many_failures_bench_it_for_longer_each_time() -> None:
    clock, policy, desk = Clock(), Scripted(boom), desk_of(4)
    guard = guard_of(policy, clock, patience=3, bench_s=10, longest_bench_s=25)
    for _ in range(5):
        guard.decide(desk.view)
    assert policy.asked == 3
    assert guard.counts() == {
        "fallback-exception": 3,
        "fallback-benched": 2,
        "policy-benched": 1,
    }
    for bench_s in (10, 20, 25, 25):
        clock.now_s += bench_s - 0.001
        guard.decide(desk.view)
        before = policy.asked
        clock.now_s += 0.002
        guard.decide(desk.view)
        assert policy.asked == before + 1


def test_trust_comes_back_with_good_answers() -> None:
    clock, policy, desk = Clock(), Scripted(boom), desk_of(4)
    guard = guard_of(policy, clock, patience=2, bench_s=10)
    guard.decide(desk.view)
    guard.decide(desk.view)
    policy.answer = fine
    clock.now_s += 11
    for _ in range(2):
        guard.decide(desk.view)
    policy.answer = boom

    guard.decide(desk.view)
    clock.now_s += 0.001
    guard.decide(desk.view)

    assert guard.counts()["policy-benched"] == 2
    assert "fallback-benched" not in guard.counts()


def test_a_single_failure_now_and_then_is_no_reason() -> None:
    policy, desk = Scripted(fine), desk_of(4)
    guard = guard_of(policy, patience=2)
    for number in range(20):
        policy.answer = boom if number % 2 else fine
        guard.decide(desk.view)

    assert guard.counts() == {"policy-decided": 10, "fallback-exception": 10}


def test_a_late_answer_is_used_and_counts() -> None:
    guard, desk = guard_of(Scripted(fine), budget_us=0.001, patience=3), desk_of(4)
    for _ in range(4):
        assert guard.decide(desk.view) == Start(0, (0,))

    assert guard.counts() == {
        "policy-decided": 3,
        "policy-late": 3,
        "policy-benched": 1,
        "fallback-benched": 1,
    }


def test_forgiving_ends_the_bench() -> None:
    policy, desk = Scripted(boom), desk_of(4)
    guard = guard_of(policy, patience=1)
    guard.decide(desk.view)
    policy.answer = fine
    guard.decide(desk.view)
    assert policy.asked == 1

    guard.forgive()
    guard.decide(desk.view)

    assert policy.asked == 2


def test_a_stalled_policy_does_not_stall_the_service() -> None:
    hold, desk = threading.Event(), desk_of(4)

    def stall(view: View) -> Decision:
        hold.wait(30)
        return fine(view)

    policy = Scripted(stall)
    guard = guard_of(policy, deadline_us=20_000, patience=100)
    began = time.monotonic()
    assert guard.decide(desk.view) == Start(0, (0,))
    assert guard.decide(desk.view) == Start(0, (0,))
    assert time.monotonic() - began < 10
    assert guard.counts() == {"fallback-stalled": 2}
    guard.reset()
    assert policy.resets == 0, "nobody touches a policy that is stuck"

    hold.set()
    give_up = time.monotonic() + 20
    while "policy-decided" not in guard.counts():
        assert time.monotonic() < give_up
        guard.decide(desk.view)
        time.sleep(0.005)
    assert policy.resets == 1


def test_forgiving_one_that_is_stuck_asks_in_another_thread() -> None:
    hold, desk = threading.Event(), desk_of(4)
    policy = Scripted(lambda view: hold.wait(30))
    guard = guard_of(policy, deadline_us=5_000_000)
    object.__setattr__(guard, "_deadline_s", 0.02)
    guard.decide(desk.view)
    policy.answer = fine
    object.__setattr__(guard, "_deadline_s", 5.0)

    guard.forgive()
    guard.decide(desk.view)

    assert guard.counts() == {"fallback-stalled": 1, "policy-decided": 1}
    hold.set()


def test_in_a_thread_it_sees_the_same_and_its_errors_arrive() -> None:
    desk, seen = desk_of(6, running=1), []

    def look(view: View) -> Decision:
        seen.append(view)
        return heuristic("sjf").decide(view)

    policy = Scripted(look)
    guard = guard_of(policy, deadline_us=5e6)
    for _ in range(2):
        assert guard.decide(desk.view) == heuristic("sjf").decide(desk.view)
    assert seen[0] is seen[1], "one copy, written again"
    assert seen[0] is not desk.view
    for ours, theirs in zip(seen[0].pool, desk.view.pool, strict=True):
        assert ours is not theirs
        np.testing.assert_array_equal(ours, theirs)

    policy.answer = boom
    guard.decide(desk.view)
    assert guard.counts() == {"policy-decided": 2, "fallback-exception": 1}


@pytest.mark.parametrize(
    "wrong", [{"budget_us": 0}, {"patience": 0}, {"bench_s": -1}, {"deadline_us": 0}]
)
def test_settings(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        load_settings(GuardSettings, wrong, "guard")


def test_a_scheduler_goes_on_and_says_so() -> None:
    """All tasks end although the policy is at its worst, also in strict mode."""
    rng = np.random.default_rng(0)
    answers = [answer for answer, _ in BAD] + [fine]

    def anything(view: View) -> object:
        return answers[rng.integers(len(answers))](view)  # type: ignore[operator]

    ticks = count()
    guard = guard_of(
        Scripted(anything), lambda: next(ticks), patience=3, bench_s=1, longest_bench_s=2
    )
    system = Scheduler(Cluster.pool(4), guard)
    system.submit_all([Task(f"t{i}", {"cpu": 1 + i % 3}, 10.0, run_time_s=5.0) for i in range(400)])
    system.run()

    assert system.monitor.outcomes == {"completed": 400}
    found = {cause for cause in Cause if system.monitor.incidents[f"fallback-{cause}"]}
    assert found >= {Cause.EXCEPTION, Cause.NOT_FINITE, Cause.INFEASIBLE, Cause.IDLE}
    for name, times in guard.counts().items():
        if name != "policy-decided":
            assert system.monitor.incidents[name] == times


def test_its_thread_ends_with_the_guard() -> None:
    def threads() -> int:
        return sum(thread.name == "guarded-policy" for thread in threading.enumerate())

    before = threads()
    guard = guard_of(Scripted(fine), deadline_us=5e6)
    guard.decide(desk_of(4).view)
    assert threads() == before + 1
    del guard
    gc.collect()
    give_up = time.monotonic() + 20
    while threads() > before:
        assert time.monotonic() < give_up
        time.sleep(0.005)
