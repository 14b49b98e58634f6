"""What a round does to the queue, in both modes, without a Slurm."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from lepton_rl.core.errors import ConfigError, ExecutorError, JournalError, StateError
from lepton_rl.core.policy import Decision, Start, Wait
from lepton_rl.core.tables import View
from lepton_rl.integrations.slurm import Attachment, SlurmSettings
from lepton_rl.integrations.slurm.gres import Gres
from lepton_rl.integrations.slurm.records import Share
from lepton_rl.policies.registry import heuristic
from tests.integrations.slurm.builders import FakeSlurm, held, job, node, running

FULL = running(99, Share("cpu1", 16, 100), Share("gpu1", 8, 100), Share("gpu2", 8, 100))


_OPEN: list[Attachment] = []


@pytest.fixture(autouse=True)
def _close() -> Iterator[None]:
    yield
    while _OPEN:
        _OPEN.pop().close()


def ordering(
    slurm: FakeSlurm, policy: str = "sjf", state: Path | None = None, **settings: object
) -> Attachment:
    _OPEN.append(Attachment(heuristic(policy), SlurmSettings(**settings), slurm, state))
    return _OPEN[-1]


def placing(slurm: FakeSlurm, state: Path | None = None, **settings: object) -> Attachment:
    return ordering(slurm, "fcfs", state, mode="placement", **settings)


def order_of(slurm: FakeSlurm) -> list[str]:
    """Names of the pending jobs, the one with the highest priority first."""
    waiting = [each for each in slurm.jobs.values() if each.is_pending]
    return [each.name for each in sorted(waiting, key=lambda each: -each.priority)]


# Priority mode


def test_jobs_get_the_order_of_the_policy() -> None:
    slurm = FakeSlurm.of(FULL, job(1, limit_s=900), job(2, limit_s=60), job(3, limit_s=300))

    ordering(slurm).round()

    assert order_of(slurm) == ["2", "3", "1"]


def test_a_settled_order_is_left_alone_and_a_new_job_costs_one_command() -> None:
    slurm = FakeSlurm.of(FULL, *(job(n, limit_s=60 * n) for n in range(1, 9)))
    attachment = ordering(slurm)
    attachment.round()
    assert attachment.round().lines == []

    slurm.jobs["10"] = job(10, limit_s=200)

    assert len(attachment.round().lines) == 1
    assert order_of(slurm) == ["1", "2", "3", "10", "4", "5", "6", "7", "8"]


@pytest.mark.parametrize(
    "fields",
    [
        {"priority": 0, "reason": "JobHeldUser"},
        {"priority": 0, "reason": "JobHeldAdmin"},
        {"reason": "Dependency", "dependency": "afterok:1(unfulfilled)"},
        {"reason": "BeginTime", "eligible_s": 2e9},
        {"reason": "QOSMaxJobsPerUserLimit"},
        {"reason": "AssocGrpCpuLimit"},
        {"reason": "PartitionDown"},
        {"reason": "Reservation"},
        {"state": "COMPLETED"},
    ],
)
def test_only_jobs_that_wait_for_nodes_are_touched(fields: dict[str, object]) -> None:
    slurm = FakeSlurm.of(FULL, job(1, **fields))

    assert ordering(slurm).round().lines == []


def test_other_partitions_are_left_alone() -> None:
    slurm = FakeSlurm.of(FULL, job(1), job(2, partitions=("debug",)))

    assert ordering(slurm, partitions=("debug",)).round().pending == 0  # no node is in it
    assert [line.split()[1] for line in ordering(slurm, partitions=("all",)).round().lines] == [
        "JobId=1"
    ]


def test_a_pending_array_is_one_job() -> None:
    array = job(5, array_id=5, elements=(1, 2, 4), elements_text="1-2,4", limit_s=60)
    slurm = FakeSlurm.of(FULL, job(1), array)

    ordering(slurm).round()

    assert order_of(slurm)[0] == "5_[1-2,4]"


def test_beyond_ranked_jobs_follow_by_arrival() -> None:
    slurm = FakeSlurm.of(FULL, *(job(n, limit_s=1000 - n) for n in range(1, 7)))

    ordering(slurm, ranked=2).round()

    assert order_of(slurm) == ["6", "5", "1", "2", "3", "4"]


def test_a_job_that_no_node_can_hold_is_left_out() -> None:
    slurm = FakeSlurm.of(FULL, job(1, cpus=1000), job(2))

    plan = ordering(slurm).round()

    assert list(plan.left_out) == ["1"]
    assert [line.split()[1] for line in plan.lines] == ["JobId=2"]


class Silent:
    """A policy that cannot rank."""

    name = "silent"

    def reset(self) -> None:
        pass

    def decide(self, view: View) -> Decision:
        return Wait()


def test_a_policy_that_cannot_rank_is_refused() -> None:
    with pytest.raises(ConfigError, match="'silent' cannot say which task comes first"):
        Attachment(Silent(), SlurmSettings(), FakeSlurm())


class Broken(Silent):
    name = "broken"

    def head(self, view: View) -> int:
        raise ValueError("no")

    def decide(self, view: View) -> Decision:
        raise ValueError("no")


@pytest.mark.parametrize("mode", ["priority", "placement"])
def test_where_the_policy_fails_first_come_is_first_served(mode: str) -> None:
    jobs = [job(2), job(1)] if mode == "priority" else [held(2, cpus=9), held(1, cpus=9)]
    slurm = FakeSlurm.of(*jobs)
    attachment = Attachment(Broken(), SlurmSettings(mode=mode), slurm)

    attachment.round()

    assert attachment.figures.policy_failures > 0
    if mode == "priority":
        assert order_of(slurm) == ["1", "2"]
    else:
        assert [line for line in slurm.sent if line.startswith("release")] == ["release 1"]


class Impossible(Silent):
    def decide(self, view: View) -> Decision:
        return Start(int(view.pending[0, 0]), (0,))


def test_a_decision_that_cannot_be_done_is_not_sent() -> None:
    slurm = FakeSlurm.of(FULL, held(1))
    attachment = Attachment(Impossible(), SlurmSettings(mode="placement"), slurm)

    assert attachment.round().lines == []
    assert attachment.figures.policy_failures == 1


# Placement mode


def test_held_jobs_are_released_to_nodes_with_room() -> None:
    busy = running(99, Share("cpu1", 16, 100), Share("gpu1", 8, 100))
    slurm = FakeSlurm.of(busy, *(held(n, cpus=4) for n in (1, 2, 3)))

    placing(slurm).round()

    assert slurm.sent == [
        "update JobId=1 ReqNodeList=gpu2", "release 1",
        "update JobId=2 ReqNodeList=gpu2", "release 2",
    ]  # fmt: skip


def test_cards_and_their_models_are_counted() -> None:
    two = (Gres("gpu", "a100", 2),)
    busy = running(99, Share("gpu1", 1, 10, (Gres("gpu", "a100", 3),)))
    slurm = FakeSlurm.of(busy, *(held(n, gres_per_node=two) for n in (1, 2, 3)))

    placing(slurm).round()

    assert [each for each in slurm.sent if "Req" in each] == [
        "update JobId=1 ReqNodeList=gpu2",
        "update JobId=2 ReqNodeList=gpu2",
    ]


def test_a_job_on_two_nodes_gets_two() -> None:
    slurm = FakeSlurm.of(held(1, node_count=2, cpus=4))

    placing(slurm).round()

    (line,) = [each for each in slurm.sent if "Req" in each]
    assert len(set(line.partition("ReqNodeList=")[2].split(","))) == 2


def test_a_job_wider_than_any_node_is_spread() -> None:
    slurm = FakeSlurm.of(held(1, cpus=20))

    placing(slurm).round()

    assert slurm.sent == ["update JobId=1 ReqNodeList=cpu1,gpu1,gpu2", "release 1"]


def test_a_gang_waits_where_only_one_node_has_room() -> None:
    busy = running(99, Share("gpu1", 8, 10), Share("gpu2", 8, 10))
    slurm = FakeSlurm.of(busy, held(1, node_count=2, cpus=4), held(2, cpus=4))

    placing(slurm).round()

    assert [each for each in slurm.sent if each.startswith("release")] == ["release 2"]


def test_without_a_memory_limit_a_job_needs_a_node_for_itself() -> None:
    slurm = FakeSlurm.of(held(1, memory_per_node_mib=None), held(2, memory_per_node_mib=None))

    placing(slurm).round()

    nodes = [each.partition("ReqNodeList=")[2] for each in slurm.sent if "Req" in each]
    assert len(set(nodes)) == 2


@pytest.mark.parametrize("usable", [{"is_usable": False}, {"is_reserved": True}])
def test_down_and_reserved_nodes_take_nothing(usable: dict[str, bool]) -> None:
    slurm = FakeSlurm.of(held(1), nodes=(node("cpu1", **usable), node("cpu2")))

    placing(slurm).round()

    assert slurm.sent[0] == "update JobId=1 ReqNodeList=cpu2"


@pytest.mark.parametrize(
    "fields",
    [
        {"comment": frozenset()},
        {"reason": "JobHeldAdmin"},
        {"dependency": "afterok:1(unfulfilled)"},
        {"eligible_s": 2e9},
        {"priority": 1, "reason": "Resources"},
    ],
)
def test_what_is_not_ours_or_may_not_start_is_left_alone(fields: dict[str, object]) -> None:
    slurm = FakeSlurm.of(held(1, **fields))

    assert placing(slurm).round().lines == []


@pytest.mark.parametrize(
    "fields",
    [{"features": "[gpu*1&cpu*1]"}, {"reservation": "maint"}, {"is_het": True}, {"cpus": 1000}],
)
def test_what_only_slurm_can_place_is_handed_to_it(fields: dict[str, object]) -> None:
    slurm = FakeSlurm.of(held(1, **fields))

    placing(slurm).round()

    assert slurm.sent == ["release 1"]


def test_elements_of_an_array_are_placed_one_by_one_up_to_its_limit() -> None:
    array = held(5, array_id=5, elements=(1, 2, 3, 4), elements_text="1-4", array_limit=2)
    slurm = FakeSlurm.of(array)
    attachment = placing(slurm)

    attachment.round()
    slurm.start_released()
    attachment.round()

    assert [each for each in slurm.sent if each.startswith("release")] == [
        "release 5_1", "release 5_2",
    ]  # fmt: skip
    assert slurm.jobs["5_[3,4]"].elements == (3, 4)


def test_a_released_job_keeps_its_nodes_until_it_runs() -> None:
    slurm = FakeSlurm.of(held(1, cpus=8), held(2, cpus=8), nodes=(node("cpu1"),))
    attachment = placing(slurm)

    attachment.round()
    assert attachment.round().lines == []
    slurm.start_released()

    assert attachment.round().lines == []
    assert slurm.jobs["2"].is_held


def test_what_does_not_start_in_time_is_taken_back_and_rests() -> None:
    slurm = FakeSlurm.of(held(1, required_nodes=("gpu1",)))
    attachment = placing(slurm, grace_s=30, rest_s=60)
    attachment.round()
    slurm.now_s += 20
    assert attachment.round().lines == []

    slurm.now_s += 20
    assert attachment.round().lines == ["uhold 1", "update JobId=1 ReqNodeList=gpu1"]
    slurm.now_s += 30
    assert attachment.round().lines == []
    slurm.now_s += 40

    assert attachment.round().lines == ["update JobId=1 ReqNodeList=gpu1", "release 1"]


def test_a_job_whose_user_holds_it_again_is_left_alone() -> None:
    slurm = FakeSlurm.of(held(1))
    attachment = placing(slurm)
    attachment.round()
    attachment.round()  # Slurm has told of it as released

    slurm._carry_out("uhold 1")

    assert attachment.round().lines == []


# Crashes and restarts


def test_what_a_killed_slurmctld_has_forgotten_is_released_again() -> None:
    slurm = FakeSlurm.of(held(1))
    attachment = placing(slurm)
    attachment.round()
    attachment.round()  # Slurm has told of it as released

    slurm.jobs, slurm.boot = {"1": held(1)}, "2026-01-01T00:00:00"

    assert attachment.round().lines == ["update JobId=1 ReqNodeList=cpu1", "release 1"]


@pytest.mark.parametrize("carried_out", range(5))
def test_killed_while_sending_nothing_is_held_for_ever(tmp_path: Path, carried_out: int) -> None:
    slurm = FakeSlurm.of(held(1), held(2), dies_after=carried_out)
    first = placing(slurm, tmp_path)
    if carried_out < 4:
        with pytest.raises(KeyboardInterrupt):
            first.round()
    else:
        first.round()
    first.close()
    slurm.dies_after = None

    second = placing(slurm, tmp_path)
    second.round()
    second.round()

    assert not any(each.is_held for each in slurm.jobs.values())
    assert all(each.required_nodes for each in slurm.jobs.values())


def test_a_restart_takes_back_what_its_predecessor_released(tmp_path: Path) -> None:
    slurm = FakeSlurm.of(held(1))
    first = placing(slurm, tmp_path)
    first.round()
    first.close()
    slurm.now_s += 100

    plan = placing(slurm, tmp_path).round()

    assert plan.lines == ["uhold 1", "update JobId=1 ReqNodeList="]


def test_release_all_frees_what_our_marker_holds_and_nothing_else(tmp_path: Path) -> None:
    array = held(5, array_id=5, elements=(1, 2), elements_text="1-2")
    mine = held(1, cpus=9)
    slurm = FakeSlurm.of(mine, array, held(3, comment=frozenset()), held(4, reason="JobHeldAdmin"))
    attachment = placing(slurm, tmp_path)

    lines = attachment.release_all()

    assert lines == ["release 1", "release 5_[1-2]"]
    assert slurm.sent == lines


def test_the_clock_of_the_policies_goes_on_after_a_restart(tmp_path: Path) -> None:
    slurm = FakeSlurm.of(FULL, job(1))
    first = ordering(slurm, "f4", tmp_path)
    first.round()
    first.close()
    began_s = slurm.jobs["1"].submit_s
    slurm.jobs = {"9": job(9)}

    second = ordering(slurm, "f4", tmp_path)
    second.round()

    events = [json.loads(each) for each in (tmp_path / "decisions.jsonl").read_text().splitlines()]
    assert [each["at_s"] for each in events if each["event"] == "origin"] == [began_s]


def test_two_attachments_do_not_share_a_folder(tmp_path: Path) -> None:
    first = placing(FakeSlurm(), tmp_path)

    with pytest.raises(StateError, match="another attachment uses"):
        placing(FakeSlurm(), tmp_path)

    first.close()
    placing(FakeSlurm(), tmp_path).close()


def test_a_cut_off_last_line_does_not_matter_and_a_damaged_one_does(tmp_path: Path) -> None:
    log = tmp_path / "decisions.jsonl"
    log.write_text('{"event": "origin", "at_s": 5}\n{"event": "rel')
    for _ in range(2):  # what comes after it can be read too
        attachment = placing(FakeSlurm.of(held(1), boot="then"), tmp_path)
        attachment.round()
        attachment.close()
    log.write_text("oh\n")

    with pytest.raises(JournalError, match=r"decisions\.jsonl, line 1: expected a decision"):
        placing(FakeSlurm(), tmp_path)


def test_while_slurm_is_down_rounds_are_lost_and_then_it_goes_on() -> None:
    slurm = FakeSlurm.of(FULL, job(1), is_down=True)
    attachment = ordering(slurm, interval_s=0.001)
    with pytest.raises(ExecutorError):
        attachment.round()

    attachment.run(threading.Event(), rounds=3)
    slurm.is_down = False
    attachment.run(threading.Event(), rounds=2)

    assert (attachment.figures.lost_rounds, attachment.figures.rounds) == (3, 2)
    assert attachment.figures.changes == 1


# Looking without touching


def test_a_preview_sends_and_writes_nothing(tmp_path: Path) -> None:
    slurm = FakeSlurm.of(held(1))
    attachment = placing(slurm, tmp_path)

    plan = attachment.preview()

    assert plan.lines == ["update JobId=1 ReqNodeList=cpu1", "release 1"]
    assert slurm.sent == []
    assert (tmp_path / "decisions.jsonl").read_text() == ""


def test_a_shadow_writes_down_what_it_would_do(tmp_path: Path) -> None:
    slurm = FakeSlurm.of(held(1))
    settings = SlurmSettings(mode="placement")
    attachment = Attachment(heuristic("fcfs"), settings, slurm, tmp_path, shadow=True)

    attachment.round()
    attachment.close()

    assert slurm.sent == []
    last = json.loads((tmp_path / "decisions.jsonl").read_text().splitlines()[-1])
    assert last["event"] == "shadow"
    assert last["commands"] == ["update JobId=1 ReqNodeList=cpu1", "release 1"]


def test_the_heartbeat_says_that_somebody_is_there(tmp_path: Path) -> None:
    attachment = placing(FakeSlurm.of(), tmp_path)

    attachment.round()

    assert (tmp_path / "heartbeat").read_text() == "1700000000\n"
    attachment.close()
    assert not (tmp_path / "heartbeat").exists()
