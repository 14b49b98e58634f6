"""What the cluster offered, what was in use, and what it drew, summed up over time."""

from __future__ import annotations

from lepton_rl.core.clock import MICROSECOND
from lepton_rl.core.intake import node_table
from lepton_rl.core.nodes import Cluster
from lepton_rl.core.tables import Ints

__all__ = ["Usage"]

_MICROJOULES_PER_JOULE = 1e6


class Usage:
    """Sums over time, from the first event on.

    Args:
        cluster: its resource kinds, and what is available where nobody says otherwise.

    Attributes:
        now_us: up to when.
    """

    def __init__(self, cluster: Cluster) -> None:
        self._kinds = cluster.schema.kinds
        self._total: list[int] = node_table(cluster).total.tolist()
        self._has_begun = False
        self._used = [0] * len(self._kinds)  # unit microseconds; Python integers never overflow
        self._offered = [0] * len(self._kinds)
        self._microjoules = 0.0
        self.now_us = 0

    def passed(self, now_us: int, allocated: Ints, available: Ints | None, watts: float) -> None:
        """Time has passed up to `now_us`; see `Monitor.passed`."""
        span_us = now_us - self.now_us if self._has_begun else 0
        offered = self._total if available is None else available.tolist()
        self._used = _added(self._used, allocated.tolist(), span_us)
        self._offered = _added(self._offered, offered, span_us)
        self._microjoules += watts * span_us
        self._has_begun, self.now_us = True, now_us

    @property
    def energy_joules(self) -> float:
        """Energy drawn."""
        return self._microjoules / _MICROJOULES_PER_JOULE

    def utilisation(self) -> dict[str, float]:
        """Kind -> allocated over available resource-seconds, 0 to 1; 0 before time has passed."""
        sums = zip(self._kinds, self._used, self._offered, strict=True)
        return {kind.name: used / offered if offered else 0.0 for kind, used, offered in sums}

    def allocated_seconds(self) -> dict[str, float]:
        """Kind -> what was in use, in the kind's unit times seconds (core-seconds)."""
        return self._in_seconds(self._used)

    def available_seconds(self) -> dict[str, float]:
        """Kind -> what was available, likewise."""
        return self._in_seconds(self._offered)

    def _in_seconds(self, sums: list[int]) -> dict[str, float]:
        return {
            kind.name: each / (kind.units_per * MICROSECOND)
            for kind, each in zip(self._kinds, sums, strict=True)
        }


def _added(sums: list[int], units: list[int], span_us: int) -> list[int]:
    return [each + amount * span_us for each, amount in zip(sums, units, strict=True)]
