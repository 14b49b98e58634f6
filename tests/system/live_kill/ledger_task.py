"""The command of every task: it tells a ledger that it runs, and bars its own door meanwhile.

    python ledger_task.py FOLDER SECONDS SECONDS_TO_STOP EXIT_CODE FAILS_AT_FIRST DEMAND

It imports nothing of ours, so what it tells is evidence that no scheduler has made. Each line is
one write at the end of FOLDER/ledger: what, task, attempt, replica, process, nanoseconds since
boot, node, cards, demand. A second run of the same replica finds the lock taken and says so.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import time

FAILED, FOUND_TWICE = 3, 99


class StopError(Exception):
    """SIGTERM."""


def tell(folder: str, what: str, demand: str) -> None:
    name = os.environ.get
    replica = int(name("LEPTON_REPLICA", "0"))
    node = name("LEPTON_NODES", "").split(",")[replica]
    who = (name("LEPTON_TASK_ID"), name("LEPTON_ATTEMPT"), replica, os.getpid())
    cards = "cards=" + name("CUDA_VISIBLE_DEVICES", "?")
    words = (what, *who, time.clock_gettime_ns(time.CLOCK_BOOTTIME), node, cards, demand)
    ledger = os.open(f"{folder}/ledger", os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(ledger, (" ".join(map(str, words)) + "\n").encode())
    os.close(ledger)


def stop(number: int, frame: object) -> None:
    raise StopError


def main() -> int:
    folder, seconds, seconds_to_stop, exit_code, fails_at_first, demand = sys.argv[1:]
    door = f"{folder}/doors/{os.environ['LEPTON_TASK_ID']}.{os.environ['LEPTON_REPLICA']}"
    lock = os.open(door, os.O_WRONLY | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        tell(folder, "twice", demand)
        return FOUND_TWICE
    code = int(exit_code)
    try:
        signal.signal(signal.SIGTERM, stop)
        tell(folder, "start", demand)
        time.sleep(float(seconds))
        if fails_at_first == "yes" and os.environ["LEPTON_ATTEMPT"] == "1":
            code = FAILED
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        tell(folder, "done" if code == 0 else "failed", demand)
    except StopError:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(float(seconds_to_stop))
        tell(folder, "stopped", demand)
        return 128 + signal.SIGTERM
    return code


if __name__ == "__main__":
    sys.exit(main())
