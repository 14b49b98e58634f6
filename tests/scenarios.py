"""Random clusters and tasks of every sort, for tests that compare or check whole schedules."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lepton_rl.core.errors import InfeasibleTaskError
from lepton_rl.core.intake import Intake
from lepton_rl.core.nodes import Cluster, Node
from lepton_rl.core.tasks import Task

LABELS = ("eu", "trusted")
MODELS = ("A100", "T4")
TENANTS = ("", "ada", "ben", "cleo")
CLASSES = ("", "training", "serving")
# Every kind, label and model is there, so shapes, and with them the compiled code, are the same.
FIXED_NODES = (
    Node(
        "big",
        {"cpu": 8, "memory": 16, "gpu": 2, "fpga": 1},
        "A100",
        frozenset(LABELS),
        {"training": 2.0, "serving": 0.7},
    ),
    Node("plain", {"cpu": 6, "memory": 8}, "", frozenset({"eu"}), {"serving": 1.5}),
    Node("small", {"cpu": 4, "memory": 4, "gpu": 1}, "T4", frozenset({"trusted"})),
)


def random_cluster(rng: np.random.Generator) -> Cluster:
    """The fixed nodes and up to three more."""
    more = []
    for index in range(rng.integers(0, 4)):
        capacity = {"cpu": int(rng.integers(2, 9)), "memory": int(rng.integers(0, 17))}
        capacity["gpu"] = int(rng.integers(0, 3))
        labels = frozenset(label for label in LABELS if rng.random() < 0.5)
        model = str(rng.choice(MODELS)) if capacity["gpu"] else ""
        more.append(Node(f"more{index}", capacity, model, labels))
    return Cluster((*FIXED_NODES, *more))


def random_tasks(rng: np.random.Generator, cluster: Cluster, count: int) -> list[Task]:
    """`count` tasks that the cluster can hold, by submit time.

    Times are small whole seconds, so that many events fall on the same instant; estimates are
    exact, too low or too high in equal parts. What concerns users (tenants, deadlines, classes,
    preemption) is drawn apart: it leaves all other draws of a seed as they are.
    """
    intake, tasks = Intake(cluster), list[Task]()
    concerns = rng.spawn(1)[0]
    now = 0
    while len(tasks) < count:
        task = _random_task(rng, f"t{len(tasks)}", now)
        try:
            intake.table([task])
        except InfeasibleTaskError:
            continue
        tasks.append(_with_concerns(concerns, task))
        now += int(rng.choice((0, 0, 1, 2, 5)))
    return tasks


def _random_task(rng: np.random.Generator, name: str, submit_s: int) -> Task:
    demand: dict[str, float] = {"cpu": float(rng.choice((0.25, 0.5, 1, 2, 4, 6)))}
    if rng.random() < 0.5:
        demand["memory"] = float(rng.choice((0.5, 1, 4, 8)))
    if rng.random() < 0.4:
        demand["gpu"] = float(rng.choice((0.2, 0.334, 0.5, 1, 1, 2)))
    if rng.random() < 0.05:
        demand["fpga"] = float(rng.choice((0.5, 1)))
    run_s = int(rng.integers(1, 20))
    factor = rng.choice((0.5, 1, 1, 3))
    return Task(
        name,
        demand,
        requested_time_s=max(1.0, float(int(run_s * factor))),
        submit_time_s=float(submit_s),
        run_time_s=float(run_s),
        num_replicas=int(rng.choice((1, 1, 1, 2, 3, 5))),
        urgency=float(rng.integers(0, 10)),
        critical=bool(rng.random() < 0.15),
        required_labels=frozenset(label for label in LABELS if rng.random() < 0.1),
        device_models=frozenset(m for m in MODELS if "gpu" in demand and rng.random() < 0.2),
        exclusive_node=bool(rng.random() < 0.1),
    )


def _with_concerns(rng: np.random.Generator, task: Task) -> Task:
    """The task with what its user cares about; its speed changes with its class and nodes."""
    slack_s = task.requested_time_s * float(rng.choice((0.5, 1, 2, 4)))
    return replace(
        task,
        tenant=str(rng.choice(TENANTS)),
        task_class=str(rng.choice(CLASSES)),
        deadline_s=task.submit_time_s + slack_s if rng.random() < 0.5 else None,
        preemptible=bool(rng.random() < 0.5),
        checkpoint_interval_s=float(rng.choice((0.7, 2, 5))) if rng.random() < 0.5 else None,
    )
