"""What survives when somebody is killed: the scheduler, a supervisor, the machine."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lepton_rl.core.errors import ExecutorError
from lepton_rl.integrations.local import LocalExecutor, LocalSettings
from lepton_rl.integrations.local.directories import NewAttempt, RunDirectory
from lepton_rl.integrations.local.launcher import Launcher
from lepton_rl.integrations.local.requests import launch_request
from lepton_rl.integrations.local.supervision.identity import (
    ProcessIdentity,
    identity_of,
    open_process,
)
from lepton_rl.integrations.local.supervision.records import Claim, read_claim, write_claim
from lepton_rl.system import Outcome
from tests.integrations.commands import (
    FOREVER,
    begin,
    command,
    end,
    ends,
    is_alive,
    output,
    shell,
    until,
    until_written,
)
from tests.integrations.owner import Owner


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def owner(run_dir: Path) -> Iterator[Owner]:
    made = Owner(run_dir)
    yield made
    made.kill()


def attempt_status(run_dir: Path, task_id: str) -> Path:
    return run_dir / task_id / "1" / "exit_status"


def claims(run_dir: Path) -> dict[str, Path]:
    """Claim files by the name of their task."""
    found = (run_dir / ".active").glob("*/*")
    return {path.name.split("@")[0]: path for path in found}


def rewrite(path: Path, **values: Any) -> None:
    """Change who has claimed an attempt."""
    content = json.loads(path.read_text())
    content["supervisor"] |= values
    path.write_text(json.dumps(content))


def test_kill_9_of_the_owner_of_twenty_tasks(owner: Owner, run_dir: Path, tmp_path: Path) -> None:
    """5 end before it, 5 in nobody's presence, 10 under its successor."""
    while_nobody, after = tmp_path / "while-nobody", tmp_path / "after"

    def wait_for(gate: Path) -> str:
        return f"while [ ! -e {gate} ]; do sleep 0.02; done; "

    waits = [""] * 5 + [wait_for(while_nobody)] * 5 + [wait_for(after)] * 10
    for n, wait in enumerate(waits):
        owner.start(f"t{n}", f"{wait}echo $LEPTON_TASK_ID; exit {n}")
    until(lambda: all(attempt_status(run_dir, f"t{n}").exists() for n in range(5)))

    owner.kill()
    while_nobody.touch()
    until(lambda: all(attempt_status(run_dir, f"t{n}").exists() for n in range(10)))
    executor = LocalExecutor(run_dir)

    assert executor.running() == {f"t{n}" for n in range(20)}
    with pytest.raises(ExecutorError, match="'t15' still runs"):
        begin(executor, command("t15", "true"))
    early = ends(executor, 10)
    assert executor.running() == {f"t{n}" for n in range(10, 20)}
    after.touch()
    late = ends(executor, 10)
    assert early.keys().isdisjoint(late)
    told = early | late
    assert {name: each.exit_code for name, each in told.items()} == {f"t{n}": n for n in range(20)}
    assert {each.outcome for name, each in told.items() if name != "t0"} == {Outcome.FAILED}
    assert executor.running() == frozenset()
    assert executor.completions(1) == []
    assert [output(executor, f"t{n}") for n in range(20)] == [f"t{n}\n" for n in range(20)]
    executor.acknowledge(list(told.values()))
    executor.close(stop_running=True)
    assert claims(run_dir) == {}


def test_an_end_is_told_again_until_it_is_acknowledged(owner: Owner, run_dir: Path) -> None:
    """A new start of the task acknowledges it as well; asking for further ends does not."""
    owner.start("acknowledged", "exit 1")
    until(lambda: owner.completions() == ["acknowledged"])
    owner.acknowledge()
    owner.start("told", "exit 2")
    until(lambda: owner.completions() == ["told"])
    owner.start("again", "exit 3")
    until(lambda: owner.completions() == ["again"])
    assert owner.completions() == []
    owner.start("again", "exit 4")
    owner.kill()

    executor = LocalExecutor(run_dir)

    assert executor.running() == {"told", "again"}
    told = ends(executor, 2)
    assert (told["told"].exit_code, told["again"].exit_code) == (2, 4)
    executor.acknowledge(list(told.values()))
    executor.close(stop_running=True)
    assert claims(run_dir) == {}


