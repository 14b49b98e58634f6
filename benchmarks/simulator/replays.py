"""Replay of a long trace on a large cluster, in a process of its own, with its peak memory.

python -m benchmarks.simulator.replays --nodes 10000 --tasks 1000000
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from lepton_rl import Cluster, Node, Task
from lepton_rl.core.intake import Intake
from lepton_rl.policies.registry import rule_of
from lepton_rl.sim.replay import replay

__all__ = ["measure_replay"]

CORES = 64
LOAD = 0.8


def measure_replay(nodes: int, tasks: int, limit_s: float) -> dict[str, Any]:
    """Events a second (an arrival and an end a task) and peak memory; `limit_s` ends it."""
    command = [sys.executable, "-m", __spec__.name, "--nodes", str(nodes), "--tasks", str(tasks)]
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=limit_s)
    except subprocess.TimeoutExpired:
        return {"nodes": nodes, "tasks": tasks, "unfinished_after_s": limit_s}
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _peak_mib() -> float:
    """Most memory that this process has had; on Linux `getrusage` tells that of its parent too."""
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _run(num_nodes: int, num_tasks: int) -> dict[str, Any]:
    rng = np.random.default_rng(0)
    cluster = Cluster(tuple(Node(f"n{index}", {"cpu": CORES}) for index in range(num_nodes)))
    cores = rng.integers(1, CORES + 1, num_tasks)
    run_s = np.ceil(rng.lognormal(6.0, 1.2, num_tasks))
    gap_s = float(np.mean(cores * run_s)) / (LOAD * num_nodes * CORES)
    tasks = np.repeat(Intake(cluster).table([Task("t", {"cpu": 1}, 1.0)]), num_tasks)
    submit_s = np.cumsum(rng.exponential(gap_s, num_tasks))
    tasks["submit_us"] = (submit_s * 1e6).astype(np.int64)
    tasks["requested_us"] = tasks["limit_us"] = (run_s * 1e6).astype(np.int64)
    tasks["demand"][:, 0] = cores * 1000
    tasks["size"] = cores
    run_us = (run_s * 1e6).astype(np.int64)
    rule = rule_of("fcfs")
    replay(tasks[:64], run_us[:64], cluster, rule)  # compiles
    before_mib = _peak_mib()
    began = time.perf_counter()
    schedule = replay(tasks, run_us, cluster, rule)
    taken_s = time.perf_counter() - began
    assert (schedule.end_us - schedule.start_us == run_us).all(), "not all have run"
    return {
        "nodes": num_nodes,
        "tasks": num_tasks,
        "events_per_s": 2 * num_tasks / taken_s,
        "seconds": taken_s,
        "peak_mib": _peak_mib(),
        "before_mib": before_mib,
        "mean_wait_s": float((schedule.start_us - schedule.submit_us).mean() / 1e6),
    }


if __name__ == "__main__":
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--nodes", type=int, required=True)
    options.add_argument("--tasks", type=int, required=True)
    chosen = options.parse_args()
    print(json.dumps(_run(chosen.nodes, chosen.tasks)))
