"""Which order serves a workload best, and what its longest waits are.

    python examples/compare_heuristics.py [WORKLOAD]

WORKLOAD is a trace or an `.npz` file (docs/workloads.md); without it, a small one is generated.
"""

from __future__ import annotations

import sys

from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.evaluate import evaluate, heldout
from lepton_rl.policies.registry import rule_of
from lepton_rl.workloads.sources import open_workload

ORDERS = ("fcfs", "sjf", "saf", "f4")


def main() -> None:
    """Print a line for each order and backfilling rule, the best first."""
    if len(sys.argv) > 1:
        workload = open_workload(sys.argv[1])
    else:
        workload = open_workload("lublin", processors=64, settings={"num_tasks": 3000, "load": 0.9})
    rows = []
    for backfill in (Backfill.NONE, Backfill.EASY):
        protocol = heldout(workload, length=128, backfill=backfill)
        evaluation = evaluate(protocol, workload, {name: rule_of(name) for name in ORDERS})
        for result in evaluation.comparisons[0][1].results:
            slowdown = result.figure("mean_bounded_slowdown")
            rows.append((slowdown, result.figure("max_wait_s") / 3600, result.name, backfill.name))
    print("mean bounded slowdown  longest wait  order")
    for slowdown, longest_h, name, backfill_name in sorted(rows):
        print(f"{slowdown:21.2f}  {longest_h:10.1f} h  {name} + {backfill_name.lower()}")


if __name__ == "__main__":
    main()