def test_adopted_tasks_can_be_stopped(run_dir: Path) -> None:
    settings = LocalSettings(stop_grace_s=0.05)
    first = LocalExecutor(run_dir, settings)
    begin(first, shell("a", FOREVER), shell("b", FOREVER))
    first.close(stop_running=False)

    second = LocalExecutor(run_dir)
    assert second.running() == {"a", "b"}
    second.stop("a", 0)
    stopped = ends(second, 1)["a"]
    assert stopped.outcome == Outcome.STOPPED
    second.acknowledge([stopped])
    second.close(stop_running=True)

    third = LocalExecutor(run_dir)
    assert ends(third, 1)["b"].outcome == Outcome.STOPPED
    third.close(stop_running=True)


def test_a_run_is_known_by_the_number_that_it_was_given(run_dir: Path) -> None:
    first = LocalExecutor(run_dir)
    script = "echo $LEPTON_ATTEMPT $LEPTON_ATTEMPT_DIR"
    first.start(shell("a", script), (0,), 0, attempt=7)
    first.start(shell("b", script), (0,), 0)
    until(lambda: all((run_dir / name / "exit_status").exists() for name in ("a/7", "b/1")))
    first.close(stop_running=False)
    second = LocalExecutor(run_dir)

    assert second.known_runs() == {"a": 7, "b": None}
    told = ends(second, 2)
    assert (told["a"].attempt, told["b"].attempt) == (7, None)
    assert output(second, "a") == f"7 {run_dir / 'a' / '7'}\n"
    second.acknowledge([replace(told["a"], attempt=6), told["b"]])
    assert second.known_runs() == {"a": 7}
    second.close(stop_running=True)


def test_an_older_claim_of_the_same_task_is_dropped(run_dir: Path) -> None:
    """Its removal was not on disk yet when the power failed; the later start had acknowledged it,
    although by a clock that was set back in between it began before.
    """
    first = LocalExecutor(run_dir)
    first.start(shell("a", "exit 1"), (0,), 900, attempt=1)
    until(lambda: first.completions(1000))
    old = claims(run_dir)["a"].read_bytes()
    first.start(shell("a", "exit 2"), (0,), 100, attempt=2)
    new = claims(run_dir)["a"]
    new.with_name("a@1").write_bytes(old)
    first.close(stop_running=True)

    second = LocalExecutor(run_dir)

    assert second.known_runs() == {"a": 2}
    assert ends(second, 1)["a"].attempt == 2
    second.close(stop_running=True)


def test_one_executor_at_a_time(run_dir: Path) -> None:
    first = LocalExecutor(run_dir)
    with pytest.raises(ExecutorError, match=f"in use by the executor of process {os.getpid()}"):
        LocalExecutor(run_dir)
    first.close(stop_running=True)

    LocalExecutor(run_dir).close(stop_running=True)


@pytest.mark.parametrize("presence", ["watched", "alone"])
def test_a_supervisor_that_is_killed(run_dir: Path, presence: str) -> None:
    executor = LocalExecutor(run_dir)
    outsider = f"setsid sh -c 'echo $$; {FOREVER}' & {FOREVER}"
    begin(executor, shell("a", f"echo $PPID $$; {outsider}"))
    until(lambda: len(until_written(executor, "a")) == 3)
    supervisor, *processes = until_written(executor, "a")
    if presence == "alone":
        executor.close(stop_running=False)

    os.kill(int(supervisor), signal.SIGKILL)
    until(lambda: not is_alive(supervisor))
    if presence == "alone":
        executor = LocalExecutor(run_dir)

    told = ends(executor, 1)["a"]
    assert (told.outcome, told.exit_code) == (Outcome.FAILED, None)
    assert "its supervisor was killed" in told.detail
    until(lambda: not any(is_alive(pid) for pid in processes))
    assert end(executor, command("a", "true")).outcome == Outcome.COMPLETED
    executor.close(stop_running=True)


@pytest.mark.parametrize("change", ["start_ticks", "boot_id"])
def test_a_recycled_process_id_is_not_taken_for_ours(run_dir: Path, change: str) -> None:
    """Its supervisor is gone, and somebody else has its id: here, this very process."""
    first = LocalExecutor(run_dir)
    begin(first, shell("a", f"echo $PPID; {FOREVER}"))
    supervisor = int(until_written(first, "a")[0])
    first.close(stop_running=False)
    os.kill(supervisor, signal.SIGKILL)
    until(lambda: not is_alive(supervisor))
    mine = identity_of(os.getpid())._asdict()
    rewrite(claims(run_dir)["a"], **mine | {change: 1 if change == "start_ticks" else "other"})

    executor = LocalExecutor(run_dir)

    assert ends(executor, 1)["a"].outcome == Outcome.FAILED
    executor.close(stop_running=True)


