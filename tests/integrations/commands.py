"""Tasks that run small commands, and waiting for processes with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lepton_rl.core.tasks import Task
from lepton_rl.integrations.local import LocalExecutor
from lepton_rl.system import Completion

PATIENCE_S = 20.0
"""Nothing here takes a second; on a crowded machine it may."""

FOREVER = "while :; do sleep 0.02; done"
"""Ends only by force or by a signal, and quickly then."""


def command(task_id: str, *argv: str, **fields: Any) -> Task:
    """A task that runs this program; two nodes for two replicas, and so on."""
    fields.setdefault("demand", {"cpu": 1})
    fields.setdefault("requested_time_s", 100.0)
    return Task(task_id, command=argv, **fields)


def shell(task_id: str, script: str, **fields: Any) -> Task:
    """A task that runs a script of the test's own."""
    return command(task_id, "/bin/sh", "-c", script, **fields)


def nodes_of(task: Task) -> tuple[int, ...]:
    return tuple(range(task.num_replicas))


def begin(executor: LocalExecutor, *tasks: Task, now_us: int = 0) -> None:
    for task in tasks:
        executor.start(task, nodes_of(task), now_us)


def ends(executor: LocalExecutor, count: int, now_us: int = 10**9) -> dict[str, Completion]:
    """The next `count` ends, by task; each must come once."""
    found: list[Completion] = []
    deadline = time.monotonic() + PATIENCE_S
    while len(found) < count:
        executor.wait(max(0.0, deadline - time.monotonic()))
        found += executor.completions(now_us)
        assert time.monotonic() < deadline, f"{len(found)} of {count} ended: {found}"
    by_task = {each.task_id: each for each in found}
    assert len(by_task) == len(found) == count, found
    return by_task


def end(executor: LocalExecutor, task: Task) -> Completion:
    """Run one task to its end."""
    begin(executor, task)
    return ends(executor, 1)[task.id]


def until(condition: Callable[[], object]) -> None:
    """Wait for something that no call reports."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it does not come true"
        time.sleep(0.002)


def output(executor: LocalExecutor, task_id: str, name: str = "stdout") -> str:
    """What the last attempt wrote."""
    return (executor.attempts(task_id)[-1] / name).read_text()


def until_written(executor: LocalExecutor, task_id: str, name: str = "stdout") -> list[str]:
    """The words that a running task has written, at least one."""
    path = executor.attempts(task_id)[-1] / name
    until(lambda: path.exists() and path.read_text().endswith("\n"))
    return path.read_text().split()


def is_alive(pid: int | str) -> bool:
    """Whether there is such a process, dead ones that nobody has waited for left out."""
    return state_of(pid) not in ("", "Z", "X")


def state_of(pid: int | str) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
    return stat.rsplit(")", 1)[1].split()[0]


def children_of(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
