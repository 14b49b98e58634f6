"""What can be evaluated: anything that schedules a window of work."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from lepton_rl.core.errors import ConfigError
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.rules.backfill import Backfill
from lepton_rl.core.rules.dispatch import DispatchRule
from lepton_rl.sim.replay import Schedule, replay
from lepton_rl.sim.world import World
from lepton_rl.workloads.workload import Workload

__all__ = ["Contender", "HeuristicContender", "check_backfill", "fingerprint_of"]


def check_backfill(backfill: Backfill, blocking: bool) -> None:
    """Refuse combinations that the rules would silently take for no backfilling.

    Raises:
        ConfigError: anything but FIXED_SHADOW under blocking rules, or that under standard ones.
    """
    allowed = {each for each in Backfill if (each is Backfill.FIXED_SHADOW) == blocking}
    allowed.add(Backfill.NONE)
    if backfill not in allowed:
        raise ConfigError(
            f"{'blocking (RLScheduler repository)' if blocking else 'standard'} rules go with"
            f" backfill {' or '.join(a.name for a in sorted(allowed))}, got {backfill!r}"
        )


@runtime_checkable
class Contender(Protocol):
    """A policy under evaluation."""

    @property
    def name(self) -> str:
        """For tables; unique among those compared."""
        ...

    def schedule(self, window: Workload, cluster: Cluster, backfill: Backfill) -> Schedule:
        """Schedule all tasks of `window`, on `cluster` which starts idle, by the standard rules.

        Standard rules: everything of an instant happens, then tasks start in the policy's order
        until the first does not fit, then `backfill` lets others overtake it.

        Args:
            window: the work; `window.run_us` is for the simulator, not for the policy.
            cluster: where.
            backfill: who may overtake the task that the policy put first.

        Returns:
            What happened, in the window's order. Equal calls must return equal schedules.
        """
        ...


@dataclass(frozen=True, slots=True)
class HeuristicContender:
    """A heuristic of the compiled rules.

    Attributes:
        name: for tables.
        rule: its backfilling is replaced by what `schedule` is asked for; if it is `blocking`, the
            rules are those of the RLScheduler repository instead of the standard ones.
    """

    name: str
    rule: DispatchRule

    @property
    def fingerprint(self) -> str:
        """What its schedules depend on."""
        return f"heuristic {self.rule._replace(backfill=0)}"

    def schedule(
        self,
        window: Workload,
        cluster: Cluster,
        backfill: Backfill,
        world: World | None = None,
    ) -> Schedule:
        """See `Contender.schedule`; `world` is what happens beside arrivals and ends.

        Raises:
            ConfigError: the rule cannot be combined with this backfilling.
            StateError: a task can never start on this cluster.
        """
        check_backfill(backfill, self.rule.blocking)
        rule = self.rule._replace(backfill=int(backfill))
        return replay(window.tasks, window.run_us, cluster, rule, world=world)


def fingerprint_of(contender: Contender) -> str:
    """What the schedules of a contender depend on, for keeping results; "" if it does not say."""
    return str(getattr(contender, "fingerprint", ""))
