"""Gangs, time limits, stopping, and that nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from lepton_rl.core.errors import ExecutorError
from lepton_rl.integrations.local import LocalExecutor, LocalSettings
from lepton_rl.system import Completion, Outcome
from tests.integrations.commands import (
    FOREVER,
    PATIENCE_S,
    begin,
    children_of,
    command,
    end,
    ends,
    is_alive,
    open_files,
    output,
    shell,
    state_of,
    until,
    until_written,
)

DEAF = f"trap '' TERM; echo $$; {FOREVER}"
"""Ends only by force."""


def exit_codes(executor: LocalExecutor, task_id: str) -> list[int | None]:
    status = json.loads((executor.attempts(task_id)[-1] / "exit_status").read_text())
    return status["exit_codes"]


def test_a_gang_completes_when_all_its_replicas_have(executor: LocalExecutor) -> None:
    told = end(executor, shell("gang", "echo $LEPTON_REPLICA", num_replicas=5))

    assert (told.outcome, told.exit_code) == (Outcome.COMPLETED, 0)
    assert output(executor, "gang") == "0\n"
    assert [output(executor, "gang", f"stdout.{n}") for n in range(1, 5)] == [
        f"{n}\n" for n in range(1, 5)
    ]


def test_a_gang_fails_with_its_first_replica_and_the_others_are_stopped(
    executor: LocalExecutor,
) -> None:
    script = f'[ $LEPTON_REPLICA = 2 ] && exit 7; trap "exit 1" TERM; {FOREVER}'

    told = end(executor, shell("gang", script, num_replicas=4))

    assert (told.outcome, told.exit_code) == (Outcome.FAILED, 7)
    assert told.detail == "replica 2: exited with 7; the other replicas were stopped"
    assert exit_codes(executor, "gang")[2] == 7
    assert 0 not in exit_codes(executor, "gang")


def test_a_gang_of_a_command_that_is_not_there(executor: LocalExecutor) -> None:
    told = end(executor, command("gang", "no-such-program", num_replicas=2))

    assert (told.outcome, told.exit_code) == (Outcome.FAILED, 127)
    assert "cannot run 'no-such-program'" in told.detail


def test_the_time_limit_is_a_multiple_of_the_requested_time(tmp_path: Path) -> None:
    executor = LocalExecutor(tmp_path, LocalSettings(time_limit_factor=2, stop_grace_s=0.05))
    begin(
        executor,
        shell("slow", FOREVER, requested_time_s=0.1),
        shell("deaf", DEAF, requested_time_s=0.1),
        shell("quick", "exit 0", requested_time_s=1000),
    )

    told = ends(executor, 3)

    assert told["quick"].outcome == Outcome.COMPLETED
    assert (told["slow"].outcome, told["slow"].exit_code) == (Outcome.TIMED_OUT, -signal.SIGTERM)
    assert told["slow"].detail == "ran longer than its limit of 0.2 s"
    assert (told["deaf"].outcome, told["deaf"].exit_code) == (Outcome.TIMED_OUT, -signal.SIGKILL)
    executor.close(stop_running=True)


def test_stop_asks_and_then_forces(executor: LocalExecutor) -> None:
    begin(
        executor,
        shell("polite", f"trap 'echo saved; exit 0' TERM; echo $$; {FOREVER}"),
        shell("deaf", DEAF),
    )
    for name in ("polite", "deaf"):
        until_written(executor, name)
        executor.stop(name, 1)
        executor.stop(name, 1)  # asking again changes nothing

    told = ends(executor, 2)

    assert (told["polite"].outcome, told["polite"].exit_code) == (Outcome.STOPPED, 0)
    assert output(executor, "polite").endswith("saved\n")
    assert (told["deaf"].outcome, told["deaf"].exit_code) == (Outcome.STOPPED, -signal.SIGKILL)
    assert told["deaf"].detail == "stopped on request"


def test_stop_at_once_after_start(executor: LocalExecutor) -> None:
    for n in range(5):
        begin(executor, shell(f"t{n}", FOREVER, num_replicas=2))
        executor.stop(f"t{n}", 0)

    assert {each.outcome for each in ends(executor, 5).values()} == {Outcome.STOPPED}


def test_stop_reaches_who_is_suspended(executor: LocalExecutor) -> None:
    begin(executor, shell("a", f"echo $$; {FOREVER}"))
    pid = int(until_written(executor, "a")[0])
    os.kill(pid, signal.SIGSTOP)
    until(lambda: state_of(pid) == "T")

    executor.stop("a", 0)

    assert ends(executor, 1)["a"].exit_code == -signal.SIGTERM


def test_who_has_ended_by_itself_is_not_stopped(executor: LocalExecutor) -> None:
    begin(executor, shell("a", "exit 5"))
    assert executor.wait(PATIENCE_S)

    executor.stop("a", 0)

    told = ends(executor, 1)["a"]
    assert (told.outcome, told.exit_code, told.detail) == (Outcome.FAILED, 5, "exited with 5")


def test_stop_of_what_does_not_run(executor: LocalExecutor) -> None:
    end(executor, command("over", "true"))

    for name in ("over", "never"):
        with pytest.raises(ExecutorError, match=f"expected a running task to stop, got '{name}'"):
            executor.stop(name, 0)


@pytest.mark.parametrize("leave", ["{} &", "setsid {} &", "(setsid {} & setsid {} &)"])
@pytest.mark.parametrize("way", ["exits", "stopped"])
def test_all_its_processes_end_with_it(executor: LocalExecutor, leave: str, way: str) -> None:
    child = f"sh -c 'echo $$; trap \"\" TERM HUP; {FOREVER}'"
    count = leave.count("{}")
    script = (
        leave.replace("{}", child) + f"\nwhile [ $(wc -l <{{}}/stdout) -lt {count} ]; do :; done"
    )
    script = script.replace("{}", "$LEPTON_ATTEMPT_DIR")
    begin(executor, shell("a", script if way == "exits" else f"{script}; {FOREVER}"))
    if way == "stopped":
        until(lambda: len(until_written(executor, "a")) == count)
        executor.stop("a", 0)

    told = ends(executor, 1)["a"]

    assert told.outcome == (Outcome.COMPLETED if way == "exits" else Outcome.STOPPED)
    left = output(executor, "a").split()
    assert len(left) == count
    assert not any(is_alive(pid) for pid in left)


def test_a_task_never_runs_twice_at_once(executor: LocalExecutor) -> None:
    begin(executor, shell("a", FOREVER))
    with pytest.raises(ExecutorError, match="'a' still runs, or its end has not been told"):
        begin(executor, command("a", "true"))
    executor.stop("a", 0)
    assert executor.wait(PATIENCE_S)
    with pytest.raises(ExecutorError, match="its end has not been told"):
        begin(executor, command("a", "true"))
    ends(executor, 1)

    assert end(executor, command("a", "true")).outcome == Outcome.COMPLETED
    assert [path.name for path in executor.attempts("a")] == ["1", "2"]


def test_a_start_that_cannot_be_leaves_nothing(
    executor: LocalExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever goes wrong before the executor knows of the attempt, its command does not run."""

    def full(*_: object) -> None:
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patch:
        patch.setattr(executor._watch, "add", full)
        with pytest.raises(ExecutorError, match="'a' cannot be started: Too many open files"):
            begin(executor, shell("a", "echo ran >$LEPTON_ATTEMPT_DIR/ran"))

    assert executor.running() == frozenset()
    assert end(executor, command("a", "true")).outcome == Outcome.COMPLETED
    assert not list(executor.attempts("a")[0].glob("ran"))


