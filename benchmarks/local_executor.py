"""How many tasks a second the local executor starts, and what a running one costs.

python benchmarks/local_executor.py [TASKS]
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from lepton_rl.core.tasks import Task
from lepton_rl.integrations.local import LocalExecutor


def main() -> None:
    """Print one line for each measurement."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 200
    load, cpus = os.getloadavg()[0], len(os.sched_getaffinity(0))
    print(f"{cpus} CPUs, load {load:.1f} before")
    with tempfile.TemporaryDirectory() as folder:
        executor = LocalExecutor(folder)
        _run(executor, "warm-up", ("true",), 1)
        _run(executor, "true", ("true",), count)
        _run(executor, "sleep", ("sleep", "1000"), count)
        executor.close(stop_running=True)


def _run(executor: LocalExecutor, name: str, command: tuple[str, ...], count: int) -> None:
    tasks = [Task(f"{name}-{n}", {"cpu": 1}, 10, command=command) for n in range(count)]
    latencies_s = []
    began = time.perf_counter()
    for task in tasks:
        before = time.perf_counter()
        executor.start(task, (0,), 0)
        latencies_s.append(time.perf_counter() - before)
    started = time.perf_counter()
    note = ""
    if name == "sleep":
        note = f", {_private_kib() / count:.0f} KiB of its own for each supervisor"
        for task in tasks:
            executor.stop(task.id, 0)
    left = count
    while left:
        executor.wait(10)
        left -= len(executor.completions(1))
    ended = time.perf_counter()
    latencies_s.sort()
    median_ms, p99_ms = (latencies_s[int(share * count)] * 1e3 for share in (0.5, 0.99))
    print(
        f"{name}: {count / (started - began):.0f} starts/s (median {median_ms:.1f} ms,"
        f" p99 {p99_ms:.1f} ms), all told {ended - began:.2f} s after the first start{note}"
    )


def _private_kib() -> int:
    """Memory that belongs to the supervisors alone; they are children of the launcher."""
    me = os.getpid()
    (launcher,) = Path(f"/proc/{me}/task/{me}/children").read_text().split()
    supervisors = Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split()
    total = 0
    for pid in supervisors:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Private_"):
                total += int(line.split()[1])
    return total


if __name__ == "__main__":
    main()