def test_an_end_before_the_last_reboot_is_told_too(run_dir: Path) -> None:
    first = LocalExecutor(run_dir)
    begin(first, shell("a", "exit 3"))
    until(lambda: attempt_status(run_dir, "a").exists())
    first.close(stop_running=False)
    rewrite(claims(run_dir)["a"], boot_id="other")
    status = attempt_status(run_dir, "a")
    content = json.loads(status.read_text()) | {"boot_id": "other", "ended_us": 10**15}
    status.write_text(json.dumps(content))

    executor = LocalExecutor(run_dir)

    told = executor.completions(500)
    assert [(each.exit_code, each.end_us) for each in told] == [(3, 500)]
    executor.close(stop_running=True)


@pytest.mark.parametrize("content", ["", "{}", '{"task_id": "a"', "[]"])
def test_a_claim_that_a_power_failure_has_cut_off(run_dir: Path, content: str) -> None:
    executor = LocalExecutor(run_dir)
    begin(executor, command("a", "true"))
    until(lambda: attempt_status(run_dir, "a").exists())
    executor.close(stop_running=False)
    claims(run_dir)["a"].write_text(content)

    executor = LocalExecutor(run_dir)

    assert executor.running() == frozenset()
    assert end(executor, shell("a", "exit 8")).exit_code == 8
    executor.close(stop_running=True)


def test_an_exit_status_that_a_power_failure_has_cut_off(run_dir: Path) -> None:
    executor = LocalExecutor(run_dir)
    begin(executor, command("a", "true"))
    assert executor.wait(10)
    attempt_status(run_dir, "a").write_text('{"outcome": "comp')

    assert ends(executor, 1)["a"].outcome == Outcome.FAILED
    executor.close(stop_running=True)


def new_launch(run_dir: Path, script: str) -> tuple[RunDirectory, NewAttempt, Any]:
    directory = RunDirectory(run_dir)
    new = directory.new_attempt("a")
    task = shell("a", script)
    return directory, new, launch_request(task, (0,), None, 0, new, LocalSettings())


def test_a_supervisor_that_is_late_cannot_claim(run_dir: Path) -> None:
    """Its executor was killed, and another one has looked what runs before it got so far."""
    directory, new, request = new_launch(run_dir, "touch $LEPTON_ATTEMPT_DIR/ran")
    directory.close()
    LocalExecutor(run_dir).close(stop_running=True)
    launcher = Launcher()

    with pytest.raises(ExecutorError, match=r"cannot write .*: No such file or directory"):
        launcher.launch(request, os.close)

    launcher.close()
    assert [path.name for path in new.directory.iterdir() if path.name == "ran"] == []


def test_nothing_runs_if_its_executor_ends_while_it_is_launched(run_dir: Path) -> None:
    """The claim is there, but the executor's last word is missing: start() never returned."""
    directory, new, request = new_launch(run_dir, "touch $LEPTON_ATTEMPT_DIR/ran")
    launcher = Launcher()

    def be_killed(pidfd: int) -> None:
        os.close(pidfd)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        launcher.launch(request, be_killed)
    directory.close()
    executor = LocalExecutor(run_dir)

    assert executor.running() == frozenset()
    until(lambda: (new.directory / "exit_status").exists())
    assert executor.completions(1) == []
    assert not (new.directory / "ran").exists()
    launcher.close()
    executor.close(stop_running=True)


def test_a_take_over_that_was_interrupted(run_dir: Path) -> None:
    first = LocalExecutor(run_dir)
    begin(first, shell("a", "exit 1"), shell("b", "exit 2"))
    until(lambda: all(attempt_status(run_dir, name).exists() for name in "ab"))
    first.close(stop_running=False)
    (generation,) = (run_dir / ".active").iterdir()
    generation.rename(generation.with_suffix(".closed"))

    executor = LocalExecutor(run_dir)

    assert {name: each.exit_code for name, each in ends(executor, 2).items()} == {"a": 1, "b": 2}
    executor.close(stop_running=True)


def test_a_claim_says_who_runs_it(tmp_path: Path) -> None:
    claim = Claim("a/ü", 3, 7, identity_of(os.getpid()))

    write_claim(tmp_path / "claim", claim, tmp_path)

    assert read_claim(tmp_path / "claim") == claim


def test_identity() -> None:
    mine = identity_of(os.getpid())
    pidfd = open_process(mine)

    assert pidfd is not None
    os.close(pidfd)
    assert open_process(mine._replace(start_ticks=mine.start_ticks + 1)) is None
    assert open_process(ProcessIdentity(2**22 - 1, 0, mine.boot_id)) is None


def test_a_run_directory_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ExecutorError, match="cannot use run directory"):
        LocalExecutor(tmp_path / "file" / "run")