def test_ends_are_placed_on_the_schedulers_clock(executor: LocalExecutor) -> None:
    begin(executor, command("a", "true"), now_us=1_000)
    assert executor.wait(PATIENCE_S)
    time.sleep(0.01)

    assert executor.completions(2_000)[0].end_us == 1_000  # it cannot be before its start
    begin(executor, command("b", "true"), now_us=5_000)
    assert executor.wait(PATIENCE_S)
    time.sleep(0.01)
    late_us = 10**15
    end_us = executor.completions(late_us)[0].end_us
    assert late_us - 10**6 * PATIENCE_S < end_us <= late_us - 10_000


def test_waiting(executor: LocalExecutor) -> None:
    assert executor.next_completion_us() is None
    assert not executor.wait(0)
    begin(executor, shell("a", FOREVER))
    began = time.monotonic()
    assert not executor.wait(0.05)
    assert time.monotonic() - began >= 0.05
    assert executor.next_completion_us() is None

    executor.stop("a", 0)

    assert executor.wait(float("inf"))
    assert executor.wait(0)  # it stays ready until it is told
    ends(executor, 1)
    assert not executor.wait(0)


def test_close_wakes_who_waits(tmp_path: Path) -> None:
    executor = LocalExecutor(tmp_path)
    answers: list[bool] = []
    waiting = [threading.Thread(target=lambda: answers.append(executor.wait(60))) for _ in range(2)]
    for thread in waiting:
        thread.start()

    executor.close(stop_running=False)
    for thread in waiting:
        thread.join(PATIENCE_S)

    assert answers == [False, False]
    assert not executor.wait(60)


