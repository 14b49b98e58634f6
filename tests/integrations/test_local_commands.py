"""What a command gets: arguments, environment, limits, files; and what is kept of it."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from pathlib import Path

import pytest

from lepton_rl.core.errors import ExecutorError
from lepton_rl.core.tasks import Task
from lepton_rl.integrations.local import LocalExecutor, LocalSettings
from lepton_rl.system import Outcome
from tests.integrations.commands import begin, command, end, ends, output, shell


@pytest.fixture(scope="module")
def executor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalExecutor]:
    """One for all tests here: each waits for its tasks, and looks at their last attempts."""
    made = LocalExecutor(tmp_path_factory.mktemp("run"))
    yield made
    made.close(stop_running=True)


def test_success(executor: LocalExecutor) -> None:
    told = end(executor, command("a", "true"))

    assert (told.outcome, told.exit_code, told.detail) == (Outcome.COMPLETED, 0, "")


def test_an_exit_code_that_is_not_0_is_a_failure(executor: LocalExecutor) -> None:
    told = end(executor, shell("a", "exit 3"))

    assert (told.outcome, told.exit_code, told.detail) == (Outcome.FAILED, 3, "exited with 3")


def test_the_signal_that_killed_it(executor: LocalExecutor) -> None:
    told = end(executor, shell("a", "kill -SEGV $$"))

    assert (told.outcome, told.exit_code, told.detail) == (Outcome.FAILED, -11, "killed by SIGSEGV")


def test_output_is_kept_in_two_files(executor: LocalExecutor) -> None:
    end(executor, shell("a", "echo to out; echo to err >&2"))

    assert output(executor, "a") == "to out\n"
    assert output(executor, "a", "stderr") == "to err\n"


def test_each_attempt_has_its_own_directory(executor: LocalExecutor) -> None:
    for _ in range(2):
        end(executor, shell("twice", "echo $LEPTON_ATTEMPT $LEPTON_ATTEMPT_DIR"))

    first, second = executor.attempts("twice")
    assert (first / "stdout").read_text() == f"1 {first}\n"
    assert (second / "stdout").read_text() == f"2 {second}\n"


def test_no_shell_sees_the_arguments(executor: LocalExecutor) -> None:
    arguments = ["$(touch bad)", "; touch bad", "*", "", "a b", "ü\n", "'\"\\"]

    end(executor, command("a", "printf", "%s|", *arguments))

    assert output(executor, "a") == "|".join(arguments) + "|"


def test_bytes_that_are_no_text_pass_unchanged(executor: LocalExecutor) -> None:
    end(executor, command("a", "printf", "%s", os.fsdecode(b"\xff\xfe")))

    assert (executor.attempts("a")[-1] / "stdout").read_bytes() == b"\xff\xfe"


def test_the_environment_tells_who_and_where_it_is(
    executor: LocalExecutor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INHERITED", "1")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")
    task = shell(
        "a/ü",
        'echo "$LEPTON_TASK_ID $LEPTON_REPLICA/$LEPTON_NUM_REPLICAS on $LEPTON_NODES'
        ' $INHERITED $OWN $CUDA_VISIBLE_DEVICES"',
        num_replicas=2,
        environment={"OWN": "x=y", "LEPTON_TASK_ID": "somebody else"},
    )

    executor.start(task, (4, 2), 0)
    ends(executor, 1)

    assert output(executor, "a/ü") == "a/ü 0/2 on 4,2 1 x=y 7\n"
    assert output(executor, "a/ü", "stdout.1") == "a/ü 1/2 on 4,2 1 x=y 7\n"


def test_only_its_own_cards_are_visible(tmp_path: Path) -> None:
    settings = LocalSettings(
        device_variables={"gpu": ("CUDA_VISIBLE_DEVICES", "GPUS"), "fpga": ("FPGAS",)},
        cards_of_node={2: {"gpu": (4, 5)}},
    )
    executor = LocalExecutor(tmp_path, settings)
    script = "echo [$CUDA_VISIBLE_DEVICES] [$GPUS] [$FPGAS] $CUDA_DEVICE_ORDER"
    task = shell("a", script, num_replicas=3, environment={"CUDA_VISIBLE_DEVICES": "9"})

    executor.start(task, (0, 0, 2), 0, cards=[{"gpu": (3, 1), "fpga": (0,)}, {}, {"gpu": (1,)}])
    ends(executor, 1)

    assert output(executor, "a") == "[3,1] [3,1] [0] PCI_BUS_ID\n"
    assert output(executor, "a", "stdout.1") == "[] [] [] PCI_BUS_ID\n"
    assert output(executor, "a", "stdout.2") == "[5] [5] [] PCI_BUS_ID\n"
    with pytest.raises(ExecutorError, match="node 2: expected the numbers of at least 3 cards"):
        executor.start(command("b", "true"), (2,), 0, cards=[{"gpu": (2,)}])
    executor.close(stop_running=True)


def test_it_runs_in_its_working_directory(executor: LocalExecutor, tmp_path: Path) -> None:
    folder = tmp_path / "with blank"
    folder.mkdir()
    begin(executor, command("there", "pwd", working_directory=str(folder)), command("here", "pwd"))
    ends(executor, 2)

    assert output(executor, "there") == f"{folder}\n"
    assert output(executor, "here") == f"{Path.cwd()}\n"


def test_a_relative_program_is_sought_in_the_working_directory(
    executor: LocalExecutor, tmp_path: Path
) -> None:
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\necho found\n")
    program.chmod(0o755)

    told = end(executor, command("a", "./program", working_directory=str(tmp_path)))

    assert (told.exit_code, output(executor, "a")) == (0, "found\n")


@pytest.mark.parametrize(
    ("program", "mode", "exit_code", "detail"),
    [
        ("missing", None, 127, "cannot run '{}': No such file or directory"),
        ("plain", 0o644, 126, "cannot run '{}': Permission denied"),
        ("no-format", 0o755, 126, "cannot run '{}': Exec format error"),
    ],
)
def test_a_program_that_cannot_be_run(
    executor: LocalExecutor,
    tmp_path: Path,
    program: str,
    mode: int | None,
    exit_code: int,
    detail: str,
) -> None:
    path = tmp_path / program
    if mode is not None:
        path.write_text("echo no shell runs this\n")
        path.chmod(mode)

    told = end(executor, command("a", str(path)))

    assert (told.outcome, told.exit_code) == (Outcome.FAILED, exit_code)
    assert told.detail == detail.format(path)


def test_a_program_that_is_not_on_the_path(executor: LocalExecutor) -> None:
    told = end(executor, command("a", "no-such-program"))

    assert told.detail == "cannot run 'no-such-program': No such file or directory"


def test_a_working_directory_that_is_not_there(executor: LocalExecutor) -> None:
    told = end(executor, command("a", "true", working_directory="/no/such"))

    assert (told.outcome, told.exit_code) == (Outcome.FAILED, 126)
    assert told.detail == "cannot enter working directory '/no/such': No such file or directory"


def test_memory_is_limited_to_the_demand(executor: LocalExecutor) -> None:
    script = "ulimit -v"
    begin(
        executor,
        shell("limited", script, demand={"cpu": 1, "memory": 0.5}),
        shell("without", script),
        shell("cuda", script, demand={"memory": 0.5, "gpu": 1}),
    )
    ends(executor, 3)

    assert output(executor, "limited") == "524288\n"
    assert output(executor, "without") == output(executor, "cuda") == "unlimited\n"


def test_too_much_memory_is_refused_to_it(executor: LocalExecutor) -> None:
    task = command("a", "dd", "bs=200M", "count=1", "if=/dev/zero", demand={"memory": 0.1})

    told = end(executor, task)

    assert (told.outcome, told.exit_code) == (Outcome.FAILED, 1)
    assert "memory exhausted" in output(executor, "a", "stderr")


def test_the_limit_of_memory_can_be_off(tmp_path: Path) -> None:
    executor = LocalExecutor(tmp_path, LocalSettings(limit_memory=False))

    end(executor, shell("a", "ulimit -v", demand={"memory": 0.5}))

    assert output(executor, "a") == "unlimited\n"
    executor.close(stop_running=True)


def test_nodes_can_be_sets_of_cpus(tmp_path: Path) -> None:
    cpu = min(os.sched_getaffinity(0))
    executor = LocalExecutor(tmp_path, LocalSettings(cpus_of_node={1: (cpu,)}))
    script = "grep Cpus_allowed_list /proc/self/status"
    task = shell("a", script, num_replicas=2)

    executor.start(task, (0, 1), 0)
    executor.start(shell("b", script), (1,), 0)
    ends(executor, 2)

    pinned = f"Cpus_allowed_list:\t{cpu}\n"
    assert output(executor, "a", "stdout.1") == output(executor, "b") == pinned
    executor.close(stop_running=True)


def test_cpus_that_are_not_there(tmp_path: Path) -> None:
    executor = LocalExecutor(tmp_path, LocalSettings(cpus_of_node={0: (4000,)}))

    assert end(executor, command("a", "true")).detail.startswith("cannot use CPUs [4000]: ")
    executor.close(stop_running=True)


def test_it_inherits_no_open_files(executor: LocalExecutor) -> None:
    end(executor, shell("a", "ls /proc/self/fd; readlink /proc/self/fd/0"))

    assert output(executor, "a").split() == ["0", "1", "2", "3", "/dev/null"]  # 3 is ls's own


def test_it_inherits_no_blocked_or_ignored_signals(executor: LocalExecutor) -> None:
    end(executor, command("a", "grep", "-E", "Sig(Blk|Ign)", "/proc/self/status"))

    # Signals 32 and 33 are glibc's own: it lets no program change them, so they are as whoever
    # started us had them.
    reserved = 0b11 << 31
    blocked, ignored = output(executor, "a").split()[1::2]
    assert int(blocked, 16) & ~reserved == 0
    assert int(ignored, 16) & ~reserved == 0


def test_it_keeps_our_limit_of_open_files(executor: LocalExecutor) -> None:
    end(executor, shell("a", "ulimit -Sn"))

    assert output(executor, "a") == f"{resource.getrlimit(resource.RLIMIT_NOFILE)[0]}\n"


def test_long_output_keeps_its_beginning_and_its_end(tmp_path: Path) -> None:
    executor = LocalExecutor(tmp_path, LocalSettings(output_limit_mib=0.001))  # 1048 bytes

    end(executor, shell("a", "seq 1 100000"))

    kept = output(executor, "a")
    assert kept.startswith("1\n2\n3\n")
    assert kept.endswith("\n99999\n100000\n")
    assert "[... 587847 bytes left out ...]" in kept
    assert len(kept) < 1100
    assert sorted(path.name for path in executor.attempts("a")[0].iterdir()) == [
        "exit_status",
        "stderr",
        "stdout",
    ]
    executor.close(stop_running=True)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"command": ()}, "has no command"),
        ({"num_replicas": 3}, "expected 3 nodes, got 1"),
        ({"command": ("echo", "a\0b")}, "zero character"),
        ({"command": ("echo", "\ud800")}, "surrogates not allowed"),
        ({"environment": {"A=B": "1"}}, "'A=B' is no name"),
        ({"working_directory": "/tmp\0"}, "zero character"),
    ],
)
def test_what_no_process_can_be_given(
    executor: LocalExecutor, fields: dict[str, object], message: str
) -> None:
    task = Task("never", {"cpu": 1}, 10, **{"command": ("true",), **fields})

    with pytest.raises(ExecutorError, match=message):
        executor.start(task, (0,), 0)
    assert executor.running() == frozenset()
    assert executor.attempts("never") == []


def test_cards_of_another_number_of_replicas(executor: LocalExecutor) -> None:
    with pytest.raises(ExecutorError, match="cards of 1 replicas, got 2"):
        executor.start(command("a", "true"), (0,), 0, cards=[{"gpu": (0,)}, {"gpu": (1,)}])
