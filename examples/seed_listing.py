"""The listing of the seed document, in a form that runs.

Three resources with loads 20/50, 40/100 and 30/80, and three tasks with a time requirement and an
urgency; then a critical task that fits nowhere, for which a resource is held. The printed figures
are those of the seed's formulas; where its text says otherwise (it chooses R1, prints a reservation
of 55 and a priority of 9), the text has slipped.

    python examples/seed_listing.py
"""

from __future__ import annotations

from lepton_rl import Cluster, Node, Scheduler, Task, heuristic
from lepton_rl.core.rules.lepton import priority, reserve_amount

TOTAL = {"R1": 50, "R2": 100, "R3": 80}
ALLOCATED = {"R1": 20, "R2": 40, "R3": 30}
ALPHA = BETA = 0.5
TASKS = (
    Task("T1", {"cpu": 20}, 10, submit_time_s=1, run_time_s=10, urgency=2),
    Task("T2", {"cpu": 60}, 5, submit_time_s=1, run_time_s=5, urgency=3),
    Task("T3", {"cpu": 15}, 15, submit_time_s=1, run_time_s=15, urgency=1),
)
CRITICAL = Task("T4", {"cpu": 90}, 8, submit_time_s=2, run_time_s=8, critical=True)


def busy_cluster() -> Scheduler:
    """A scheduler by the Lepton rules whose resources carry the seed's loads for 60 s."""
    labels = {name: frozenset({name}) for name in TOTAL}  # so that each load can name its resource
    nodes = tuple(Node(name, {"cpu": cores}, "", labels[name]) for name, cores in TOTAL.items())
    scheduler = Scheduler(Cluster(nodes), heuristic("lepton"))
    for name, cores in ALLOCATED.items():
        load = {"cpu": cores}
        scheduler.submit(Task(name, load, 60, run_time_s=60, required_labels=labels[name]))
    scheduler.step()
    return scheduler


def main() -> None:
    """Print loads, the chosen resource, reservations, priorities, and what becomes of the tasks."""
    scheduler = busy_cluster()
    loads = scheduler.pool.loads()
    print("load C/T:     ", ", ".join(f"{name} {load:g}" for name, load in loads.items()))
    print("least loaded: ", min(loads, key=lambda name: loads[name]))
    amounts = {
        name: reserve_amount(task.demand["cpu"], TOTAL[name], ALLOCATED[name])
        for name, task in zip(TOTAL, TASKS, strict=True)
    }
    print("reservation:  ", ", ".join(f"{name} {amount:g}" for name, amount in amounts.items()))
    priorities = {
        task.id: priority(task.requested_time_s, task.urgency, ALPHA, BETA, 0.0, 0.0)
        for task in TASKS
    }
    print("priority:     ", ", ".join(f"{name} {value:g}" for name, value in priorities.items()))

    scheduler.submit_all([*TASKS, CRITICAL])
    while scheduler.now_s < 2:
        scheduler.step()
    print("held at 2 s:  ", scheduler.reservations())
    scheduler.run()
    names = list(TOTAL)
    for record in scheduler.records[len(TOTAL) :]:
        start_s = (record.start_us or 0) / 1e6
        print(f"{record.task_id} started at {start_s:g} s on {names[record.nodes[0]]}")


if __name__ == "__main__":
    main()
