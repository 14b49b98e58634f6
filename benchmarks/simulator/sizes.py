"""The three sizes that are measured, and a workload for each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lepton_rl import Cluster, Node, Task
from lepton_rl.core.intake import Intake
from lepton_rl.core.tables import Records
from lepton_rl.sim.batch import BatchSimulator, episode_rule

CORES = 16
"""Of one node."""
NUM_TASKS = 4096
LOAD = 3.0
"""What tasks ask for over what the cluster has, so that windows fill up."""


@dataclass(frozen=True)
class Size:
    """A cluster, a window and an episode.

    Attributes:
        name: slots x nodes.
        slots: of the window.
        nodes: of the cluster.
        cores: of each node.
        episode_tasks: tasks of an episode.
        largest_gang: nodes that a task may ask for.
    """

    name: str
    slots: int
    nodes: int
    cores: int
    episode_tasks: int
    largest_gang: int

    def work(self) -> tuple[Records, np.ndarray, Cluster]:
        """Tasks that ask for `LOAD` times what the cluster has, their run times, the cluster."""
        rng = np.random.default_rng(0)
        nodes = tuple(Node(f"n{index}", {"cpu": self.cores}) for index in range(self.nodes))
        cluster = Cluster(nodes)
        cores = rng.integers(1, max(2, min(self.cores, 64)) + 1, NUM_TASKS)
        replicas = rng.integers(1, self.largest_gang + 1, NUM_TASKS)
        run_s = np.ceil(rng.lognormal(6.0, 1.2, NUM_TASKS))
        work = float(np.mean(cores * replicas * run_s))
        gap_s = work / (LOAD * self.nodes * self.cores)
        submit_s = np.cumsum(rng.exponential(gap_s, NUM_TASKS)).round(3)
        intake = Intake(cluster)
        sample = Task("t", {"cpu": 1}, 1.0)
        tasks = np.repeat(intake.table([sample]), NUM_TASKS)
        tasks["submit_us"] = (submit_s * 1e6).astype(np.int64)
        tasks["requested_us"] = tasks["limit_us"] = (run_s * 1.5e6).astype(np.int64)
        tasks["demand"][:, 0] = cores * 1000
        tasks["replicas"] = replicas
        tasks["size"] = cores * replicas
        return tasks, (run_s * 1e6).astype(np.int64), cluster

    def simulator(self, batch: int, num_threads: int = 1) -> BatchSimulator:
        """`batch` environments of this size; none has begun."""
        tasks, run_us, cluster = self.work()
        return BatchSimulator(
            tasks,
            run_us,
            cluster,
            batch=batch,
            episode_tasks=self.episode_tasks,
            slots=self.slots,
            rule=episode_rule(),
            num_threads=num_threads,
        )


SIZES = (
    Size("64 x 16", 64, 16, CORES, 64, 1),
    Size("128 x 1", 128, 1, 256, 256, 1),
    Size("256 x 1,000", 256, 1000, CORES, 256, 62),
)
