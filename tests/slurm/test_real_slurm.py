"""Both modes on a real Slurm: order, placement, requeue, lost nodes, and deaths on either side."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from lepton_rl.core.errors import ExecutorError
from lepton_rl.integrations.slurm import Attachment, SlurmCommands, SlurmSettings
from lepton_rl.integrations.slurm.records import SlurmJob
from lepton_rl.policies.registry import heuristic
from tests.slurm.cluster import SlurmCluster
from tests.slurm.conftest import Attach

MARKED = ("-H", "--comment=lepton-rl")


def states(slurm: SlurmCluster, ids: list[int]) -> set[str]:
    jobs = slurm.jobs()
    return {jobs[each]["job_state"] for each in ids}


@pytest.mark.slow
def test_the_policys_order_is_the_order_of_the_starts(
    slurm: SlurmCluster, commands: SlurmCommands
) -> None:
    """Each job fills the large node, so they start one after the other; the shortest is last."""
    blockers = slurm.occupy()
    ids = [slurm.submit("-c", "16", "-t", str(9 - n), command="sleep 1") for n in range(4)]
    attachment = Attachment(heuristic("sjf"), SlurmSettings(), commands)

    attachment.round()
    slurm.cancel(blockers)
    slurm.wait_until(ids, "COMPLETED")

    jobs = slurm.jobs()
    assert sorted(ids, key=lambda each: jobs[each]["start_time"]) == ids[::-1]


def test_a_second_round_has_nothing_to_change(slurm: SlurmCluster, commands: SlurmCommands) -> None:
    slurm.occupy()
    ids = [slurm.submit("-c", "16", "-t", str(minutes)) for minutes in (5, 3, 8)]
    attachment = Attachment(heuristic("sjf"), SlurmSettings(), commands)
    slurm.wait_until_considered(ids)

    assert len(attachment.round().lines) == 3
    assert attachment.round().lines == []
    assert attachment.figures.refused == 0


def test_held_jobs_run_where_the_policy_wants_them(
    slurm: SlurmCluster, commands: SlurmCommands
) -> None:
    gpu = [slurm.submit(*MARKED, "-c", "2", "--gres=gpu:a100:1") for _ in range(4)]
    fpga = [slurm.submit(*MARKED, "--gres=fpga:1") for _ in range(2)]
    pair = slurm.submit(*MARKED, "-N", "2", "-c", "2")
    others = [slurm.submit("-H"), slurm.submit("-H", "--comment=mine")]
    settings = SlurmSettings(mode="placement")
    attachment = Attachment(heuristic("fcfs+least-loaded"), settings, commands)

    plan = attachment.round()
    slurm.wait_until([*gpu, *fpga, pair], "COMPLETED")

    jobs = slurm.jobs()
    wanted = {
        line.split()[1].removeprefix("JobId="): line.partition("ReqNodeList=")[2]
        for line in plan.lines
        if line.startswith("update")
    }
    assert {str(each): jobs[each]["nodes"] for each in (*gpu, *fpga)} == {
        name: nodes for name, nodes in wanted.items() if name != str(pair)
    }
    assert {jobs[each]["nodes"] for each in gpu} == {"gpu1", "gpu2"}
    assert {jobs[each]["nodes"] for each in fpga} == {"fpga1"}
    assert set(jobs[pair]["nodes"].split(",")) == set(wanted[str(pair)].split(","))
    assert states(slurm, others) == {"PENDING"}


@pytest.mark.slow
def test_elements_of_an_array_and_dependencies(
    slurm: SlurmCluster, commands: SlurmCommands
) -> None:
    array = slurm.submit(*MARKED, "-a", "1-3%2", command="sleep 1")
    after = slurm.submit(*MARKED, "-d", f"afterok:{array}")
    attachment = Attachment(heuristic("fcfs"), SlurmSettings(mode="placement"), commands)

    first = attachment.round()
    assert [each for each in first.lines if each.startswith("release")] == [
        f"release {array}_1", f"release {array}_2",
    ]  # fmt: skip
    slurm.wait_for(
        lambda: attachment.round() and states(slurm, [after]) == {"COMPLETED"}, "all have run", 240
    )

    elements = [each for each in slurm.jobs().values() if each["array_job_id"] == array]
    assert [each["job_state"] for each in elements] == ["COMPLETED"] * 3


@pytest.mark.slow
def test_a_requeued_job_is_placed_again(slurm: SlurmCluster, commands: SlurmCommands) -> None:
    job = slurm.submit(*MARKED, "-c", "2", "--requeue", command="sleep 60")
    settings = SlurmSettings(mode="placement", grace_s=0.5, rest_s=0)
    attachment = Attachment(heuristic("fcfs"), settings, commands)
    attachment.round()
    slurm.wait_until([job], "RUNNING")
    first = slurm.jobs()[job]["nodes"]

    slurm.run("scontrol", "requeue", str(job))
    slurm.run("scontrol", "update", f"NodeName={first}", "State=DRAIN", "Reason=test")
    slurm.wait_until([job], "PENDING")
    time.sleep(1)

    assert f"uhold {job}" in attachment.round().lines
    slurm.run("scontrol", "update", f"JobId={job}", "StartTime=now")  # Slurm waits 2 minutes
    slurm.wait_for(
        lambda: attachment.round() and states(slurm, [job]) == {"RUNNING"}, "it runs again"
    )
    assert slurm.jobs()[job]["nodes"] != first


def test_a_node_that_dies_takes_nothing_more(slurm: SlurmCluster, commands: SlurmCommands) -> None:
    slurm.kill("cpu1")
    slurm.run("scontrol", "update", "NodeName=cpu1", "State=DOWN", "Reason=test")
    ids = [slurm.submit(*MARKED, "-c", "4") for _ in range(4)]

    Attachment(heuristic("fcfs"), SlurmSettings(mode="placement"), commands).round()
    slurm.wait_until(ids, "COMPLETED")

    jobs = slurm.jobs()
    assert "cpu1" not in {jobs[each]["nodes"] for each in ids}


@pytest.mark.slow
def test_when_we_are_killed_in_priority_mode_slurm_goes_on(
    slurm: SlurmCluster, attach: Attach
) -> None:
    blockers = slurm.occupy()
    ids = [slurm.submit("-c", "16", "-t", str(9 - n), command="sleep 0.2") for n in range(5)]
    process = attach.start("--policy", "sjf")
    slurm.wait_for(lambda: slurm.jobs()[ids[-1]]["priority"] > 1_000_000_000, "priorities are ours")

    process.kill()
    process.wait()
    slurm.cancel(blockers)
    late = slurm.submit("-c", "16", command="sleep 0.2")
    slurm.wait_until([*ids, late], "COMPLETED")


@pytest.mark.slow
@pytest.mark.parametrize("comes_back", [True, False])
def test_when_we_are_killed_in_placement_mode_no_job_is_lost(
    slurm: SlurmCluster, attach: Attach, heartbeat: Path, comes_back: bool
) -> None:
    """Some jobs run, some are held when we die; a restart, or --release-all, sees to the rest."""
    options = ("--mode", "placement", "--policy", "fcfs")
    ids = [slurm.submit(*MARKED, "-c", "8", command="sleep 3") for _ in range(12)]
    process = attach.start(*options)
    slurm.wait_for(lambda: "RUNNING" in states(slurm, ids), "some run")
    process.kill()
    process.wait()
    assert "PENDING" in states(slurm, ids)

    if comes_back:
        attach.start(*options)
    else:
        assert "release" in attach.run(*options, "--release-all")
    slurm.wait_until(ids, "COMPLETED", timeout_s=240)

    runs = [slurm.jobs()[each]["restart_cnt"] for each in ids]
    assert runs == [0] * 12  # none was run twice


def test_the_script_holds_new_jobs_only_while_we_are_alive(
    slurm: SlurmCluster, attach: Attach, heartbeat: Path
) -> None:
    heartbeat.write_text(f"{int(time.time())}\n")
    held = slurm.submit()
    heartbeat.write_text(f"{int(time.time()) - 1000}\n")
    free = slurm.submit()
    slurm.wait_until([free], "COMPLETED")

    job = slurm.jobs()[held]
    assert (job["priority"], job["state_reason"]) == (0, "JobHeldUser")
    assert attach.run("--mode", "placement", "--release-all") == f"release {held}\n"
    slurm.wait_until([held], "COMPLETED")


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["priority", "placement"])
def test_when_slurmctld_is_killed_we_wait_and_go_on(
    slurm: SlurmCluster, attach: Attach, mode: str
) -> None:
    process = attach.start("--mode", mode, "--policy", "fcfs", "--set", "timeout_s=2")
    marks = MARKED if mode == "placement" else ()
    before = [slurm.submit(*marks, "-c", "8", command="sleep 12") for _ in range(7)]
    slurm.wait_for(lambda: len(slurm.running()) == 5, "all nodes are full")
    time.sleep(6)  # slurmctld has saved its state by then

    slurm.kill("slurmctld")
    slurm.wait_for(lambda: "this round is lost" in attach.log(), "we have noticed")
    slurm.start_controller()
    slurm.wait_for(slurm.is_up, "slurmctld is back")
    after = [slurm.submit(*marks, "-c", "8") for _ in range(2)]
    slurm.wait_until([*before, *after], "COMPLETED", timeout_s=240)

    assert process.poll() is None


def test_without_slurm_a_dry_run_says_so(
    commands: SlurmCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")

    with pytest.raises(ExecutorError, match="squeue is not on the PATH"):
        Attachment(heuristic("f4"), SlurmSettings(), commands).preview()


@pytest.mark.slow
def test_three_hundred_jobs(slurm: SlurmCluster, commands: SlurmCommands, tmp_path: Path) -> None:
    slurm.occupy()
    slurm.run("sbatch", "-o", "/dev/null", "--mem=10", "-t", "10", "-a", "1-20", "--wrap", "true")
    ids = [slurm.submit(*MARKED, "-c", str(1 + n % 8), "-t", str(1 + n % 50)) for n in range(299)]
    settings = SlurmSettings(mode="placement")
    placing = Attachment(heuristic("sjf"), settings, commands, tmp_path)
    assert placing.round().pending == 299  # of which none fits

    placing.release_all()
    slurm.wait_until_considered(ids)
    ordering = Attachment(heuristic("sjf"), SlurmSettings(ranked=400), commands)
    plan = ordering.round()
    assert (plan.pending, len(plan.lines)) == (300, 300)
    assert ordering.round().lines == []

    waiting = [each for each in commands.read().jobs if each.is_pending]
    by_priority = sorted(waiting, key=lambda each: -each.priority)
    limits = [_limit_s(each) for each in by_priority]
    assert limits == sorted(limits)
    placing.close()


def test_json_says_what_was_done(slurm: SlurmCluster, attach: Attach) -> None:
    slurm.submit(*MARKED)

    text = attach.run("--mode", "placement", "--rounds", "2", "--json")

    figures = json.loads(text)
    assert (figures["rounds"], figures["changes"], figures["refused"]) == (2, 1, 0)


def _limit_s(job: SlurmJob) -> float:
    assert job.limit_s is not None
    return job.limit_s
