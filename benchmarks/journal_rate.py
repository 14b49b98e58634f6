"""Events per second that a journal makes durable, and how long it takes to open.

    python benchmarks/journal_rate.py [folder]

The folder decides what is measured: with synchronous=full, a batch waits once for its disk.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from lepton_rl.core.tasks import Task
from lepton_rl.system.journal import (
    Ended,
    Journal,
    JournalEvent,
    JournalSettings,
    Started,
    Starting,
    Submitted,
)


def events(name: str) -> Iterator[JournalEvent]:
    """Lives of tasks, four events each."""
    number = 0
    while True:
        task = Task(f"{name}-{number}", {"cpu": 4, "memory": 16, "gpu": 1}, 3600.0)
        yield Submitted(number, task)
        yield Starting(number, task.id, 1, ("node-17",))
        yield Started(number, task.id, 1)
        yield Ended(number, task.id, 1, "completed", 0)
        number += 1


def disk_wait_ms(folder: Path) -> float:
    """Mean time of a write of 8 KiB and fdatasync."""
    file = os.open(folder / "probe", os.O_CREAT | os.O_WRONLY)
    begin = time.perf_counter()
    for _ in range(100):
        os.write(file, b"x" * 8192)
        os.fdatasync(file)
    return (time.perf_counter() - begin) * 10


def rates(folder: Path, synchronous: str) -> None:
    """Print events/s of each size of batch."""
    with Journal.open(folder / synchronous, JournalSettings(synchronous=synchronous)) as journal:
        for size in (1, 10, 100, 1000):
            batches, source = max(10, min(300, 10_000 // size)), events(str(size))
            spent = 0.0
            for _ in range(batches):
                batch = list(islice(source, size))
                begin = time.perf_counter()
                journal.append(batch)
                spent += time.perf_counter() - begin
            rate, each_ms = batches * size / spent, spent / batches * 1e3
            print(f"{synchronous:>6}  batch {size:>4}  {rate:>8.0f} events/s  {each_ms:>7.2f} ms")


def opening(folder: Path, retain_ended: int | None) -> None:
    """Print size and time to open as the history grows."""
    place = folder / f"history-{retain_ended}"
    settings = JournalSettings(synchronous="normal", retain_ended=retain_ended)
    for tasks in (1_000, 10_000, 100_000):
        with Journal.open(place, settings) as journal:
            begun, source = journal.recover().num_finished, events(str(tasks))
            for _ in range((tasks - begun) // 250):
                journal.append(list(islice(source, 1000)))
        begin = time.perf_counter()
        with Journal.open(place, settings) as journal:
            spent_ms = (time.perf_counter() - begin) * 1e3
            size_mb = place.stat().st_size / 1e6
            finished = journal.recover().num_finished
            kept = sum(1 for _ in journal.history())
            assert finished == tasks
            assert kept >= min(tasks, finished if retain_ended is None else retain_ended)
            print(
                f"{finished:>6} finished tasks, {kept:>6} of them in full, {size_mb:>5.1f} MB:"
                f" opened in {spent_ms:.0f} ms"
            )


def main() -> None:
    """Measure in a new folder below the one that was named."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as name:
        folder = Path(name)
        print(f"a write and fdatasync: {disk_wait_ms(folder):.2f} ms")
        for synchronous in ("full", "normal"):
            rates(folder, synchronous)
        for retain_ended in (None, 10_000):
            opening(folder, retain_ended)


if __name__ == "__main__":
    main()
