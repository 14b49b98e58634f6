"""Tasks as real processes of this machine, under the shipped policy behind a guard. Linux only.

python examples/real_processes.py
"""

from __future__ import annotations

import sys
import tempfile

from lepton_rl import Cluster, Node, Scheduler, Task, heuristic, load_policy
from lepton_rl.integrations.local import LocalExecutor
from lepton_rl.policies.guard import GuardedPolicy


def main() -> None:
    """Run five short programs two at a time; print how each ended."""
    cluster = Cluster((Node("this-machine", {"cpu": 2}),))
    policy = GuardedPolicy(load_policy("hpc"), heuristic("fcfs+easy"))
    with tempfile.TemporaryDirectory() as folder:
        scheduler = Scheduler(cluster, policy, LocalExecutor(folder))
        scheduler.start()
        for number in range(5):
            code = f"print(sum(range({number}000)))"
            command = (sys.executable, "-c", code)
            scheduler.submit(Task(f"sum-{number}", {"cpu": 1}, 10, command=command))
        states = {f"sum-{n}": scheduler.wait(f"sum-{n}", timeout_s=120) for n in range(5)}
        scheduler.stop()
    for name, state in states.items():
        print(f"{name}: {state.name}")
    print(f"decided by the policy: {policy.counts().get('policy-decided', 0) > 0}")


if __name__ == "__main__":
    main()
