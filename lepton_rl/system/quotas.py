"""Quotas: the most of the cluster that a tenant's running tasks may hold together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from lepton_rl.core.checks import require_number, shown
from lepton_rl.core.errors import ConfigError, InfeasibleTaskError
from lepton_rl.core.tables import Ints, Records
from lepton_rl.core.tasks import Task
from lepton_rl.system.life import Entry
from lepton_rl.system.queue import TaskQueue
from lepton_rl.system.state import Tables

__all__ = ["Quotas"]


class Quotas:
    """Takes tasks over their tenant's quota out of the policies' sight, and offers them again.

    A tenant's share is its dominant share: the largest part, over the kinds, of the cluster's
    capacity that its running tasks hold. An exclusive task counts, for each replica, as the largest
    capacity of each kind that any node has.

    Args:
        limits: tenant -> largest share, above 0 and at most 1; others have no limit.
        tables: of the cluster.

    Raises:
        ConfigError: a limit is no share.
    """

    def __init__(self, limits: Mapping[str, float], tables: Tables) -> None:
        self._limits, self._tables = _checked(limits), tables

    def __bool__(self) -> bool:
        return bool(self._limits)

    def require_possible(self, task: Task, record: Records) -> None:
        """Refuse a task that is over its tenant's quota all alone.

        Raises:
            InfeasibleTaskError: it is.
        """
        limit = self._limits.get(task.tenant)
        if limit is None:
            return
        share = self._share(self._units(task, record))
        if share > limit:
            raise InfeasibleTaskError(
                f"task {task.id!r} can never start: it needs {share:.3g} of the cluster and the"
                f" quota of tenant {task.tenant!r} is {limit:g}; ask for less, or raise the quota"
            )

    def apply(self, queue: TaskQueue) -> None:
        """Offer each pending task that fits its tenant's quota now, and no other."""
        used = self._used(queue.on_nodes())
        for entry in queue.waiting():
            limit = self._limits.get(entry.task.tenant)
            if limit is None or entry.resting:
                continue
            is_over = (
                self._share(used[entry.task.tenant] + self._units(entry.task, entry.record)) > limit
            )
            if is_over and not entry.withheld:
                queue.withhold(entry)
            elif entry.withheld and not is_over:
                queue.offer(entry)

    def shares(self, queue: TaskQueue) -> dict[str, float]:
        """Tenant with a quota -> dominant share that it holds now, 0 to 1."""
        used = self._used(queue.on_nodes())
        return {tenant: self._share(units) for tenant, units in used.items()}

    def _used(self, running: Iterable[Entry]) -> dict[str, Ints]:
        kinds = len(self._tables.view.nodes.total)
        used = {tenant: np.zeros(kinds, np.int64) for tenant in self._limits}
        for entry in running:
            if entry.task.tenant in used:
                used[entry.task.tenant] += self._units(entry.task, entry.record)
        return used

    def _units(self, task: Task, record: Records) -> Ints:
        if task.exclusive_node:
            each: Ints = self._tables.view.nodes.largest
        else:
            each = record["demand"][0, : len(self._tables.view.nodes.total)]
        return each * task.num_replicas

    def _share(self, units: Ints) -> float:
        total = self._tables.view.nodes.total
        return float(np.max(np.where(units > 0, units / np.maximum(total, 1), 0.0)))


def _checked(limits: Mapping[str, float]) -> dict[str, float]:
    if not isinstance(limits, Mapping) or not all(isinstance(name, str) for name in limits):
        raise ConfigError(f"quotas must map tenants to shares, got {shown(limits)}")
    for tenant, limit in limits.items():
        expected = f"quotas: {tenant} must be a share above 0 and at most 1"
        if not 0 < require_number(limit, expected) <= 1:
            raise ConfigError(f"{expected}, got {shown(limit)}")
    return dict(limits)