def test_a_closed_executor_says_so(tmp_path: Path) -> None:
    executor = LocalExecutor(tmp_path)
    executor.close(stop_running=False)
    executor.close(stop_running=True)

    for call in (
        lambda: begin(executor, command("a", "true")),
        lambda: executor.stop("a", 0),
        lambda: executor.completions(0),
    ):
        with pytest.raises(ExecutorError, match="closed"):
            call()


def test_many_threads(executor: LocalExecutor) -> None:
    told: list[Completion] = []

    def start(first: int) -> None:
        for n in range(first, first + 5):
            begin(executor, shell(f"t{n}", f"exit {n}"))

    def collect() -> None:
        deadline = time.monotonic() + PATIENCE_S
        while len(told) < 20 and time.monotonic() < deadline:
            executor.wait(0.05)
            told.extend(executor.completions(1))

    threads = [threading.Thread(target=start, args=(5 * n,)) for n in range(4)]
    threads += [threading.Thread(target=collect) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(2 * PATIENCE_S)

    assert sorted((each.task_id, each.exit_code) for each in told) == sorted(
        (f"t{n}", n) for n in range(20)
    )


def test_no_files_stay_open_and_no_zombies_stay(tmp_path: Path) -> None:
    before = open_files()
    executor = LocalExecutor(tmp_path)
    end(executor, command("warm-up", "true"))
    running = open_files()
    for n in range(10):
        begin(executor, shell(f"t{n}", "exit 1", num_replicas=2))
    ends(executor, 10)

    assert open_files() == running
    launcher = int(children_of(os.getpid())[-1])
    until(lambda: children_of(launcher) == [])
    executor.close(stop_running=True)
    assert open_files() == before
    assert not is_alive(launcher)


def test_the_launcher_may_die(executor: LocalExecutor) -> None:
    begin(executor, shell("before", f"trap 'exit 4' TERM; echo $$; {FOREVER}"))
    until_written(executor, "before")
    launcher = executor._launcher._process
    assert launcher is not None
    launcher.kill()
    until(lambda: not is_alive(launcher.pid))

    assert end(executor, shell("after", "exit 6")).exit_code == 6
    executor.stop("before", 0)
    assert ends(executor, 1)["before"].exit_code == 4


def test_a_supervisor_that_is_told_to_terminate_ends_its_task(executor: LocalExecutor) -> None:
    begin(executor, shell("a", f"echo $PPID; {FOREVER}"))
    os.kill(int(until_written(executor, "a")[0]), signal.SIGTERM)

    told = ends(executor, 1)["a"]

    assert (told.outcome, told.exit_code) == (Outcome.FAILED, -signal.SIGTERM)
    assert told.detail == "its supervisor was told to terminate (SIGTERM)"


def test_the_launcher_loads_no_library(executor: LocalExecutor) -> None:
    """Each supervisor is a copy of it."""
    end(executor, command("a", "true"))
    launcher = executor._launcher._process
    assert launcher is not None
    maps = Path(f"/proc/{launcher.pid}/maps").read_text()

    assert "site-packages" not in maps
