"""Tasks per second through a live scheduler, from `submit` to the end that its journal holds.

    python benchmarks/live_rate.py [--tasks 5000] [--local-tasks 500] [--folder FOLDER]

The folder decides what is measured: with synchronous=full, a batch waits once for its disk. Each
measurement ends only if every task has ended once, successfully, and the journal says so too.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from lepton_rl import Cluster, Scheduler, Task, heuristic
from lepton_rl.core.tasks import TaskState
from lepton_rl.integrations.local import LocalExecutor
from lepton_rl.system import SimulatedExecutor
from lepton_rl.system.executor import Executor
from lepton_rl.system.journal import Journal, JournalSettings

CORES = 64
RUN_S = 0.01
PATIENCE_S = 600.0


def simulated(name: str, count: int) -> list[Task]:
    """Tasks of one core that run for 10 ms of the world's time."""
    return [Task(f"{name}-{n}", {"cpu": 1}, 10, run_time_s=RUN_S) for n in range(count)]


def local(name: str, count: int) -> list[Task]:
    """Tasks that run `true`."""
    return [Task(f"{name}-{n}", {"cpu": 1}, 10, command=("true",)) for n in range(count)]


@contextmanager
def scheduler_of(executor: Executor, journal: Journal | None) -> Iterator[Scheduler]:
    """A live scheduler that has warmed up."""
    scheduler = Scheduler(Cluster.pool(CORES), heuristic("fcfs"), executor, journal=journal)
    scheduler.start()
    kind = simulated if isinstance(executor, SimulatedExecutor) else local
    scheduler.submit(kind("warm-up", 1)[0])
    assert scheduler.join(PATIENCE_S)
    yield scheduler
    assert scheduler.stop(timeout_s=PATIENCE_S)


def submit_one_by_one(scheduler: Scheduler, tasks: list[Task]) -> None:
    """Four clients, each in a thread of its own, which waits for each answer."""
    with ThreadPoolExecutor(4) as clients:
        list(clients.map(scheduler.submit, tasks))


def measure(
    what: str,
    executor: Executor,
    journal: Journal | None,
    tasks: list[Task],
    submit: Callable[[Scheduler, list[Task]], None] = submit_one_by_one,
) -> None:
    """Print tasks/s from the first submission to the last end."""
    with scheduler_of(executor, journal) as scheduler:
        began = time.perf_counter()
        submit(scheduler, tasks)
        submitted = time.perf_counter()
        assert scheduler.join(PATIENCE_S)
        ended = time.perf_counter()
        states = {scheduler.state_of(task.id) for task in tasks}
        assert states == {TaskState.COMPLETED}, states
        assert not scheduler.monitor.incidents, scheduler.monitor.incidents
    if journal is not None:
        lives = [life for life in journal.history() if life.outcome == "completed"]
        assert len({life.task.id for life in lives}) == len(lives) == len(tasks) + 1
        assert not journal.recover().tasks
    count, rate = len(tasks), len(tasks) / (ended - began)
    print(f"{what:<28} {count:>6} tasks  {rate:>6.0f} tasks/s  submitted {submitted - began:.2f} s")


def disk_wait_ms(folder: Path) -> float:
    """Mean time of a write of 8 KiB and fdatasync."""
    file = os.open(folder / "probe", os.O_CREAT | os.O_WRONLY)
    begin = time.perf_counter()
    for _ in range(100):
        os.write(file, b"x" * 8192)
        os.fdatasync(file)
    os.close(file)
    return (time.perf_counter() - begin) * 10


def main() -> None:
    """Measure in a new folder below the one that was named."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--tasks", type=int, default=5000, help="with the simulated executor")
    options.add_argument("--local-tasks", type=int, default=500, help="processes")
    options.add_argument("--folder", type=Path, help="where to keep journals and output")
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory(dir=chosen.folder) as name:
        folder = Path(name)
        load, cpus = os.getloadavg()[0], len(os.sched_getaffinity(0))
        print(f"{cpus} CPUs, load {load:.1f}; a write and fdatasync: {disk_wait_ms(folder):.2f} ms")
        tasks = simulated("t", chosen.tasks)
        measure("simulated, no journal", SimulatedExecutor(), None, tasks)
        for synchronous in ("normal", "full"):
            settings = JournalSettings(synchronous=synchronous)
            with Journal.open(folder / f"simulated-{synchronous}", settings) as journal:
                what = f"simulated, {synchronous}"
                measure(what, SimulatedExecutor(), journal, tasks)
            with Journal.open(folder / f"together-{synchronous}", settings) as journal:
                what = f"simulated, {synchronous}, one list"
                measure(what, SimulatedExecutor(), journal, tasks, Scheduler.submit_all)
            with Journal.open(folder / f"local-{synchronous}", settings) as journal:
                executor = LocalExecutor(folder / f"run-{synchronous}")
                measure(f"local, {synchronous}", executor, journal, local("l", chosen.local_tasks))


if __name__ == "__main__":
    main()
