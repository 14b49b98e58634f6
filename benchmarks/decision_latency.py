"""How long one decision of a learned policy takes, on one core.

    python benchmarks/decision_latency.py [--policy FILE] [--rounds 2000] [--json]

Three parts, taken in turn so that all see the same machine: the network alone (ONNX Runtime, one
thread, bound arrays), from view to decision, and the same behind a guard. Times are microseconds.
The first decisions of each are not counted. Without `--policy`, untrained networks of the usual
widths (32, 32) are measured: weights do not matter for the time.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

import numpy as np
import torch

from lepton_rl import Cluster, Node, Scheduler, Task, heuristic, load_policy
from lepton_rl.core.tables import View
from lepton_rl.encoding.features import CLUSTER_FEATURES, NODE_FEATURES, TASK_FEATURES
from lepton_rl.policies.guard import GuardedPolicy, GuardSettings
from lepton_rl.policies.learned import LearnedPolicy

Network = Literal["priority", "two-tower"]
SIZES: dict[Network, tuple[tuple[int, int], ...]] = {
    "priority": ((64, 16), (256, 1000)),
    "two-tower": ((64, 16), (256, 1000)),
}
"""Pending tasks and nodes that each network is measured with."""
WARM_UP = 20


def view_of(pending: int, nodes: int) -> View:
    """Every node has half of its cards free; the first in line wants all of one, the others few."""
    rng = np.random.default_rng(0)
    capacity = {"cpu": 64, "memory": 512, "gpu": 8}
    cluster = Cluster(tuple(Node(f"n{m}", capacity, device_model="A100") for m in range(nodes)))
    system = Scheduler(cluster, heuristic("fcfs+least-loaded"))
    for number in range(nodes + pending):
        waits = number >= nodes
        cards = 8 if number == nodes else int(rng.integers(1, 5)) if waits else 4
        seconds = float(rng.integers(10, 5000)) + (0.0 if waits else 1e5)
        demand = {"cpu": float(rng.integers(1, 8)), "memory": 4.0, "gpu": cards}
        submit_s = 100.0 if waits else 0.0
        system.submit(Task(f"t{number}", demand, seconds, submit_s, run_time_s=seconds))
    system.run_until(200.0)
    view = system.assess()
    assert int(view.status["num_pending"][0]) == pending
    return view


def parts_of(policy: LearnedPolicy, view: View) -> dict[str, Callable[[], object]]:
    """What is measured."""
    policy.decide(view)
    obs = policy.observed
    assert obs is not None
    guard = GuardedPolicy(policy, heuristic("fcfs"), GuardSettings(budget_us=1e9))
    return {
        "network": policy.artifact.bound_to(obs),
        "decision": lambda: policy.decide(view),
        "guarded decision": lambda: guard.decide(view),
    }


def measure(parts: dict[str, Callable[[], object]], rounds: int) -> dict[str, dict[str, float]]:
    """Shortest, median and 99th percentile of each part, in us."""
    taken = np.empty((len(parts), rounds))
    gc.disable()
    for turn in range(-WARM_UP, rounds):
        for part, call in enumerate(parts.values()):
            began_ns = time.perf_counter_ns()
            call()
            if turn >= 0:
                taken[part, turn] = (time.perf_counter_ns() - began_ns) / 1000
    gc.enable()
    shortest, median, late = np.percentile(taken, (0, 50, 99), axis=1)
    return {
        name: {"min_us": shortest[part], "p50_us": median[part], "p99_us": late[part]}
        for part, name in enumerate(parts)
    }


def untrained(network: Network, folder: Path) -> Path:
    """A policy file with a network of this kind and of the usual widths."""
    from lepton_rl.agents.config import PPOConfig
    from lepton_rl.agents.registry import network_of
    from tests.trained import write_policy

    torch.manual_seed(0)
    config = PPOConfig(network=network, hidden=(32, 32))
    widths = len(TASK_FEATURES), len(NODE_FEATURES), len(CLUSTER_FEATURES), 0
    return write_policy(folder / f"{network}.onnx", network_of(config, widths))


def measure_all(given: Path | None, rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    """Each size of each network, or of the given policy file."""
    found = {}
    with TemporaryDirectory() as folder:
        for network in SIZES if given is None else ("priority",):
            path = given or untrained(network, Path(folder))
            for pending, nodes in SIZES[network]:
                parts = parts_of(load_policy(path), view_of(pending, nodes))
                name = f"{network if given is None else path.stem} {pending} x {nodes}"
                found[name] = measure(parts, rounds)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--policy", type=Path)
    parser.add_argument("--rounds", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found = measure_all(options.policy, options.rounds)
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for size, parts in found.items():
        for name, times in parts.items():
            figures = "  ".join(f"{key[:-3]} {value:7.1f}" for key, value in times.items())
            print(f"{size:22}{name:18}{figures}  us")


if __name__ == "__main__":
    main()
