"""A learned policy as a contender, driven by the compiled simulator."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from lepton_rl.core.nodes import Cluster
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.rules.placement import Place
from lepton_rl.core.schedule import Schedule
from lepton_rl.core.tables import View
from lepton_rl.evaluate.contenders import check_backfill
from lepton_rl.sim.batch import episode_rule
from lepton_rl.sim.replay import replay_heads
from lepton_rl.sim.world import World
from lepton_rl.workloads.workload import Workload

__all__ = ["HeadPolicy", "LearnedContender"]


class HeadPolicy(Protocol):
    """A policy that names the task that comes first, such as `LearnedPolicy`."""

    name: str
    place: Place
    may_wait: bool
    chooses_nodes: bool

    def head(self, view: View) -> int:
        """Local index of the task that comes first, or WAIT."""
        ...

    def node(self, view: View, local: int, replica: int) -> int:
        """The node for the next replica of that task; asked only if `chooses_nodes`."""
        ...


@dataclass(frozen=True, slots=True)
class LearnedContender:
    """A learned policy under evaluation.

    Attributes:
        name: for tables.
        policy: names the task that comes first; the rules do the rest.
    """

    name: str
    policy: HeadPolicy

    @property
    def fingerprint(self) -> str:
        """What its schedules depend on; "" if the policy has no checksum."""
        checksum = getattr(getattr(self.policy, "artifact", None), "sha256", "")
        rules = f"{self.policy.place.name} {self.policy.may_wait}"
        return f"policy {checksum} {rules}" if checksum else ""

    def schedule(
        self,
        window: Workload,
        cluster: Cluster,
        backfill: Backfill,
        world: World | None = None,
    ) -> Schedule:
        """See `Contender.schedule`; `world` is what happens beside arrivals and ends.

        Raises:
            StateError: a task can never start on this cluster.
        """
        check_backfill(backfill, blocking=False)
        policy = self.policy
        rule = episode_rule(
            policy.place, backfill, may_wait=policy.may_wait, choose_nodes=policy.chooses_nodes
        )
        return replay_heads(
            window.tasks, window.run_us, cluster, policy.head, rule, policy.node, world
        )
