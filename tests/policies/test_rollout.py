"""Shadow mode, canary share, hot reload and rollback."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from lepton_rl.core.errors import ArtifactError, ConfigError, StateError
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.policy import Decision, Start
from lepton_rl.core.tasks import Task
from lepton_rl.policies.guard import GuardedPolicy
from lepton_rl.policies.learned import LearnedPolicy, load_policy
from lepton_rl.policies.registry import heuristic
from lepton_rl.policies.reloading import ReloadingPolicy
from lepton_rl.policies.rollout import CanaryPolicy, ShadowPolicy
from lepton_rl.policies.shares import is_drawn
from lepton_rl.system import Scheduler
from tests.policies.desks import Scripted, boom, desk_of, fine
from tests.trained import random_policy_file, write_policy


def test_a_share_of_instants_is_drawn_and_always_the_same_ones() -> None:
    instants = range(0, 10_000_000_000, 1_000_000)
    for share in (0.0, 0.05, 0.5, 1.0):
        drawn = [is_drawn(us, share) for us in instants]
        assert sum(drawn) / len(drawn) == pytest.approx(share, abs=0.01)
        assert drawn == [is_drawn(us, share) for us in instants]
    small = {us for us in instants if is_drawn(us, 0.05, seed=3)}
    assert small <= {us for us in instants if is_drawn(us, 0.2, seed=3)}
    assert small != {us for us in instants if is_drawn(us, 0.05, seed=4)}


@pytest.mark.parametrize("share", [-0.1, 1.1, "half", float("nan")])
def test_a_share_is_a_number_from_0_to_1(share: float) -> None:
    for make in (ShadowPolicy, CanaryPolicy):
        with pytest.raises(ConfigError, match="share must be a number from 0 to 1"):
            make(heuristic("fcfs"), heuristic("sjf"), share)


def test_a_shadow_is_only_compared() -> None:
    told: list[tuple[Decision, Decision]] = []
    candidate = Scripted(lambda view: Start(3, (0,)), "candidate")
    shadow = ShadowPolicy(
        Scripted(fine, "primary"), candidate, on_difference=lambda _, *both: told.append(both)
    )
    desk = desk_of(4)

    assert shadow.decide(desk.view) == Start(0, (0,))
    candidate.answer = fine
    assert shadow.decide(desk.view) == Start(0, (0,))
    candidate.answer = boom
    assert shadow.decide(desk.view) == Start(0, (0,))

    assert shadow.name == "primary"
    assert told == [(Start(0, (0,)), Start(3, (0,)))]
    assert shadow.counts() == {"shadow-differed": 1, "shadow-agreed": 1, "shadow-failed": 1}
    assert shadow.take_incidents() == ["shadow-failed"]


def test_a_shadow_changes_no_schedule() -> None:
    def ends(policy: object) -> list[int | None]:
        system = Scheduler(Cluster.pool(8), policy)  # type: ignore[arg-type]
        system.submit_all(jobs(40))
        system.run()
        return [record.end_us for record in system.records]

    shadow = ShadowPolicy(heuristic("sjf"), heuristic("ljf"))
    assert ends(shadow) == ends(heuristic("sjf"))
    assert shadow.counts()["shadow-differed"] > 0


def jobs(count: int) -> list[Task]:
    return [
        Task(f"t{i}", {"cpu": 1 + i % 5}, 10.0 + 7 * i % 23, float(i), run_time_s=9.0 + 5 * i % 19)
        for i in range(count)
    ]


def test_a_canary_decides_at_its_share() -> None:
    candidate, desk = Scripted(lambda view: Start(3, (0,)), "candidate"), desk_of(4)
    canary = CanaryPolicy(Scripted(fine, "primary"), candidate, 0.25)
    for second in range(2000):
        desk.at(float(second))
        expected = 3 if is_drawn(second * 1_000_000, 0.25) else 0
        assert canary.decide(desk.view) == Start(expected, (0,))

    counts = canary.counts()
    assert counts["canary-candidate"] + counts["canary-primary"] == 2000
    assert counts["canary-candidate"] == pytest.approx(500, abs=60)


def test_a_new_policy_takes_over_and_the_old_one_comes_back() -> None:
    first, second, desk = Scripted(fine, "first"), Scripted(fine, "second"), desk_of(4)
    holder = ReloadingPolicy(first)
    with pytest.raises(StateError, match="no earlier policy"):
        holder.rollback()

    holder.exchange(second)
    holder.decide(desk.view)
    assert (holder.name, first.asked, second.asked, second.resets) == ("second", 0, 1, 1)

    assert holder.rollback() is first
    holder.decide(desk.view)
    assert (holder.name, first.asked) == ("first", 1)
    assert holder.previous is second
    assert holder.counts() == {"policy-reloaded": 1, "policy-rolled-back": 1}


def test_a_bad_file_is_refused_and_the_old_policy_stays(tmp_path: Path) -> None:
    holder = ReloadingPolicy(load_policy(random_policy_file()))
    before = holder.current
    bad = tmp_path / "bad.onnx"
    bad.write_bytes(random_policy_file().read_bytes()[:-1])

    with pytest.raises(ArtifactError):
        holder.reload(bad)

    assert holder.current is before
    assert holder.take_incidents() == ["policy-refused"]
    new = holder.reload(write_policy(tmp_path / "new.onnx", name="new"))
    assert isinstance(new, LearnedPolicy)
    assert holder.name == "new"
    assert holder.previous is before


def test_no_decision_is_dropped_while_policies_are_exchanged() -> None:
    """A live scheduler completes all tasks while another thread reloads as fast as it can."""
    path, over = random_policy_file(), threading.Event()
    holder = ReloadingPolicy(load_policy(path))
    guard = GuardedPolicy(holder, heuristic("fcfs"))

    def reload() -> None:
        while not over.is_set():
            holder.reload(path)
            holder.rollback()

    system = Scheduler(Cluster.pool(16), guard)
    system.start()
    thread = threading.Thread(target=reload)
    thread.start()
    system.submit_all(
        [Task(f"t{i}", {"cpu": 1 + i % 3}, 1.0, run_time_s=0.001) for i in range(300)]
    )
    assert system.join(60)
    over.set()
    thread.join()
    assert system.stop(timeout_s=60)

    assert system.monitor.outcomes == {"completed": 300}
    counts = guard.counts()
    assert counts["policy-reloaded"] > 0
    assert not {name for name in counts if name.startswith("fallback") and "benched" not in name}


def test_parts_are_told_of_moves() -> None:
    class Remembers(Scripted):
        moved: object = None

        def reindex(self, moved: object) -> None:
            self.moved = moved

    parts = [Remembers(fine), Remembers(fine)]
    ShadowPolicy(*parts).reindex("moved")  # type: ignore[arg-type]

    assert [part.moved for part in parts] == ["moved", "moved"]
